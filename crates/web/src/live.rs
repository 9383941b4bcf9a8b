//! The live stream: what was committed, as server-sent events.
//!
//! Every message carries the place in the log after it as its id: `7` after the whole of batch 7, `7.2` after the item
//! of place 2 in it. Whoever comes back with that id (`Last-Event-ID`, or `from`) goes on right there. A slow reader
//! costs nothing: it loses what it does not take, is told so, and catches up from the store; what the store has no more
//! is told as a gap.

mod follower;
mod frame;
mod message;
mod press;
mod threads;
pub(crate) mod websocket;

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use loggerhead_headend::{Filter, Kinds};
use loggerhead_model::Cursor;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use self::follower::Follower;
use self::message::Form;
pub(crate) use self::press::Press;
#[cfg(test)]
pub(crate) use self::press::{CATCH_UPS_MAX, Turn};
use crate::access::Viewer;
use crate::api::ProblemDetails;
use crate::extract::{Params, device_id};
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// The header with which a reader comes back.
const LAST_EVENT_ID: &str = "last-event-id";

/// What to see, and from where on.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LiveParams {
    /// Only of this device.
    device: Option<String>,
    /// Only readings of this meter.
    meter: Option<String>,
    /// Only readings of this function.
    function: Option<String>,
    /// Only these kinds, joined by commas: `readings`, `events`, `presence`. All where nothing is said.
    #[param(example = "readings,events")]
    kinds: Option<String>,
    /// Begin after this place: the id of a message seen, or 0 for all that the log still has. Now where nothing is said.
    #[param(example = "4711.2")]
    from: Option<String>,
}

impl LiveParams {
    fn filter(&self) -> Result<Filter, Problem> {
        Ok(Filter {
            device: self.device.as_deref().map(device_id).transpose()?,
            meter: self.meter.clone(),
            function: self.function.clone(),
            kinds: kinds(self.kinds.as_deref())?,
        })
    }
}

/// A place in the log between two items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    batch: u64,
    /// The last item seen of the batch; none for the whole batch.
    item: Option<usize>,
}

impl fmt::Display for Place {
    /// As the id of a message.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            None => write!(formatter, "{}", self.batch),
            Some(item) => write!(formatter, "{}.{item}", self.batch),
        }
    }
}

impl Place {
    /// Whether what is at this place was seen when everything up to here was.
    fn reaches(self, place: Self) -> bool {
        match place.item {
            Some(item) => self.covers(Cursor::new(place.batch), item),
            None => self.batch > place.batch || (self.batch == place.batch && self.item.is_none()),
        }
    }

    /// The later of two places.
    fn later(self, other: Self) -> Self {
        if self.reaches(other) { self } else { other }
    }

    fn parse(text: &str) -> Option<Self> {
        // `parse` alone would take a sign.
        if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return None;
        }
        match text.split_once('.') {
            None => Some(Self { batch: text.parse().ok()?, item: None }),
            Some((batch, item)) => Some(Self { batch: batch.parse().ok()?, item: Some(item.parse().ok()?) }),
        }
    }

    /// The batch after which to subscribe so that everything after this place comes.
    fn cursor(self) -> Cursor {
        Cursor::new(match self.item {
            None => self.batch,
            Some(_) => self.batch.saturating_sub(1),
        })
    }

    /// Whether this item came before or at the place.
    fn covers(self, batch: Cursor, item: usize) -> bool {
        let in_batch = self.item.is_none_or(|seen| item <= seen);
        batch.number() < self.batch || (batch.number() == self.batch && in_batch)
    }
}

fn kinds(words: Option<&str>) -> Result<Kinds, Problem> {
    let Some(words) = words else { return Ok(Kinds::default()) };
    let mut kinds = Kinds { readings: false, events: false, presence: false };
    for word in words.split(',') {
        match word {
            "readings" => kinds.readings = true,
            "events" => kinds.events = true,
            "presence" => kinds.presence = true,
            other => return Err(Problem::new(ProblemKind::BadRequest, format!("no kind {other:?} in the stream"))),
        }
    }
    Ok(kinds)
}

/// Where the reader wants to begin. What it saw last counts for more than the address that it came by at first.
fn beginning(headers: &HeaderMap, from: Option<&str>) -> Result<Option<Place>, Problem> {
    let last = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
    let Some(text) = last.filter(|text| !text.is_empty()).or(from) else { return Ok(None) };
    Place::parse(text)
        .map(Some)
        .ok_or_else(|| Problem::new(ProblemKind::BadRequest, format!("{text:?} is not the id of a message")))
}

