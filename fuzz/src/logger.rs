//! What lies inside the frames of data loggers, which their checks and ciphers hide from made-up bytes.

use loggerhead_model::Timestamp;
use loggerhead_protocols::logger::cipher::{Key, Look};
use loggerhead_protocols::logger::decode::{DecodeRules, QualityRule, decode};
use loggerhead_protocols::logger::dialect::ALL_DIALECTS;
use loggerhead_protocols::logger::frame::{Cut, Cutter, FRAME_BYTES_MAX};
use loggerhead_protocols::logger::text::plain;
use loggerhead_protocols::logger::time::Zone;

use crate::choices::Choices;
use crate::peers;

/// The keys of the recorded frames, each also its own initialisation vector.
const RECORDED_KEYS: [[u8; 16]; 2] = [*b"0000000000123456", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]];

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

/// What lies in the recorded frames, behind their types.
pub(crate) fn bodies() -> Vec<Vec<u8>> {
    let keys = RECORDED_KEYS.map(|key| Key::new(key, key));
    let body = |bytes: Vec<u8>| {
        let mut cutter = Cutter::new(None, FRAME_BYTES_MAX);
        cutter.push(&bytes);
        let Ok(Some(Cut::Frame(mut frame))) = cutter.cut() else { panic!("a recorded frame is one") };
        if frame.is_enciphered() {
            let key = keys.iter().find(|key| key.look(frame.body()) != Look::Nonsense).expect("one of their keys");
            key.decipher(frame.body_mut()).expect("whole blocks");
        }
        [&[frame.kind], frame.body()].concat()
    };
    peers::recorded_frames("logger").into_iter().map(body).collect()
}
