//! Bytes with their meaning, by any protocol.

use axum::Json;
use loggerhead_protocols::{ALL, Protocol};
use tokio::sync::Semaphore;

use crate::api::{ExplainRequest, Explanation, ProblemDetails};
use crate::extract::Body;
use crate::inspect::{Decoder, Input, InspectError, Inspection, Key, from_hex};
use crate::problem::{Problem, ProblemKind};

/// Largest body: a capture of 8 MiB, of which each byte takes two digits. More is a matter for the verb `decode`.
pub(crate) const EXPLAIN_BYTES_MAX: usize = 17 * 1024 * 1024;
/// Keys to try for one request: each is tried on each message.
const KEYS_MAX: usize = 16;

/// Explanations at a time: each keeps a core busy.
static PLACES: Semaphore = Semaphore::const_new(1);

/// Gives every byte of a message, a conversation or a capture its meaning. Nothing is kept.
#[utoipa::path(
    post,
    path = "/api/v1/explain",
    tag = "description",
    operation_id = "explain",
    request_body = ExplainRequest,
    responses(
        (status = 200, description = "Every byte with its meaning.", body = Explanation),
        (status = 400, description = "These bytes cannot be explained.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn explain(Body(request): Body<ExplainRequest>) -> Result<Json<Explanation>, Problem> {
    Ok(Json(Explanation::from(&inspect(request).await?)))
}

/// The protocol of this name; the first where nothing is said.
pub(crate) fn protocol(name: Option<&str>) -> Result<&'static Protocol, Problem> {
    let found = name.map_or_else(|| ALL.first(), |name| ALL.iter().find(|protocol| protocol.name == name));
    found.ok_or_else(|| Problem::new(ProblemKind::BadRequest, format!("there is no protocol {name:?}")))
}

/// Explains what is asked for.
pub(crate) async fn inspect(request: ExplainRequest) -> Result<Inspection, Problem> {
    let wrong = |detail: String| Problem::new(ProblemKind::BadRequest, detail);
    let protocol = protocol(request.protocol.as_deref())?;
    if request.keys.len() > KEYS_MAX {
        return Err(wrong(format!("{} keys are over {KEYS_MAX}", request.keys.len())));
    }
    let keys: Vec<Key> = request.keys.iter().map(|key| Key::parse(key)).collect::<Result<_, _>>().map_err(wrong)?;
    let settings: toml::Table = serde_json::from_value(serde_json::Value::Object(request.settings))
        .map_err(|error| wrong(format!("settings: {error}")))?;
    let decoder = Decoder::new(protocol, &keys, settings)?.of_version(request.version);
    let bytes = from_hex(&request.hex).ok_or_else(|| wrong("hex: takes pairs of hex digits".to_owned()))?;
    let place = PLACES.acquire().await.expect("the semaphore is never closed");
    let has_key = !keys.is_empty();
    let explaining = tokio::task::spawn_blocking(move || {
        let inspection = decoder.decode(Input::of_bytes(bytes), request.port);
        drop(place);
        inspection
    });
    let mut inspection =
        explaining.await.map_err(|_| Problem::new(ProblemKind::Busy, "the explanation was given up"))??;
    if !has_key && inspection.is_enciphered() {
        inspection.notes.push("messages are enciphered: give their key, text:KEY or hex:KEY".to_owned());
    }
    Ok(inspection)
}

impl From<InspectError> for Problem {
    fn from(error: InspectError) -> Self {
        Self::new(ProblemKind::BadRequest, error.to_string())
    }
}
