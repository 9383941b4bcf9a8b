//! The cookie of a sign-in: kept from scripts, from other sites, and with TLS from the wire.

use axum::http::{HeaderMap, HeaderValue, header};

use super::book::SESSION_MAX;
use super::transport::Transport;

/// Its name without TLS.
const PLAIN: &str = "loggerhead";
/// Its name with TLS: browsers take this start only from the host itself, over TLS, for every path.
const SECURE: &str = "__Host-loggerhead";

fn name(transport: &Transport) -> &'static str {
    if transport.is_secure() { SECURE } else { PLAIN }
}

/// What the cookie says; none without it, and none when it is there twice, since one of them is somebody else's.
pub(super) fn read<'a>(headers: &'a HeaderMap, transport: &Transport) -> Option<&'a str> {
    let name = name(transport);
    let pairs = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut values = pairs
        .flat_map(|pairs| pairs.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Sets it.
pub(super) fn set(secret: &str, transport: &Transport) -> HeaderValue {
    written(secret, SESSION_MAX.as_secs(), transport)
}

/// Takes it away.
pub(crate) fn clear(transport: &Transport) -> HeaderValue {
    written("", 0, transport)
}

fn written(value: &str, seconds: u64, transport: &Transport) -> HeaderValue {
    let secure = if transport.is_secure() { "; Secure" } else { "" };
    let text = format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", name(transport));
    let mut header = HeaderValue::try_from(text).expect("digits and words stand in a header");
    header.set_sensitive(true);
    header
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{clear, read, set};
    use crate::access::transport::Transport;

    #[test]
    fn the_cookie_is_for_this_server_alone() {
        let plain = set("abc", &Transport::Plain);
        assert_eq!(plain, "loggerhead=abc; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict");
        let secure = set("abc", &Transport::Proxy);
        assert_eq!(secure, "__Host-loggerhead=abc; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict; Secure");
        assert!(clear(&Transport::Plain).to_str().expect("text").contains("Max-Age=0"));
    }

    #[test]
    fn it_is_read_once_or_not_at_all() {
        let cookies = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(text));
            headers
        };
        assert_eq!(read(&cookies("a=1; loggerhead=abc"), &Transport::Plain), Some("abc"));
        for bad in ["", "loggerhead", "xloggerhead=abc", "loggerhead=a; loggerhead=b", "__Host-loggerhead=abc"] {
            assert_eq!(read(&cookies(bad), &Transport::Plain), None, "{bad}");
        }
    }
}
