//! How the console's bytes travel, and what may be believed of a request for it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};
use loggerhead_headend::tls::Certificate;

/// Where a proxy says who asks; it adds the address that it sees at the end.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Where a proxy says what host was asked for.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Where a browser says which site a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How the console's bytes travel.
#[derive(Clone, Debug)]
pub enum Transport {
    /// In clear: on this host only.
    Plain,
    /// With TLS of our own.
    Tls(Arc<Certificate>),
    /// In clear from a proxy that has TLS, and that says who asks.
    Proxy,
}

impl Transport {
    /// Whether browsers see TLS.
    pub(super) fn is_secure(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(_) | Self::Proxy => true,
        }
    }

    /// Who asks, when `peer` is at the other end of the connection. What a proxy did not say itself is not believed: a
    /// browser may send any address before it.
    pub(super) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        match self {
            Self::Plain | Self::Tls(_) => peer,
            Self::Proxy => {
                let said = headers.get_all(FORWARDED_FOR).into_iter().next_back().and_then(|value| value.to_str().ok());
                let last = said.and_then(|said| said.rsplit(',').next()).and_then(|last| last.trim().parse().ok());
                last.unwrap_or(peer)
            }
        }
    }

    /// Whether a browser's request comes from a page of this server. One that says nothing is no browser's, or an old
    /// one's, and is left to the other checks.
    pub(super) fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let Some(origin) = text(&header::ORIGIN) else {
            return text(&FETCH_SITE).is_none_or(|site| matches!(site, "same-origin" | "none"));
        };
        let scheme = if self.is_secure() { "https://" } else { "http://" };
        let hosts = match self {
            Self::Plain | Self::Tls(_) => [text(&header::HOST), None],
            Self::Proxy => [text(&header::HOST), text(&FORWARDED_HOST)],
        };
        let named = origin.strip_prefix(scheme);
        named.is_some_and(|named| hosts.into_iter().flatten().any(|host| host.eq_ignore_ascii_case(named)))
    }

    /// As `is_same_origin`, for what only browsers ask with a cookie: saying nothing is not enough.
    pub(super) fn is_surely_same_origin(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(header::ORIGIN) && self.is_same_origin(headers)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::Transport;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_pages_of_this_server_are_of_its_origin() {
        let same = |transport: &Transport, pairs: &[_]| transport.is_same_origin(&headers(pairs));
        let host = ("host", "a.example:8080");
        assert!(same(&Transport::Plain, &[host, ("origin", "http://a.example:8080")]));
        for origin in ["https://a.example:8080", "http://a.example", "http://b.example:8080", "null", ""] {
            assert!(!same(&Transport::Plain, &[host, ("origin", origin)]), "{origin}");
        }
        assert!(
            same(&Transport::Plain, &[host]) && same(&Transport::Plain, &[host, ("sec-fetch-site", "same-origin")])
        );
        assert!(!same(&Transport::Plain, &[host, ("sec-fetch-site", "cross-site")]));
        let (inner, outer) = (("host", "10.0.0.1:80"), ("x-forwarded-host", "a.example"));
        assert!(same(&Transport::Proxy, &[inner, outer, ("origin", "https://a.example")]));
        assert!(!same(&Transport::Plain, &[inner, outer, ("origin", "http://a.example")]));
    }

    #[test]
    fn what_a_proxy_adds_is_believed_and_nothing_before_it() {
        let peer = "10.0.0.1".parse().expect("an address");
        let said = headers(&[("x-forwarded-for", "203.0.113.9, 192.0.2.7")]);
        assert_eq!(Transport::Proxy.caller(peer, &said).to_string(), "192.0.2.7");
        assert_eq!(Transport::Plain.caller(peer, &said), peer);
        assert_eq!(Transport::Proxy.caller(peer, &headers(&[("x-forwarded-for", "nobody")])), peer);
    }
}
