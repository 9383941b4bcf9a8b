//! Who looks, in which language, at what: everything that a page needs to know before it knows what to show.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};

use super::preferences::{LANGUAGE_COOKIE, THEME_COOKIE, Theme};
use super::texts::{Language, Texts};
use crate::state::Api;

/// Who looks, and how it wants to see things.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) viewer: Option<crate::access::Viewer>,
    pub(super) texts: &'static Texts,
    pub(super) theme: Theme,
    /// What was asked for.
    pub(super) uri: Uri,
}

impl FromRequestParts<Api> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Infallible> {
        let language = language(&parts.headers);
        let theme = cookie(&parts.headers, THEME_COOKIE).and_then(Theme::of_word).unwrap_or_default();
        let uri = parts.uri.clone();
        let viewer = crate::access::Viewer::from_request_parts(parts, api).await.ok();
        Ok(Self { viewer, texts: language.texts(), theme, uri })
    }
}

impl Visit {
    /// The text of a key.
    pub(super) fn t(&self, key: &str) -> &'static str {
        self.texts.t(key)
    }

    /// Path and query of what was asked for, to come back to it.
    pub(super) fn place(&self) -> &str {
        self.uri.path_and_query().map_or("/", |place| place.as_str())
    }
}

/// The language that somebody chose, or else likes best of ours.
pub(super) fn language(headers: &HeaderMap) -> Language {
    let chosen = cookie(headers, LANGUAGE_COOKIE).and_then(Language::of_tag);
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    chosen.or_else(|| accepted.and_then(Language::accepted)).unwrap_or(Language::English)
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}