/// What happens from now on, or from a place in the log, as server-sent events.
///
/// Messages: `start` (LiveStart), `readings` (LiveReadings), `event` (Event), `presence` (PresenceChange), `gap` (LiveGap)
/// and `cut` (LiveStart), which tells a slow reader after which place it goes on from the store. The id of a message is the
/// place after it; come back with it in `Last-Event-ID` or `from` and nothing is missed or told twice. Changes of presence
/// are not in the log: after a pause ask for the devices instead.
#[utoipa::path(
    get,
    path = "/api/v1/live",
    tag = "live",
    operation_id = "follow",
    params(LiveParams, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last message seen.")),
    responses(
        (status = 200, description = "The stream.", body = String, content_type = "text/event-stream"),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "Too many streams.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn stream(
    State(api): State<Api>,
    viewer: Viewer,
    headers: HeaderMap,
    Params(params): Params<LiveParams>,
) -> Result<Response, Problem> {
    let filter = params.filter()?;
    let place = beginning(&headers, params.from.as_deref())?;
    let permit = api.enter_stream()?;
    let stream = Stream {
        follower: Follower::begin(&api, filter, Form::Events, place, permit),
        silence: api.waits().ping,
        stopping: api.stopping(),
        viewer_ended: Box::pin(viewer.ended()),
    };
    let body = Body::from_stream(stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next_chunk().await?;
        Some((Ok::<_, Infallible>(chunk), stream))
    }));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Reverse proxies that buffer answers would hold the stream back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}

/// One reader's stream.
struct Stream {
    follower: Follower,
    /// After this long without a message it is said that the stream goes on, so that both ends notice when the other is
    /// gone.
    silence: Duration,
    stopping: CancellationToken,
    /// The sign-in or token that it was opened with does not hold any more.
    viewer_ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Stream {
    /// The next bytes of the stream; none when the server stops.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => None,
            () = self.viewer_ended.as_mut() => None,
            bytes = self.follower.next() => bytes,
            () = tokio::time::sleep(self.silence) => Some(self.keep_alive()),
        }
    }

    /// An id alone, which moves the reader's place without a message: a filter that nothing fits for a long time must not
    /// make it fall out of the log.
    fn keep_alive(&self) -> Bytes {
        format!(": keep-alive\nid: {}\n\n", self.follower.seen()).into()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};
    use loggerhead_model::Cursor;

    use super::{Place, beginning, kinds};

    #[test]
    fn a_place_covers_what_was_seen_and_nothing_else() {
        let place = Place::parse("7.2").expect("a place");
        assert_eq!(place.cursor(), Cursor::new(6), "the rest of batch 7 is wanted");
        let covered = [(6, 9), (7, 0), (7, 2)];
        assert!(covered.iter().all(|&(batch, item)| place.covers(Cursor::new(batch), item)));
        assert!(![(7, 3), (8, 0)].iter().any(|&(batch, item)| place.covers(Cursor::new(batch), item)));
        let whole = Place::parse("7").expect("a place");
        assert_eq!(whole.cursor(), Cursor::new(7));
        assert!(whole.covers(Cursor::new(7), usize::MAX) && !whole.covers(Cursor::new(8), 0));
        for bad in ["", "x", "7.", ".2", "+7", "7.2.1", "-1"] {
            assert_eq!(Place::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_was_seen_last_counts_more_than_the_address() {
        let mut headers = HeaderMap::new();
        assert_eq!(beginning(&headers, Some("3")).expect("a place"), Place::parse("3"));
        headers.insert("last-event-id", HeaderValue::from_static("9.1"));
        assert_eq!(beginning(&headers, Some("3")).expect("a place"), Place::parse("9.1"));
        headers.insert("last-event-id", HeaderValue::from_static("nine"));
        assert!(beginning(&headers, None).is_err());
    }

    #[test]
    fn kinds_are_words_joined_by_commas() {
        let some = kinds(Some("readings,presence")).expect("kinds");
        assert!(some.readings && some.presence && !some.events);
        assert!(kinds(Some("readings,")).is_err());
        assert!(kinds(None).expect("all").events);
    }
}
