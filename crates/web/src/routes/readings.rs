//! History: the readings of a span, the same thinned to buckets, and conflicts.
//!
//! A range is streamed piece by piece, and no thread or read transaction is held while its reader is slow. When its reader
//! goes, no further piece is read.

use std::ops::ControlFlow;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use loggerhead_model::Timestamp;
use loggerhead_store::{ChannelId, Reader, ReadingFilter, StoreError};
use serde::Deserialize;
use utoipa::IntoParams;

use super::devices::check_known;
use crate::api::{
    Bucket, Buckets, Channel, Conflict, ConflictList, Latest, ProblemDetails, RangeReading, Readings, Time,
};
use crate::extract::{Params, device_id, limited};
use crate::page::Page;
use crate::problem::{Problem, ProblemKind};
use crate::state::{Api, Streaming, now};

/// Readings of an answer, unless the caller says otherwise.
const READINGS_DEFAULT: usize = 10_000;
/// Most readings of one answer; what is left is named by `next`.
const READINGS_MAX: usize = 100_000;
/// Readings that are read, written as JSON and held at a time: about half a megabyte.
const PIECE_READINGS: usize = 2_000;
/// Buckets of an answer, unless the caller says otherwise.
const BUCKETS_DEFAULT: usize = 500;
/// Most buckets of an answer: a point for every pixel of a wall screen.
const BUCKETS_MAX: usize = 8_000;
/// Conflicts on a page, unless the caller says otherwise.
const CONFLICTS_DEFAULT: usize = 100;
/// Most conflicts on a page.
const CONFLICTS_MAX: usize = 1_000;
/// The span when none is given: the last day.
const SPAN_DEFAULT_MS: i64 = 86_400_000;

/// One channel and a span.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RangeParams {
    /// The device.
    device: String,
    /// The device's name for the meter; may be empty.
    meter: String,
    /// The device's name for what the meter measures.
    function: String,
    /// First moment of the span, the device's clock; a day before `to` where nothing is said.
    from: Option<Time>,
    /// First moment after the span; now where nothing is said.
    to: Option<Time>,
    /// Most readings in the answer, 1 to 100000; 10000 where nothing is said.
    limit: Option<usize>,
}

/// One channel and a span.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BucketParams {
    /// The device.
    device: String,
    /// The device's name for the meter; may be empty.
    meter: String,
    /// The device's name for what the meter measures.
    function: String,
    /// First moment of the span, the device's clock; a day before `to` where nothing is said.
    from: Option<Time>,
    /// First moment after the span; now where nothing is said.
    to: Option<Time>,
    /// Into how many equal parts the span is cut, 1 to 8000; 500 where nothing is said.
    count: Option<usize>,
}

/// Which conflicts, and which page of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConflictParams {
    /// Only of this device.
    device: Option<String>,
    /// Only of the meter of this name.
    meter: Option<String>,
    /// Only of the function of this name.
    function: Option<String>,
    /// Only measured at this moment or later.
    from: Option<Time>,
    /// Only measured before this moment.
    to: Option<Time>,
    /// Only after this one: `next` of the page before.
    after: Option<u64>,
    /// Conflicts on the page, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

/// A span whose end is after its start.
pub(super) fn span(from: Option<Time>, to: Option<Time>) -> Result<(Timestamp, Timestamp), Problem> {
    let to = to.map_or_else(now, |to| to.0);
    let from =
        from.map_or_else(|| Timestamp::from_unix_ms(to.unix_ms().saturating_sub(SPAN_DEFAULT_MS)), |from| from.0);
    if from < to {
        return Ok((from, to));
    }
    Err(Problem::new(ProblemKind::BadRequest, format!("the span from {from} to {to} ends before it begins")))
}

/// The channel of these names.
pub(super) async fn channel(
    api: &Api,
    device: &str,
    meter: String,
    function: String,
) -> Result<loggerhead_store::Channel, Problem> {
    let device = device_id(device)?;
    let name = format!("device {device}, meter {meter:?}, function {function:?}");
    let found = api.query(move |reader| reader.channel(&device, &meter, &function)).await?;
    found.ok_or_else(|| Problem::new(ProblemKind::UnknownChannel, format!("no channel of {name}")))
}

