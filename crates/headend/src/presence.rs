//! Whether a device is there, judged from received bytes only.

use std::time::Duration;

use loggerhead_model::{Presence, Timestamp};

/// How often a device should be heard from when its protocol does not say.
pub(crate) const EXPECT_WITHIN_DEFAULT: Duration = Duration::from_mins(10);

/// How a device uses connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It keeps one; without it, it is gone.
    Keeps,
    /// It may open one for every message: between two of them it is not gone.
    PerMessage,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The device ended it in good order.
    Good,
    /// It broke, or we ended it.
    Bad,
}

/// What a judgement rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// It has a session now.
    pub(crate) connected: bool,
    /// How it uses connections.
    pub(crate) habit: Habit,
    /// How its last session ended.
    pub(crate) ended: Manner,
    /// For how long nothing was received from it; none when nothing ever was in this process.
    pub(crate) silence: Option<Duration>,
    /// How often it should be heard from.
    pub(crate) expect_within: Duration,
    /// Bytes were received from it at some time, perhaps by an earlier process.
    pub(crate) last_bytes_at: Option<Timestamp>,
}

/// The one rule of presence.
pub(crate) fn judge(facts: &Facts) -> Presence {
    let heard = facts.silence.is_some_and(|silence| silence <= facts.expect_within);
    let between_messages = facts.habit == Habit::PerMessage && facts.ended == Manner::Good && heard;
    match (facts.connected, heard) {
        (true, true) => Presence::ConnectedFresh,
        (true, false) => Presence::ConnectedSilent,
        (false, _) if between_messages => Presence::ConnectedFresh,
        (false, _) if facts.last_bytes_at.is_some() => Presence::Offline,
        (false, _) => Presence::Never,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loggerhead_model::{Presence, Timestamp};

    use super::{Facts, Habit, Manner, judge};

    const CONNECTED: Facts = Facts {
        connected: true,
        habit: Habit::Keeps,
        ended: Manner::Bad,
        silence: Some(Duration::from_secs(10)),
        expect_within: Duration::from_mins(1),
        last_bytes_at: Some(Timestamp::from_unix_ms(1)),
    };

    fn check(facts: Facts, expected: Presence) {
        assert_eq!(judge(&facts), expected, "{facts:?}");
    }

    #[test]
    fn an_open_connection_without_bytes_is_silent() {
        check(CONNECTED, Presence::ConnectedFresh);
        check(Facts { silence: Some(Duration::from_secs(61)), ..CONNECTED }, Presence::ConnectedSilent);
        check(Facts { silence: None, ..CONNECTED }, Presence::ConnectedSilent);
    }

    #[test]
    fn a_device_that_keeps_its_connection_is_offline_without_it() {
        check(Facts { connected: false, ended: Manner::Good, ..CONNECTED }, Presence::Offline);
        check(Facts { connected: false, silence: None, last_bytes_at: None, ..CONNECTED }, Presence::Never);
        check(Facts { connected: false, silence: None, ..CONNECTED }, Presence::Offline);
    }

    #[test]
    fn a_device_that_connects_for_every_message_does_not_flap() {
        let between = Facts { connected: false, habit: Habit::PerMessage, ended: Manner::Good, ..CONNECTED };
        check(between, Presence::ConnectedFresh);
        check(Facts { silence: Some(Duration::from_secs(61)), ..between }, Presence::Offline);
        check(Facts { ended: Manner::Bad, ..between }, Presence::Offline);
    }
}
