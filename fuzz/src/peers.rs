//! Head-ends and devices that know each other, in every setting that changes what is read.

use std::path::PathBuf;

use loggerhead_model::{DeviceId, Identity, Learnt};
use loggerhead_protocols::pair::{Enrolled, Pair};
use loggerhead_protocols::{DeviceSettings, Protocol, Session};

/// What both sides are set to.
struct Settings {
    protocol: &'static str,
    listener: &'static str,
    device: &'static str,
    simulated: &'static str,
    checks: Checks,
}

/// Whether a byte that was damaged on its way can be told from a true one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    /// Frames carry a check, and the head-end looks at it.
    Believed,
    /// They carry none, or it is not looked at: a damaged value is a value.
    Absent,
}

/// How many choices `head_end` and `device` know.
pub(crate) const SETTINGS: u8 = 6;

/// Every dialect of the data loggers, and every rule about checks and answers; then clients of a broker that say their secret and that prove it; lines in another encoding and with
/// other ends, cameras, robots with and without their configuration, robots in their cycles, clients of a relay, robots that are
/// asked, devices without a protocol, and senders of files.
const ROWS: [Settings; 29] = [
    Settings {
        protocol: "logger",
        listener: "aes_keys = ['text:0000000000123456']",
        device: "",
        simulated: "dialect = 'national'",
        checks: Checks::Believed,
    },
    Settings {
        protocol: "logger",
        listener: "aes_keys = ['text:9999999999999999', 'text:0000000000123456']",
        device: "crc = 'off'",
        simulated: "dialect = 'zhejiang'",
        checks: Checks::Absent,
    },
    Settings {
        protocol: "logger",
        listener: "aes_keys = ['text:0000000000123456']",
        device: "",
        simulated: "dialect = 'shanghai'\nconnections = 'per-message'",
        checks: Checks::Absent,
    },
    Settings {
        protocol: "logger",
        listener: "aes_keys = ['text:0000000000123456']",
        device: "",
        simulated: "dialect = 'supcon'",
        checks: Checks::Absent,
    },
    Settings {
        protocol: "logger",
        listener: "aes_keys = ['text:0000000000123456']",
        device: "",
        simulated: "dialect = 'bare'\nlive = 'continuous'",
        checks: Checks::Absent,
    },
    Settings {
        protocol: "logger",
        listener: "",
        device: "",
        simulated: "dialect = 'plain'\nlive = 'continuous'",
        checks: Checks::Absent,
    },
    Settings { protocol: "mqtt", listener: "", device: "", simulated: "", checks: Checks::Absent },
    Settings { protocol: "mqtt", listener: "", device: "", simulated: "scram = true", checks: Checks::Absent },
    Settings { protocol: "line", listener: "", device: "", simulated: "", checks: Checks::Absent },
    Settings {
        protocol: "line",
        listener: "encoding = 'utf-8'\nterminator = 'lf'\non_oversize = 'discard_line'\nchat_text = 'rest'",
        device: "",
        simulated: "encoding = 'utf-8'",
        checks: Checks::Absent,
    },
    Settings {
        protocol: "line",
        listener: "punctuation = 'full-width'\ncontrols = 'keep'\non_oversize = 'error_then_close'\nrate = 2",
        device: "",
        simulated: "punctuation = 'full-width'",
        checks: Checks::Absent,
    },
    Settings { protocol: "camera", listener: "", device: "kind = 'camera'", simulated: "", checks: Checks::Absent },
    Settings {
        protocol: "camera",
        listener: "lenient_lf = true\nunknown_max = 1\nreply_names = 'group'\nsettle_s = 0",
        device: "kind = 'camera'",
        simulated: "heartbeat_s = 5",
        checks: Checks::Absent,
    },
    Settings { protocol: "chat", listener: "", device: "", simulated: "", checks: Checks::Absent },
    Settings {
        protocol: "chat",
        listener: "ping_s = 1\nsilence_s = 5\nrate = 2\nhistory_messages_max = 2\nlegacy_texts = 'direct'",
        device: "",
        simulated: "",
        checks: Checks::Absent,
    },
    Settings { protocol: "kuka", listener: "", device: "", simulated: "", checks: Checks::Absent },
    Settings {
        protocol: "kuka",
        listener: "writable = ['Server/Override']",
        device: "events = ['Robot/Status', 'Robot/Mode']\nidle_s = 5",
        simulated: "",
        checks: Checks::Absent,
    },
    Settings {
        protocol: "kuka",
        listener: "configuration = '<ETHERNETKRL><SEND><XML><ELEMENT Tag=\"Robot/_1/_1\"/></XML></SEND></ETHERNETKRL>'",
        device: "",
        simulated: "",
        checks: Checks::Absent,
    },
    Settings { protocol: "rsi", listener: "", device: "", simulated: "cycle_ms = 30000", checks: Checks::Absent },
    Settings {
        protocol: "rsi",
        listener: "record_ms = 0\nsilence_s = 60",
        device: "corrections = [{ element = 'RKorr/@X', max = 0.5 }]",
        simulated: "cycle_ms = 30000\nreconnect_ms = 10",
        checks: Checks::Absent,
    },
    Settings { protocol: "socks", listener: "", device: "", simulated: "", checks: Checks::Absent },
    Settings {
        protocol: "socks",
        listener: "login = 'either'",
        device: "",
        simulated: "version = '4'",
        checks: Checks::Absent,
    },
    Settings {
        protocol: "socks",
        listener: "login = 'nobody'\n[[rule]]\naction = 'deny'\nports = ['1-1000']\nnames = ['*.org']",
        device: "relays_max = 1",
        simulated: "host = '1.1.1.1'",
        checks: Checks::Absent,
    },
    Settings { protocol: "varproxy", listener: "poll_ms = 60000", device: "", simulated: "", checks: Checks::Absent },
    Settings {
        protocol: "varproxy",
        listener: "poll_ms = 60000\nvariables = ['$OV_PRO', '$NONE', '$POS_ACT']",
        device: "writable = ['$OV_PRO']",
        simulated: "is_simple = true\nwritable = ['$OV_PRO']",
        checks: Checks::Absent,
    },
    Settings { protocol: "raw", listener: "", device: "", simulated: "", checks: Checks::Absent },
    Settings {
        protocol: "raw",
        listener: "line_bytes_max = 512\nignore = ['^#']\nclock = 'unix_s'",
        device: "answer = \"{sequence};\\n\"\nchannels = { value = '1/p' }",
        simulated: "answer = \"{sequence};\\n\"\nreconnect_ms = 10",
        checks: Checks::Absent,
    },
    Settings { protocol: "upload", listener: "", device: "", simulated: "", checks: Checks::Absent },
    Settings {
        protocol: "upload",
        listener: "collision = 'replace'\nportable = true\nreply = true\nidle_s = 5",
        device: "",
        simulated: "",
        checks: Checks::Absent,
    },
];