/// The readings of one channel in a span, in the order of time.
///
/// The answer is streamed. Should the store fail on the way, the connection is closed without the end of the answer.
#[utoipa::path(
    get,
    path = "/api/v1/readings",
    tag = "readings",
    operation_id = "range",
    params(RangeParams),
    responses(
        (status = 200, description = "The readings.", body = Readings),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such channel.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot answer.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn range(State(api): State<Api>, Params(params): Params<RangeParams>) -> Result<Response, Problem> {
    let limit = limited(params.limit, READINGS_DEFAULT, READINGS_MAX)?;
    let (from, to) = span(params.from, params.to)?;
    let channel = channel(&api, &params.device, params.meter, params.function).await?;
    let streaming = api.streaming();
    let mut range = Range { api, channel: channel.id, from: Some(from), to, left: limit, begun: false, streaming };
    // The first piece is read before the head of the answer leaves, so that a store that fails at once is said so.
    let mut start = head(&Channel::from(channel), from, to).into_bytes();
    start.extend(range.next_piece().await?.unwrap_or_default());
    let rest = stream::try_unfold(range, |mut range| async move {
        let piece =
            range.next_piece().await.map_err(|_| std::io::Error::other("the store failed during the answer"))?;
        Ok::<_, std::io::Error>(piece.map(|piece| (Bytes::from(piece), range)))
    });
    let body = Body::from_stream(futures_util::StreamExt::chain(stream::once(async { Ok(Bytes::from(start)) }), rest));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// What stands before the readings of `Readings`.
fn head(channel: &Channel, from: Timestamp, to: Timestamp) -> String {
    let channel = serde_json::to_string(channel).expect("a channel of texts and numbers is JSON");
    format!("{{\"channel\":{channel},\"from\":\"{from}\",\"to\":\"{to}\",\"readings\":[")
}

/// A range on its way out.
struct Range {
    api: Api,
    channel: ChannelId,
    /// Where the next piece begins; none when the span is complete.
    from: Option<Timestamp>,
    to: Timestamp,
    left: usize,
    begun: bool,
    streaming: Streaming,
}

/// Some readings as JSON.
struct Piece {
    json: Vec<u8>,
    readings: usize,
    /// The first reading that is not in it; none when there is no more.
    next: Option<Timestamp>,
}

impl Range {
    /// The next bytes of the answer; none after its end.
    async fn next_piece(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        if let Some(from) = self.from.filter(|_| self.left > 0) {
            let (channel, to, max, begun) = (self.channel, self.to, self.left.min(PIECE_READINGS), self.begun);
            let piece = self.api.query(move |reader| piece(reader, channel, from, to, max, begun)).await?;
            self.begun |= piece.readings > 0;
            self.left -= piece.readings;
            self.from = piece.next;
            return Ok(Some(piece.json));
        }
        if self.streaming.is_whole() {
            return Ok(None);
        }
        self.streaming.whole();
        let next = self.from.map_or_else(|| "null".to_owned(), |from| format!("\"{from}\""));
        Ok(Some(format!("],\"next\":{next}}}").into_bytes()))
    }
}

/// Reads at most `max` readings and writes them as members of a list that has `begun` or not.
fn piece(
    reader: &Reader,
    channel: ChannelId,
    from: Timestamp,
    to: Timestamp,
    max: usize,
    mut begun: bool,
) -> Result<Piece, StoreError> {
    let mut piece = Piece { json: Vec::new(), readings: 0, next: None };
    reader.range(channel, from, to, &mut |stored| {
        if piece.readings == max {
            piece.next = Some(stored.reading.measured_at);
            return ControlFlow::Break(());
        }
        if begun {
            piece.json.push(b',');
        }
        begun = true;
        piece.readings += 1;
        serde_json::to_writer(&mut piece.json, &RangeReading::new(&stored))
            .expect("a reading is JSON, and memory takes it");
        ControlFlow::Continue(())
    })?;
    Ok(piece)
}

/// A span of one channel, cut into equal parts: least, greatest, mean and count of each, and how many of its readings are
/// bad or were resumed.
///
/// A part without readings is empty and never zero, so that a gap stays a gap.
#[utoipa::path(
    get,
    path = "/api/v1/buckets",
    tag = "readings",
    operation_id = "buckets",
    params(BucketParams),
    responses(
        (status = 200, description = "The parts.", body = Buckets),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such channel.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot answer.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn buckets(
    State(api): State<Api>,
    Params(params): Params<BucketParams>,
) -> Result<Json<Buckets>, Problem> {
    let count = params.count.unwrap_or(BUCKETS_DEFAULT);
    if !(1..=BUCKETS_MAX).contains(&count) {
        return Err(Problem::new(ProblemKind::BadRequest, format!("count {count} is not in 1..={BUCKETS_MAX}")));
    }
    let (from, to) = span(params.from, params.to)?;
    // Parts shorter than the clock's resolution would be empty for no reason.
    let count = count.min(usize::try_from(to.since(from).as_millis()).unwrap_or(count));
    let channel = channel(&api, &params.device, params.meter, params.function).await?;
    let id = channel.id;
    let buckets = api.query(move |reader| reader.buckets(id, from, to, count)).await?;
    let buckets = buckets.into_iter().map(Bucket::from).collect();
    Ok(Json(Buckets { channel: channel.into(), from: Time(from), to: Time(to), buckets }))
}

/// The readings that came again with another value, in the order in which they came.
#[utoipa::path(
    get,
    path = "/api/v1/conflicts",
    tag = "readings",
    operation_id = "list_conflicts",
    params(ConflictParams),
    responses(
        (status = 200, description = "A page of conflicts.", body = ConflictList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot answer.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn conflicts(
    State(api): State<Api>,
    Params(params): Params<ConflictParams>,
) -> Result<Json<ConflictList>, Problem> {
    let limit = limited(params.limit, CONFLICTS_DEFAULT, CONFLICTS_MAX)?;
    let device = params.device.as_deref().map(device_id).transpose()?;
    let filter = ReadingFilter {
        device: device.clone(),
        meter: params.meter,
        function: params.function,
        from: params.from.map(|from| from.0),
        to: params.to.map(|to| to.0),
    };
    let page = api
        .query(move |reader| {
            let mut page = Page::new(limit);
            reader.conflicts(&filter, params.after, &mut |conflict| {
                page.take(conflict.number, || Conflict {
                    number: conflict.number,
                    first: conflict.first.to_owned(),
                    later: Latest::new(&conflict.later),
                })
            })?;
            Ok(page)
        })
        .await?;
    check_known(&api, device.as_ref(), page.kept.len()).await?;
    Ok(Json(ConflictList { next: page.next(), conflicts: page.kept }))
}
