//! Messages between people: how far they are, and what waits for whom.

use axum::Json;
use axum::extract::State;
use loggerhead_protocols::office::{MessageQuery, MessageState};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::{MessageList, ProblemDetails, Queue, QueueList};
use crate::extract::{Params, Sort, limited};
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// Rows of a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most rows of a page.
const PAGE_MAX: usize = 1000;

/// Which messages, and which page of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessageParams {
    /// Only from this person.
    from: Option<String>,
    /// Only to this person.
    to: Option<String>,
    /// Only in this room.
    room: Option<String>,
    /// Only in this state: `new`, `sent`, `confirmed`.
    state: Option<String>,
    /// Which come first: `newest` (as good as nothing said) or `oldest`.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// Only after this number in that order: `next` of the page before.
    after: Option<u64>,
    /// Messages on the page, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

/// Which page of the queues.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QueueParams {
    /// Only after this name: `next` of the page before.
    after: Option<String>,
    /// Queues on the page, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

impl MessageParams {
    fn query(&self) -> Result<MessageQuery, Problem> {
        let wrong = |detail: String| Problem::new(ProblemKind::BadRequest, detail);
        let state = |word: &String| {
            let known = MessageState::ALL.into_iter().find(|state| state.word() == word);
            known.ok_or_else(|| wrong(format!("no state {word:?} of a message")))
        };
        let to = match (&self.to, &self.room) {
            (Some(_), Some(_)) => return Err(wrong("a message goes to a person or to a room".to_owned())),
            (Some(to), None) => Some(to.clone()),
            (None, Some(room)) => Some(format!("#{room}")),
            (None, None) => None,
        };
        Ok(MessageQuery {
            from: self.from.clone(),
            to,
            state: self.state.as_ref().map(state).transpose()?,
            beyond: self.after,
            oldest_first: self.sort == Sort::Oldest,
        })
    }
}

/// The messages that are known, page by page: those that wait, and the last ones that were confirmed or said in a room.
#[utoipa::path(
    get,
    path = "/api/v1/messages",
    tag = "chat",
    operation_id = "list_messages",
    params(MessageParams),
    responses(
        (status = 200, description = "A page of messages.", body = MessageList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(params): Params<MessageParams>,
) -> Result<Json<MessageList>, Problem> {
    let limit = limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let mut messages = api.headend().messages(&params.query()?, limit + 1);
    let has_more = messages.len() > limit;
    messages.truncate(limit);
    let next = messages.last().filter(|_| has_more).map(|last| last.number);
    Ok(Json(MessageList { messages: messages.into_iter().map(Into::into).collect(), next }))
}

/// The people who are connected or for whom something waits, page by page.
#[utoipa::path(
    get,
    path = "/api/v1/messages/queues",
    tag = "chat",
    operation_id = "list_queues",
    params(QueueParams),
    responses(
        (status = 200, description = "A page of queues, by name.", body = QueueList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn queues(
    State(api): State<Api>,
    Params(params): Params<QueueParams>,
) -> Result<Json<QueueList>, Problem> {
    let limit = limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let queues = api.headend().queues(params.after.as_deref(), limit + 1);
    let has_more = queues.len() > limit;
    let queues: Vec<Queue> = queues.into_iter().take(limit).map(Into::into).collect();
    let next = queues.last().filter(|_| has_more).map(|last| last.name.clone());
    Ok(Json(QueueList { queues, next }))
}
