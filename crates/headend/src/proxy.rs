//! The PROXY protocol, versions 1 and 2: for whom a proxy in front of a listener speaks.
//!
//! The header is read to its last byte and no further, so that what follows is the client's. Source: HAProxy,
//! proxy-protocol.txt, 2020/03/05.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The shortest header: `PROXY UNKNOWN` and its end of line.
const SHORTEST_BYTES: usize = 15;
/// The longest line of version 1, by its text.
const LINE_BYTES_MAX: usize = 107;
/// The fixed part of version 2.
const FIXED_BYTES: usize = 16;
/// The longest that may follow the fixed part of version 2: addresses, and what a proxy says of its own TLS.
const REST_BYTES_MAX: usize = 4096;
/// How a header of version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Reads the header. None: the proxy speaks for itself, or for somebody without an address.
///
/// # Errors
/// `InvalidData` for what is no such header, `UnexpectedEof` when not a byte comes, and what the connection says.
pub(crate) async fn client_behind(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![stream.read_u8().await?];
    whole(stream, &mut header).await.map_err(|error| {
        let is_cut = error.kind() == io::ErrorKind::UnexpectedEof;
        if is_cut { invalid("what a proxy sends ends within its PROXY header") } else { error }
    })
}

/// The same, behind the first byte.
async fn whole(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> io::Result<Option<SocketAddr>> {
    header.resize(SHORTEST_BYTES, 0);
    stream.read_exact(header.get_mut(1..).unwrap_or_default()).await?;
    if header.starts_with(SIGNATURE) {
        header.push(stream.read_u8().await?);
        let rest_bytes = header.last_chunk().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
        if rest_bytes > REST_BYTES_MAX {
            return Err(invalid(format!("a PROXY header of {rest_bytes} bytes over {REST_BYTES_MAX}")));
        }
        header.resize(FIXED_BYTES + rest_bytes, 0);
        stream.read_exact(header.get_mut(FIXED_BYTES..).unwrap_or_default()).await?;
        return version_2(header);
    }
    if !header.starts_with(b"PROXY ") {
        return Err(invalid("what a proxy sends begins with no PROXY header"));
    }
    while !header.ends_with(b"\r\n") {
        if header.len() == LINE_BYTES_MAX {
            return Err(invalid(format!("a PROXY line over {LINE_BYTES_MAX} bytes")));
        }
        header.push(stream.read_u8().await?);
    }
    version_1(header)
}

/// `PROXY TCP4 192.0.2.7 10.0.0.5 4711 36829`.
fn version_1(line: &[u8]) -> io::Result<Option<SocketAddr>> {
    let text = str::from_utf8(line).map_err(invalid)?.trim_end();
    let mut words = text.split(' ').skip(1);
    match (words.next(), words.next(), words.next(), words.next(), words.next(), words.next()) {
        (Some("UNKNOWN"), ..) => Ok(None),
        (Some(family @ ("TCP4" | "TCP6")), Some(address), Some(_), Some(port), Some(_), None) => {
            let address: IpAddr = address.parse().map_err(invalid)?;
            if address.is_ipv4() != (family == "TCP4") {
                return Err(invalid(format!("{address} is no address of {family}")));
            }
            Ok(Some(SocketAddr::new(address, port.parse().map_err(invalid)?)))
        }
        _ => Err(invalid(format!("{text:?} is no PROXY line"))),
    }
}

/// The fixed part: signature, version and command, family and transport, length. Then source, destination and their ports.
fn version_2(header: &[u8]) -> io::Result<Option<SocketAddr>> {
    let (fixed, rest) = header.split_at_checked(FIXED_BYTES).unwrap_or_default();
    let (command, family) = match fixed.get(SIGNATURE.len()..) {
        Some(&[command, family, ..]) => (command, family),
        _ => (0, 0),
    };
    match (command, family) {
        (0x21, 0x11) => source::<4>(rest).map(Some),
        (0x21, 0x21) => source::<16>(rest).map(Some),
        // The proxy itself, to find out whether we are there; or somebody on a Unix socket or by other ways.
        (0x20 | 0x21, _) => Ok(None),
        _ => Err(invalid(format!("a PROXY header of version and command {command:#04x}"))),
    }
}

fn source<const ADDRESS_BYTES: usize>(rest: &[u8]) -> io::Result<SocketAddr>
where
    IpAddr: From<[u8; ADDRESS_BYTES]>,
{
    // Two addresses and two ports, of which the destination's do not matter.
    let whole = rest.get(..2 * ADDRESS_BYTES + 4).and_then(|addresses| addresses.split_first_chunk::<ADDRESS_BYTES>());
    let port = whole.and_then(|(_, behind)| behind.get(ADDRESS_BYTES..)?.first_chunk());
    let (Some((address, _)), Some(port)) = (whole, port) else {
        return Err(invalid("a PROXY header that ends within its addresses"));
    };
    Ok(SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes(*port)))
}

fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::client_behind;

    /// What is said of the client, and what of `bytes` is left for it.
    async fn read(bytes: &[u8]) -> (Result<Option<String>, String>, usize) {
        let mut rest = bytes;
        let read = client_behind(&mut rest).await;
        (read.map(|client| client.map(|client| client.to_string())).map_err(|error| error.to_string()), rest.len())
    }

    /// A header of version 2 with these addresses.
    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
    }

    #[tokio::test]
    async fn a_header_says_who_is_behind_the_proxy_and_what_follows_is_left() {
        let client = |text: &str| Ok(Some(text.to_owned()));
        let line = |line: &str| [line.as_bytes(), b"hello"].concat();
        assert_eq!(read(&line("PROXY TCP4 192.0.2.7 10.0.0.5 4711 36829\r\n")).await, (client("192.0.2.7:4711"), 5));
        assert_eq!(read(&line("PROXY TCP6 2001:db8::7 ::1 4711 1\r\n")).await, (client("[2001:db8::7]:4711"), 5));
        assert_eq!(read(&line("PROXY UNKNOWN\r\n")).await, (Ok(None), 5));
        assert_eq!(read(&line("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n")).await, (Ok(None), 5));

        let four = [192, 0, 2, 7, 10, 0, 0, 5, 0x12, 0x67, 0x8f, 0xdd];
        let with_more = [&four[..], &[4, 0, 1, 0]].concat();
        assert_eq!(read(&version_2(0x21, 0x11, &four)).await, (client("192.0.2.7:4711"), 0));
        assert_eq!(read(&version_2(0x21, 0x11, &with_more)).await, (client("192.0.2.7:4711"), 0));
        let mut six = [0; 36];
        (six[0], six[1], six[15], six[32], six[33]) = (0x20, 0x01, 7, 0x12, 0x67);
        assert_eq!(read(&version_2(0x21, 0x21, &six)).await, (client("[2001::7]:4711"), 0));
        assert_eq!(read(&version_2(0x20, 0, &[])).await, (Ok(None), 0));
        assert_eq!(read(&version_2(0x21, 0x31, &[0; 216])).await, (Ok(None), 0));
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let endless = format!("PROXY TCP4 {}", "1".repeat(200));
        for line in [
            "GET / HTTP/1.1\r\nHost: x",
            "PROXY TCP4 192.0.2.7 10.0.0.5 4711\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.5 4711 36829 1\r\n",
            "PROXY TCP4 ::1 ::1 4711 36829\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.5 70000 36829\r\n",
            "PROXY UDP4 192.0.2.7 10.0.0.5 1 2\r\n",
            "PROXY TCP4 192.0.2.7",
            "hi",
            &endless,
        ] {
            assert!(read(line.as_bytes()).await.0.is_err(), "{line}");
        }
        let nothing = client_behind(&mut &b""[..]).await.map_err(|error| error.kind());
        assert_eq!(nothing, Err(std::io::ErrorKind::UnexpectedEof), "it only looks whether we are there");
        for header in [
            version_2(0x21, 0x11, &[0; 11]),
            version_2(0x21, 0x21, &[0; 35]),
            version_2(0x11, 0x11, &[0; 12]),
            version_2(0x22, 0x11, &[0; 12]),
            version_2(0x21, 0x11, &[0; 4097]),
        ] {
            assert!(read(&header).await.0.is_err(), "{header:?}");
        }
    }
}
