//! What a peer does wrong: operators are told of it, and who does little else is given up.

use crate::{Fault, Output};

/// Most faults of a peer that is not known yet: a device with a bad line repeats its request less often than that, and some lines of
/// a start may be described by nobody.
const FAULTS_BEFORE_LOGIN_MAX: u32 = 16;
/// Most faults of one that is, between two things that were understood.
const FAULTS_IN_A_ROW_MAX: u32 = 256;

/// The faults of a peer since something of it was understood.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    count: u32,
}

impl Faults {
    /// Counts one of a peer that is known, or not yet; what operators are told.
    ///
    /// # Errors
    /// The fault, when the peer does little else.
    pub(crate) fn count(&mut self, fault: Fault, is_known: bool) -> Result<Output, Fault> {
        self.count += 1;
        let max = if is_known { FAULTS_IN_A_ROW_MAX } else { FAULTS_BEFORE_LOGIN_MAX };
        if self.count > max {
            let reason = format!("{} faults in a row, the last: {}", self.count, fault.reason);
            return Err(Fault::new(fault.kind, reason));
        }
        Ok(Output::Fault(fault))
    }

    /// Something was understood: what was wrong before it does not count any more.
    pub(crate) fn forgive(&mut self) {
        self.count = 0;
    }
}
