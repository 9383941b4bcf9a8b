//! The description of the API, made from the handlers themselves.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::sync::LazyLock;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;

use crate::api::{Event, LiveGap, LiveReadings, LiveStart, PresenceChange};
use crate::routes;

/// What the description says beside the operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Loggerhead",
        description = "The head-end for data loggers: devices and whether they are there, what they sent, what happened, \
            commands, and all of it live.\n\nServed on a private Unix socket in the data directory, and over TCP where \
            the configuration names an address; TCP needs a sign-in or `Authorization: Bearer TOKEN`. Errors are problem details \
            (RFC 9457) with a `remedy`. Times are RFC 3339. Every value comes as the text that the device sent, with \
            the number beside it where it is one.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(Event, LiveReadings<'static>, LiveGap, LiveStart, PresenceChange)),
    tags(
        (name = "devices", description = "Devices and whether they are there."),
        (name = "readings", description = "Channels and their readings."),
        (name = "events", description = "What happened, and the raw frames."),
        (name = "files", description = "Files that devices sent, and uploads that can go on where they broke off (tus 1.0.0)."),
        (name = "commands", description = "What devices are asked."),
        (name = "live", description = "Everything, as it is committed."),
        (name = "broker", description = "Clients of the MQTT broker and their sessions."),
        (name = "cameras", description = "Cameras, the accounts that have them, and what is said of them."),
        (name = "chat", description = "People who talk, and what they say to each other."),
        (name = "access", description = "Who may do what."),
        (name = "health", description = "How the head-end is."),
        (name = "description", description = "The API about itself."),
    ),
    modifiers(&Token),
    security((), ("token" = [])),
)]
struct Preamble;

/// Adds how a caller proves that it may ask.
struct Token;

impl utoipa::Modify for Token {
    fn modify(&self, description: &mut Description) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// The description without its operations.
pub(crate) fn preamble() -> Description {
    Preamble::openapi()
}

/// The whole description as JSON, the same bytes for the same program.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let (_, description) = routes::describe();
    let mut text = description.to_pretty_json().expect("a description is JSON");
    text.push('\n');
    text
});

/// The same for pages.
pub(crate) fn description() -> &'static serde_json::Value {
    static DESCRIPTION: LazyLock<serde_json::Value> =
        LazyLock::new(|| serde_json::from_str(&TEXT).expect("a description is JSON"));
    &DESCRIPTION
}

/// This description.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "description",
    operation_id = "show_description",
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json"))
)]
pub(crate) async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::TEXT;
    use crate::routes;

    /// Set it to have the copy written instead of compared.
    const REFRESH: &str = "LOGGERHEAD_REFRESH";

    #[test]
    fn the_committed_copy_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        if std::env::var_os(REFRESH).is_some() {
            std::fs::write(&path, TEXT.as_str()).expect("written");
        }
        let copy = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            copy == *TEXT,
            "crates/web/openapi.json is not what the program says. Look at what changed for callers, then refresh it: \
             {REFRESH}=1 cargo test -p loggerhead-web the_committed_copy_is_current"
        );
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_an_example() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
        let examples = std::fs::read_to_string(examples).expect("docs/api.md");
        let description: serde_json::Value = serde_json::from_str(&TEXT).expect("JSON");
        let (_, api) = routes::describe();
        let mut names = BTreeSet::new();
        for path in api.paths.paths.keys() {
            for (method, operation) in description["paths"][path].as_object().expect("operations by method") {
                let name = operation["operationId"].as_str().expect("a name");
                assert!(names.insert(name.to_owned()), "{name} twice");
                assert!(operation["summary"].is_string(), "{method} {path} says what it does");
            }
            let written = [("{id}", "tower-1"), ("{kind}", "throttled"), ("{name}", "ada"), ("{number}", "4711")];
            let mut example = path.replace("commands/{id}", "commands/17").replace("tokens/{id}", "tokens/3");
            example = example.replace("sessions/{id}", "sessions/0123456789abcdef");
            for (name, value) in written {
                example = example.replace(name, value);
            }
            assert!(examples.contains(&format!("http://localhost{example}")), "docs/api.md has no example of {path}");
        }
    }
}
