//! What lies inside the frames of data loggers, which their checks and ciphers hide from made-up bytes.

use loggerhead_model::Timestamp;
use loggerhead_protocols::logger::decode::{DecodeRules, QualityRule, decode};
use loggerhead_protocols::logger::dialect::ALL_DIALECTS;
use loggerhead_protocols::logger::text::plain;
use loggerhead_protocols::logger::time::Zone;

use crate::choices::Choices;

/// A deciphered body: compression, characters, XML and its meaning, in every dialect.
///
/// # Panics
/// Never; that is the rule.
pub fn logger_body(input: &[u8]) {
    let mut choices = Choices::new(input);
    let kind = choices.byte();
    let Ok(plain) = plain(choices.rest()) else { return };
    let rules = DecodeRules {
        zone: Zone::parse("+08:00").expect("a zone"),
        quality: QualityRule::default(),
        received_at: Timestamp::from_unix_ms(0),
    };
    for dialect in ALL_DIALECTS {
        // A fault is an answer as good as any.
        let _ = decode(dialect, kind, &plain.text, &rules);
    }
}
