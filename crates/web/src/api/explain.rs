//! Bytes with their meaning.

use std::fmt::Write as _;

use loggerhead_protocols::Judgement;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::words;
use crate::inspect::{Inspection, Part, Step};

/// Bytes to explain, and what helps.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Whose bytes they are; the first protocol where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "logger")]
    pub protocol: Option<String>,
    /// The bytes of one direction of a conversation, or a whole capture (pcap, pcapng), as hex digits with anything
    /// usual between them.
    #[schema(example = "68681616 e4000000 1692ec42")]
    pub hex: String,
    /// Keys to try: `text:KEY`, `hex:KEY`, `text:KEY,iv=hex:IV`. Neither kept nor logged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Settings as on a listener, such as `dialect`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object, example = json!({"dialect": "bare"}))]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Of a capture, only conversations with this TCP port at either end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Which version of the protocol is spoken, where the bytes do not say it: of MQTT 3.1, 3.1.1 or 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "3.1.1")]
    pub version: Option<String>,
}

/// Every byte with its meaning.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The conversations, in the order in which they began.
    pub conversations: Vec<ExplainedConversation>,
    /// What people should know about the capture, and about how its bytes were read.
    pub notes: Vec<String>,
}

/// One conversation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExplainedConversation {
    /// Who talked with whom; none for bytes from nowhere.
    pub conversation: Option<String>,
    /// Bytes that the capture does not hold.
    pub missing_bytes: u64,
    /// The fields of both directions, in the order in which they were complete.
    pub fields: Vec<ExplainedField>,
}

/// A piece of bytes with one meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedField {
    /// Who says it; none for bytes from nowhere.
    pub from: Option<String>,
    /// The packet of the capture that completed it, counted from 1.
    pub packet: Option<u64>,
    /// Where it begins in its direction.
    pub offset: usize,
    /// How long it is.
    pub length: usize,
    /// Its bytes, as hex digits.
    pub hex: String,
    /// Its name.
    pub name: String,
    /// What its bytes say.
    pub meaning: String,
    /// `right`; `odd`: seen in the field and tolerated; `wrong`: the meaning says how.
    #[schema(schema_with = judgement_words)]
    pub judgement: String,
    /// Messages that end in it, as text.
    pub messages: Vec<String>,
}

fn judgement_words() -> Object {
    words(&[Judgement::Right, Judgement::Odd, Judgement::Wrong].map(judgement_word))
}

/// The word for a judgement.
pub(crate) const fn judgement_word(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Right => "right",
        Judgement::Odd => "odd",
        Judgement::Wrong => "wrong",
    }
}

impl From<&Inspection> for Explanation {
    fn from(inspection: &Inspection) -> Self {
        let conversations = inspection.parts.iter().map(ExplainedConversation::from).collect();
        Self { conversations, notes: inspection.all_notes().into_iter().map(str::to_owned).collect() }
    }
}

impl From<&Part> for ExplainedConversation {
    fn from(part: &Part) -> Self {
        let fields = part.steps().iter().map(ExplainedField::from).collect();
        Self { conversation: part.title.clone(), missing_bytes: part.missing, fields }
    }
}

impl From<&Step<'_>> for ExplainedField {
    fn from(step: &Step<'_>) -> Self {
        let mut hex = String::with_capacity(2 * step.field.range.len());
        for byte in step.bytes() {
            write!(hex, "{byte:02x}").expect("a text takes everything");
        }
        Self {
            from: step.run.from.clone(),
            packet: (step.packet > 0).then_some(step.packet),
            offset: step.field.range.start,
            length: step.field.range.len(),
            hex,
            name: step.field.name.clone(),
            meaning: step.field.meaning.clone(),
            judgement: judgement_word(step.field.judgement).to_owned(),
            messages: step.messages().map(str::to_owned).collect(),
        }
    }
}
