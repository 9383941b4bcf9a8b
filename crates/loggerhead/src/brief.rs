//! Asks the running server; where none runs, serves the store itself for the one question.
//!
//! Accounts and tokens are needed before a server was ever started, and when nobody can sign in. The question takes the
//! same way in both cases, so what it changes is in the audit log.

use std::time::Duration;

use anyhow::Context as _;
use loggerhead_headend::HeadEnd;
use loggerhead_headend::config::Config;
use loggerhead_web::{Server, Settings};

use crate::client::{Client, ClientError};
use crate::server::ServerArgs;

/// Nothing is connected to a server for one question, so it ends at once.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Asks the running server, or one that is started for it and has no listeners.
///
/// # Errors
/// What the question says, or why the store cannot be opened.
pub(crate) async fn ask<T>(
    server: &ServerArgs,
    question: impl AsyncFn(&Client) -> Result<T, ClientError>,
) -> anyhow::Result<T> {
    let client = server.client()?;
    match question(&client).await {
        Err(error @ ClientError::NoServer { .. }) => {
            let Some(config) = server.brief_config()? else { return Err(error.into()) };
            serve_once(config, async |client| question(client).await).await
        }
        answered => Ok(answered?),
    }
}

async fn serve_once<T>(
    config: Config,
    question: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
) -> anyhow::Result<T> {
    let socket = config.api_socket();
    let head_end = HeadEnd::start(config).await.context("no server runs, and its store cannot be opened")?;
    let api = Server::start(head_end.clone(), Settings { socket: socket.clone(), web: None }).await;
    let answered = match &api {
        Ok(_) => question(&Client::unix(&socket)).await.map_err(anyhow::Error::from),
        Err(error) => Err(anyhow::anyhow!("{error}")),
    };
    if let Ok(api) = api {
        api.shutdown(STOP_WITHIN).await;
    }
    head_end.shutdown(STOP_WITHIN).await;
    answered
}
