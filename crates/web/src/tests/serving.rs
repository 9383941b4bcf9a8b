//! The server on its private socket.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{PATIENCE, Site};
use crate::{ServeError, Server, Settings, Waits};

async fn exchange(stream: &mut UnixStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("text");
    answer
}

#[tokio::test]
async fn the_private_socket_is_served_and_removed() {
    let site = Site::open().await;
    let settings = Settings { socket: site.directory.path().join("api.sock"), web: None, waits: Waits::default() };
    let server = Server::start(site.headend.clone(), settings.clone()).await.expect("a server");
    assert!(server.addresses().is_empty());
    let second = Server::start(site.headend.clone(), settings.clone()).await;
    assert!(matches!(second, Err(ServeError::InUse { .. })), "a second server does not take the socket over");
    let mut stream = UnixStream::connect(&settings.socket).await.expect("connected");
    let answer = exchange(&mut stream, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("live\n"), "{answer}");
    server.shutdown(PATIENCE).await;
    assert!(!settings.socket.exists());
}

#[tokio::test]
async fn stopping_ends_streams_and_idle_connections() {
    let site = Site::open().await;
    let settings = Settings { socket: site.directory.path().join("api.sock"), web: None, waits: Waits::default() };
    let server = Server::start(site.headend.clone(), settings.clone()).await.expect("a server");
    let mut idle = UnixStream::connect(&settings.socket).await.expect("connected");
    let mut live = UnixStream::connect(&settings.socket).await.expect("connected");
    live.write_all(b"GET /api/v1/live HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut head = [0; 12];
    tokio::time::timeout(PATIENCE, live.read_exact(&mut head)).await.expect("in time").expect("a head");
    assert_eq!(&head, b"HTTP/1.1 200");
    let (stopped, ended, closed) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(20), server.shutdown(PATIENCE)),
        async { exchange(&mut live, "").await },
        async { exchange(&mut idle, "").await },
    );
    stopped.expect("well before its bound");
    assert!(ended.contains("event: start") && ended.ends_with("0\r\n\r\n"), "a whole body: {ended}");
    assert_eq!(closed, "");
}
