//! Every byte of a capture with its meaning. A direction does not say which one it is: a body that ends in a footer is a response.

use super::frame::HEAD_BYTES;
use super::message::{Request, Response};
use super::services::Service;
use crate::{Explain, Explanation, Field, Judgement};

/// Explains bytes of one direction.
#[must_use]
pub fn explain(what: &Explain<'_>) -> Explanation {
    let mut explanation = Explanation::default();
    let mut at = 0;
    let mut field = |end: usize, name: &str, meaning: String, judgement: Judgement, at: &mut usize| {
        explanation.fields.push(Field { range: *at..end, name: name.to_owned(), meaning, judgement });
        *at = end;
    };
    while let Some(rest) = what.bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let head = rest.split_first_chunk::<HEAD_BYTES>();
        let length = head.map(|(&[_, _, high, low], _)| usize::from(u16::from_be_bytes([high, low])));
        let body = length.and_then(|length| rest.get(HEAD_BYTES..HEAD_BYTES + length));
        let (Some((&[id_high, id_low, ..], _)), Some(body)) = (head, body) else {
            let meaning = format!("{} bytes of a message that has not ended", rest.len());
            field(what.bytes.len(), "begun", meaning, Judgement::Odd, &mut at);
            break;
        };
        let id = u16::from_be_bytes([id_high, id_low]);
        let head_end = at + HEAD_BYTES;
        field(head_end, "head", format!("number {id}, {} bytes", body.len()), Judgement::Right, &mut at);
        if body.is_empty() {
            continue;
        }
        let (meaning, judgement) = meaning(body);
        field(head_end + body.len(), "body", meaning, judgement, &mut at);
    }
    explanation
}

/// A title and what follows it.
fn told(title: &str, fields: &str) -> String {
    if fields.is_empty() { title.to_owned() } else { format!("{title}: {fields}") }
}

fn meaning(body: &[u8]) -> (String, Judgement) {
    if let Ok(request) = Request::read(body) {
        let meaning = match request {
            Request::Read { name, .. } => format!("reads {name}"),
            Request::Write { name, value, .. } => format!("writes {value} to {name}"),
            Request::ReadMany(names) => format!("reads {}", names.join(", ")),
            Request::ReadArray(name) => format!("reads the elements of {name}"),
            Request::WriteArray { name, numbers } => format!("writes {numbers:?} to the elements of {name}"),
            Request::WriteMany(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{value} to {name}")).collect();
                format!("writes {}", pairs.join(", "))
            }
            Request::Service(service, fields) => told(service.title, &service.request_text(&fields)),
            Request::Other(kind) => return (format!("type {kind}, which is not explained here"), Judgement::Odd),
        };
        return (meaning, Judgement::Right);
    }
    match Response::read(body) {
        Ok(response) => {
            let values: Vec<String> = response.values.iter().map(|(_, value)| format!("{value:?}")).collect();
            let became = if response.is_success { "success".to_owned() } else { response.error.text() };
            if let Some(service) = Service::find(response.kind) {
                let fields = service.response_text(&response.fields);
                return (told(&format!("answers who {}: {became}", service.title), &fields), Judgement::Right);
            }
            (format!("answers {}: {became}", values.join(", ")), Judgement::Right)
        }
        Err(fault) => (fault.to_string(), Judgement::Wrong),
    }
}
