//! The packet that a program is about to build, so that it can be explained like one that was captured.

use loggerhead_protocols::mqtt::encode::to_bytes;
use loggerhead_protocols::mqtt::message::{Connect, Level, Packet};
use loggerhead_protocols::mqtt::properties::Properties;

use crate::exit::{Exit, Failure};

/// What can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Build {
    /// The CONNECT of an MQTT client
    Connect,
}

/// What goes into it.
#[derive(Clone, Default, clap::Args)]
pub(crate) struct Parts {
    /// With --build: the client identifier
    #[arg(long, value_name = "NAME")]
    client_id: Option<String>,
    /// With --build: the user name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// With --build: the password
    #[arg(long, value_name = "TEXT")]
    password: Option<String>,
    /// The version of MQTT, 3.1, 3.1.1 or 5: of what is built, or of bytes that do not say it
    #[arg(long, value_name = "VERSION")]
    mqtt_version: Option<String>,
    /// With --build: longest pause between two packets, in seconds
    #[arg(long, value_name = "SECONDS")]
    keep_alive: Option<u16>,
    /// With --build: go on with the session from before
    #[arg(long)]
    keep_session: bool,
}

impl std::fmt::Debug for Parts {
    /// Everything but the password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Parts({:?}, {:?})", self.client_id, self.user)
    }
}

impl Parts {
    /// Whether there is one that only a packet to be built has.
    pub(super) fn is_any(&self) -> bool {
        [&self.client_id, &self.user, &self.password].into_iter().any(Option::is_some)
            || self.keep_alive.is_some()
            || self.keep_session
    }

    /// The version of MQTT that is named.
    ///
    /// # Errors
    /// `Usage` when there is none of that name.
    pub(super) fn level(&self) -> anyhow::Result<Option<Level>> {
        let Some(version) = self.mqtt_version.as_deref() else { return Ok(None) };
        let refused = || Failure::new(Exit::Usage, format!("--mqtt-version {version}: takes 3.1, 3.1.1 or 5"));
        Ok(Some(Level::ALL.into_iter().find(|level| level.name() == version).ok_or_else(refused)?))
    }
}

/// The bytes of the packet.
///
/// # Errors
/// When a part cannot be one.
pub(super) fn bytes(build: Build, parts: &Parts) -> anyhow::Result<Vec<u8>> {
    let Build::Connect = build;
    let level = parts.level()?.unwrap_or(Level::V4);
    for text in [&parts.client_id, &parts.user, &parts.password].into_iter().flatten() {
        if text.len() > usize::from(u16::MAX) {
            return Err(Failure::new(Exit::Usage, "a name or password is longer than 65,535 bytes").into());
        }
    }
    let connect = Connect {
        level,
        clean_start: !parts.keep_session,
        keep_alive_s: parts.keep_alive.unwrap_or(60),
        properties: Properties::NONE,
        client_id: parts.client_id.as_deref().unwrap_or_default(),
        will: None,
        user: parts.user.as_deref(),
        password: parts.password.as_deref().map(str::as_bytes),
    };
    Ok(to_bytes(&Packet::Connect(connect), level).to_vec())
}

#[cfg(test)]
mod tests {
    use super::{Build, Parts, bytes};

    #[test]
    fn a_connect_is_built_byte_for_byte() {
        let text = |text: &str| Some(text.to_owned());
        let parts = Parts {
            client_id: text("C001"),
            user: text("admin"),
            password: text("123456"),
            keep_alive: Some(100),
            ..Parts::default()
        };
        let expected = b"\x10\x1f\x00\x04MQTT\x04\xc2\x00\x64\x00\x04C001\x00\x05admin\x00\x06123456";
        assert_eq!(bytes(Build::Connect, &parts).expect("it can be built"), expected);
        assert!(bytes(Build::Connect, &Parts { mqtt_version: text("4"), ..Parts::default() }).is_err());
    }
}