const NONE: Settings = Settings { protocol: "", listener: "", device: "", simulated: "", checks: Checks::Absent };
/// The name that the simulated device gives itself unless its settings say otherwise.
const IDENTITY: &str = "330302D110/01";
/// The protocol whose devices have a cipher key.
const ENCIPHERED: &str = "logger";
/// The protocols whose packets carry no check of their own: they rest on the transport's, which a line that changes single
/// bytes does not have.
const UNCHECKED: [&str; 10] = ["mqtt", "line", "chat", "camera", "kuka", "raw", "rsi", "socks", "varproxy", "upload"];
/// The protocols whose devices have no secret, and are not told what is stored.
const UNTOLD: [&str; 2] = ["rsi", "varproxy"];
/// The protocols whose peers have nothing to report.
const SILENT: [&str; 1] = ["socks"];
const SECRET: &str = "text:IJKLMNOPQRSTUVWX";
const KEY: &str = "text:0000000000123456";

fn settings(protocol: &Protocol, choice: u8) -> &'static Settings {
    let rows = || ROWS.iter().filter(|row| row.protocol == protocol.name);
    let place = usize::from(choice).checked_rem(rows().count());
    place.and_then(|place| rows().nth(place)).unwrap_or(&NONE)
}

fn table(text: &str) -> toml::Table {
    text.parse().expect("the rows above are TOML")
}

/// A head-end that knows one device.
pub(crate) fn head_end(protocol: &Protocol, choice: u8) -> Pair {
    let settings = settings(protocol, choice);
    let identity = Identity::new(IDENTITY).expect("short enough");
    let device = table(settings.device);
    let id = DeviceId::from_identity(&identity);
    let mut devices = [DeviceSettings { id: &id, identity: &identity, table: &device }].into_iter();
    let acceptor = (protocol.acceptor)(&table(settings.listener), &mut devices).expect("the rows above are right");
    let mut pair = Pair::new(acceptor);
    let enrolled = Enrolled {
        device: DeviceId::new("tower-1").expect("short enough"),
        secret: b"IJKLMNOPQRSTUVWX".to_vec(),
        cipher_is_enough: true,
        settings: device.clone().into(),
        learnt: Learnt::new(),
    };
    pair.enrolled.insert(identity.clone(), enrolled);
    pair
}

/// The device that the head-end of the same choice knows.
pub(crate) fn device(protocol: &Protocol, choice: u8, pair: &mut Pair) -> Box<dyn Session> {
    let mut settings = table(settings(protocol, choice).simulated);
    if is_told(protocol) {
        settings.insert("secret".to_owned(), SECRET.into());
    }
    if protocol.name == ENCIPHERED {
        settings.insert("aes_key".to_owned(), KEY.into());
    }
    (protocol.device)(&settings, pair.opening()).expect("the rows above are right")
}

/// Whether that head-end finds damaged bytes.
pub(crate) fn checks(protocol: &Protocol, choice: u8) -> Checks {
    settings(protocol, choice).checks
}

/// Whether its devices hear of the store's commits.
pub(crate) fn is_told(protocol: &Protocol) -> bool {
    !UNTOLD.contains(&protocol.name)
}

/// Whether a changed byte is found out by the protocol itself.
pub(crate) fn finds_damage(protocol: &Protocol) -> bool {
    !UNCHECKED.contains(&protocol.name)
}

/// Whether its devices report readings.
pub(crate) fn reports(protocol: &Protocol) -> bool {
    !SILENT.contains(&protocol.name)
}

/// What stands in the rows above.
pub(crate) fn written_settings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().flat_map(|row| [row.listener, row.device, row.simulated])
}

/// What was recorded on the wires of a protocol.
pub(crate) fn recorded_frames(protocol: &str) -> Vec<Vec<u8>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/protocols/src");
    hex_files(&format!("{root}/{protocol}/vectors"))
        .into_iter()
        .map(|path| bytes_of(&std::fs::read_to_string(path).expect("the tree can be read")))
        .collect()
}

/// The `.hex` files of a directory, in order of their names.
pub(crate) fn hex_files(directory: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .expect("the directory is part of the tree")
        .map(|entry| entry.expect("the tree can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .collect();
    paths.sort();
    paths
}

/// The bytes of a `.hex` file: pairs of digits; `#` begins a remark.
pub(crate) fn bytes_of(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::bytes)
        .filter_map(|digit| u8::try_from(char::from(digit).to_digit(16)?).ok())
        .collect();
    digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}
