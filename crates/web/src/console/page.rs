//! The frame around every page: head, navigation, what a viewer may switch.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::preferences::Theme;
use super::texts::Language;
use super::visit::Visit;

/// Pages run our scripts, show our styles, and talk to us alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The entries of the navigation: path, key of the text.
const ENTRIES: [(&str, &str); 10] = [
    ("/", "nav.overview"),
    ("/devices", "nav.devices"),
    ("/events", "nav.events"),
    ("/files", "nav.files"),
    ("/broker", "nav.broker"),
    ("/cameras", "nav.cameras"),
    ("/chat", "nav.chat"),
    ("/inspector", "nav.inspector"),
    ("/setup", "nav.setup"),
    ("/api", "nav.api"),
];

/// What a page is made of.
pub(super) struct Page {
    /// In the tab, and as the heading where `heading` gives none.
    pub(super) title: String,
    /// The heading; a page that needs more than its title gives its own.
    pub(super) heading: Option<Markup>,
    pub(super) content: Markup,
    /// Scripts of this page alone, besides the console's.
    pub(super) scripts: &'static [&'static str],
    /// Which live messages make the page look again: the query of the live stream.
    pub(super) live: Option<String>,
}

impl Page {
    pub(super) fn new(title: impl Into<String>, content: Markup) -> Self {
        Self { title: title.into(), heading: None, content, scripts: &[], live: None }
    }

    /// With these scripts.
    pub(super) fn scripts(self, scripts: &'static [&'static str]) -> Self {
        Self { scripts, ..self }
    }

    /// Kept live by messages of this query.
    pub(super) fn live(self, query: impl Into<String>) -> Self {
        Self { live: Some(query.into()), ..self }
    }

    /// With a heading of its own.
    pub(super) fn heading(self, heading: Markup) -> Self {
        Self { heading: Some(heading), ..self }
    }

    /// The whole answer.
    pub(super) fn answer(self, visit: &Visit, status: StatusCode) -> Response {
        let headers: [(HeaderName, HeaderValue); 5] = [
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
            (header::CONTENT_LANGUAGE, HeaderValue::from_static(visit.texts.language.tag())),
        ];
        (status, headers, Html(self.document(visit).into_string())).into_response()
    }

    /// The answer of a page that was found.
    pub(super) fn good(self, visit: &Visit) -> Response {
        self.answer(visit, StatusCode::OK)
    }

    fn document(self, visit: &Visit) -> Markup {
        let csrf = visit.viewer.as_ref().and_then(crate::access::Viewer::csrf);
        html! {
            (DOCTYPE)
            html lang=(visit.texts.language.tag()) data-theme=(visit.theme.word()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    @if let Some(csrf) = csrf { meta name="csrf-token" content=(csrf); }
                    title { (self.title) " · Loggerhead" }
                    link rel="icon" type="image/svg+xml" href=(assets::address("icon.svg"));
                    @if self.scripts.contains(&"chart.js") {
                        link rel="stylesheet" href=(assets::address("vendor/uplot/uPlot.css"));
                    }
                    link rel="stylesheet" href=(assets::address("console.css"));
                    @if self.scripts.contains(&"chat.js") {
                        link rel="stylesheet" href=(assets::address("chat.css"));
                    }
                    script type="application/json" id="texts" { (visit.texts.for_scripts()) }
                    script type="module" src=(assets::address("console.js")) {}
                    @for script in self.scripts { script type="module" src=(assets::address(script)) {} }
                }
                body {
                    a.skip href="#content" { (visit.t("page.skip")) }
                    (banner(visit))
                    main #content tabindex="-1" data-live=[self.live.as_deref()] {
                        div.title {
                            @if let Some(heading) = &self.heading { (heading) } @else { h1 { (self.title) } }
                            @if self.live.is_some() {
                                p #connection .connection role="status" data-state="waiting" { (visit.t("live.waiting")) }
                            }
                        }
                        (self.content)
                    }
                    p #told .told role="status" aria-live="polite" {}
                }
            }
        }
    }
}

fn banner(visit: &Visit) -> Markup {
    let place = visit.place();
    html! {
        header.banner {
            a.brand href="/" { img src=(assets::address("icon.svg")) alt="" width="24" height="24"; "Loggerhead" }
            @if visit.viewer.is_some() {
                nav aria-label=(visit.t("nav.label")) {
                    ul { @for (path, key) in ENTRIES { li { (entry(visit, path, key)) } } }
                }
            }
            div.preferences {
                (switch_theme(visit, place))
                (switch_language(visit, place))
                @if let Some(viewer) = &visit.viewer {
                    span.viewer title={ (viewer.name()) ": " (visit.t(&format!("role.{}", viewer.role().word()))) } { (viewer.name()) }
                    @if viewer.csrf().is_some() {
                        button.quiet type="button" data-sign-out { (visit.t("nav.sign_out")) }
                    }
                }
            }
        }
    }
}

fn entry(visit: &Visit, path: &str, key: &str) -> Markup {
    let here = visit.uri.path();
    let is_here = here == path;
    let is_below = path != "/" && here.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let current = if is_here { Some("page") } else { is_below.then_some("true") };
    html! { a href=(path) aria-current=[current] { (visit.t(key)) } }
}

fn switch_theme(visit: &Visit, place: &str) -> Markup {
    html! {
        div.switch role="group" aria-label=(visit.t("theme.label")) {
            @for theme in Theme::ALL {
                a href=(change("theme", theme.word(), place)) aria-current=[(theme == visit.theme).then_some("true")]
                    title=(visit.t(&format!("theme.{}", theme.word()))) {
                    span.mark data-theme-mark=(theme.word()) aria-hidden="true" {}
                    span.hidden { (visit.t(&format!("theme.{}", theme.word()))) }
                }
            }
        }
    }
}

fn switch_language(visit: &Visit, place: &str) -> Markup {
    html! {
        div.switch role="group" aria-label=(visit.t("language.label")) {
            @for language in Language::ALL {
                a href=(change("language", language.tag(), place)) lang=(language.tag()) hreflang=(language.tag())
                    aria-current=[(language == visit.texts.language).then_some("true")] {
                    (language.name())
                }
            }
        }
    }
}

fn change(name: &str, value: &str, place: &str) -> String {
    format!("/preferences?{}", query(&[(name, value), ("next", place)]))
}

/// Names and values as a query.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

/// A text as it may stand in a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;

    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a text takes everything");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{encoded, query};

    #[test]
    fn a_query_holds_any_text() {
        assert_eq!(encoded("塔 1&2"), "%E5%A1%94%201%262");
        assert_eq!(query(&[("a", "x=y"), ("b", "")]), "a=x%3Dy&b=");
    }
}
