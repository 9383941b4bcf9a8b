//! Explaining bytes to people.

use loggerhead_protocols::Explain;

use crate::choices::Choices;

/// Every byte of any capture has exactly one meaning, in order.
///
/// # Panics
/// When a byte has none, or two.
pub fn explain(input: &[u8]) {
    let mut choices = Choices::new(input);
    let protocol = choices.protocol();
    let (_settings, _stage, _piece) = (choices.byte(), choices.byte(), choices.byte());
    let keys = [(b"0000000000123456".to_vec(), b"0000000000123456".to_vec())];
    let bytes = choices.rest();
    let explanation = (protocol.explain)(&Explain { bytes, keys: &keys, ..Explain::default() });
    let mut explained = 0;
    for field in &explanation.fields {
        assert_eq!(field.range.start, explained, "{} does not begin where the field before it ends", field.name);
        assert!(field.range.end > explained, "{} is empty", field.name);
        explained = field.range.end;
    }
    assert_eq!(explained, bytes.len(), "bytes without a meaning");
    assert!(explanation.messages.iter().all(|(range, _)| range.end <= bytes.len()), "a message from beyond the bytes");
}
