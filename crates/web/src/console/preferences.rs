//! What a viewer chose: language and light. Kept in cookies, so that pages come right from the server.

use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::texts::Language;
use crate::extract::Params;

pub(super) const LANGUAGE_COOKIE: &str = "language";
pub(super) const THEME_COOKIE: &str = "theme";
/// A year: what somebody chose stays chosen.
const KEEP_S: u32 = 31_536_000;

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Theme {
    /// As the system has it.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub(super) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The word for it, in cookies, documents and keys of texts.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.word() == word)
    }
}

/// What to change, and where to go then.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    language: Option<String>,
    theme: Option<String>,
    next: Option<String>,
}

/// Keeps what was chosen and goes back.
pub(super) async fn change(Params(change): Params<Change>) -> Response {
    let cookie = |name: &str, value: &str| {
        (header::SET_COOKIE, format!("{name}={value}; Path=/; Max-Age={KEEP_S}; SameSite=Lax"))
    };
    let language = change.language.as_deref().and_then(Language::of_tag);
    let theme = change.theme.as_deref().and_then(Theme::of_word);
    let cookies = [
        language.map(|language| cookie(LANGUAGE_COOKIE, language.tag())),
        theme.map(|theme| cookie(THEME_COOKIE, theme.word())),
    ];
    let next = change.next.as_deref().map_or("/", local);
    (AppendHeaders(cookies.into_iter().flatten()), Redirect::to(next)).into_response()
}

/// The path, if it is one of ours: a link must not lead anybody elsewhere.
pub(super) fn local(path: &str) -> &str {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if path.starts_with('/') && !path.starts_with("//") && is_plain { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn a_link_leads_nowhere_else() {
        for path in ["/", "/devices?presence=offline&page=2"] {
            assert_eq!(local(path), path);
        }
        for path in ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nx: y", ""] {
            assert_eq!(local(path), "/", "{path:?}");
        }
    }
}
