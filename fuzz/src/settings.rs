//! What an operator writes for a protocol.

use loggerhead_model::{DeviceId, Identity};
use loggerhead_protocols::DeviceSettings;

use crate::choices::Choices;
use crate::peers;

/// Any table is taken or refused with a key that names the place.
///
/// # Panics
/// When it is neither.
pub fn settings(input: &[u8]) {
    let mut choices = Choices::new(input);
    let protocol = choices.protocol();
    let Ok(text) = str::from_utf8(choices.rest()) else { return };
    let Ok(table) = text.parse::<toml::Table>() else { return };
    let identity = Identity::new("330302D110/01").expect("short enough");
    let id = DeviceId::from_identity(&identity);
    let mut devices = [DeviceSettings { id: &id, identity: &identity, table: &table }].into_iter();
    let opening = peers::head_end(protocol, 0).opening();
    let refusals = [
        (protocol.acceptor)(&table, &mut devices).err(),
        (protocol.check_device)(&table).err(),
        (protocol.device)(&table, opening).err(),
    ];
    for refusal in refusals.iter().flatten() {
        assert!(!refusal.reason.is_empty(), "a refusal of {} without a reason", refusal.key);
    }
}
