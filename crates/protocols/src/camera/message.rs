//! What commands mean: their names, in every spelling, and the replies.

use std::collections::BTreeMap;

use crate::encoding::Encoding;

/// The reason of a login that is refused. Source: \[1\] §1.1, as are all names and reasons but those called ours.
pub const WRONG_PASSWORD: &str = "用户名或者密码错误!";
/// The reason for a command that needs a login.
pub const LOG_IN_FIRST: &str = "请先登录";
/// A camera's id and password do not match.
pub const NO_MATCH: &str = "ID和密码不匹配";
/// A camera has its maximum number of accounts.
pub const CAMERA_FULL: &str = "该摄像头绑定账号已满";
/// An account has its maximum number of cameras. Ours.
pub const ACCOUNT_FULL: &str = "该账号绑定摄像头已满";
/// An account has no camera. Ours.
pub const NO_CAMERA: &str = "该账号没有绑定摄像头";
/// Parameters that a command cannot take. Ours.
pub const WRONG_PARAMETERS: &str = "参数错误";
/// The store did not keep something. Ours.
pub const NOT_STORED: &str = "保存失败，请稍后再试";

macro_rules! commands {
    ($($name:ident $group:literal $meaning:literal)*) => {
        /// A command of either side.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the table has their meanings")]
        pub enum Command { $($name,)* }

        impl Command {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its short name, which no other one has.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The group that it is in.
            #[must_use]
            pub const fn group(self) -> &'static str {
                match self { $(Self::$name => $group,)* }
            }

            /// What it is for.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

commands! {
    Login "LoginCommand" "an app logs in"
    LoginOk "LoginCommand" "logged in: cameras, last login, its address"
    LoginError "LoginCommand" "refused"
    CreatDataSocket "NormalCommand" "asks for a data connection"
    ReturnDataSocketPort "NormalCommand" "the port of a data connection, or none is free"
    UploadCaramer "CaramCommand" "binds a camera"
    UploadSucess "CaramCommand" "the camera is bound"
    UploadFail "CaramCommand" "the camera is not bound"
    DownLoadCaramer "CaramCommand" "asks for the next bound camera"
    DownloadSucess "CaramCommand" "a bound camera"
    DownloadFail "CaramCommand" "there is no such camera"
    CheckCaramerOnlineStatus "CaramCommand" "asks for states"
    ReturnCaramerOnlineStatus "CaramCommand" "states"
    PrushCaramerOnlineStatus "CaramCommand" "a state changed"
    PrushCaramerAlarmInfo "CaramCommand" "an alarm"
    CameraLogin "DeviceCommand" "a camera logs in (ours)"
    CameraLoginOk "DeviceCommand" "the camera is logged in (ours)"
    CameraLoginError "DeviceCommand" "the camera is refused (ours)"
    CameraAlarm "DeviceCommand" "a camera raises an alarm (ours)"
    CameraAlarmOk "DeviceCommand" "the alarm is stored (ours)"
}

/// What all full names begin with.
const ROOT: &str = "SocketCommand";

impl Command {
    fn grouped(self) -> String {
        format!("{}.{}", self.group(), self.name())
    }

    /// The command of a key in one of the three spellings, in any case, and which it is.
    #[must_use]
    pub fn find(key: &str) -> Option<(Self, Spelling)> {
        let (root, rest) = key.split_once('.').unwrap_or_default();
        let is_full = root.eq_ignore_ascii_case(ROOT);
        let rest = if is_full { rest } else { key };
        let found = |spelling, fits: &dyn Fn(Self) -> bool| {
            Self::ALL.iter().find(|command| fits(**command)).map(|command| (*command, spelling))
        };
        let grouped = found(if is_full { Spelling::Full } else { Spelling::Group }, &|command| {
            command.grouped().eq_ignore_ascii_case(rest)
        });
        grouped.or_else(|| found(Spelling::Short, &|command| !is_full && command.name().eq_ignore_ascii_case(rest)))
    }
}

/// How the key of a command is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spelling {
    /// `SocketCommand.LoginCommand.Login`.
    #[default]
    Full,
    /// `LoginCommand.Login`.
    Group,
    /// `Login`.
    Short,
    /// As the listener's table of aliases has it; in full where it has none.
    #[serde(skip)]
    Alias,
}

/// What parts the key from the body. Source: \[1\] §1.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub enum KeySeparator {
    /// A blank.
    #[default]
    #[serde(rename = " ")]
    Blank,
    /// A colon.
    #[serde(rename = ":")]
    Colon,
    /// A bar.
    #[serde(rename = "|")]
    Bar,
    /// A hash.
    #[serde(rename = "#")]
    Hash,
}

impl KeySeparator {
    const fn character(self) -> char {
        match self {
            Self::Blank => ' ',
            Self::Colon => ':',
            Self::Bar => '|',
            Self::Hash => '#',
        }
    }
}

/// How commands are written on a listener.
#[derive(Clone, Debug)]
pub struct Style {
    /// In which bytes.
    pub encoding: Encoding,
    /// What parts key and body.
    pub separator: KeySeparator,
    /// Other keys, such as numbers, and the command that each of them is.
    pub aliases: BTreeMap<String, Command>,
}

impl Default for Style {
    /// As a listener writes that has no settings.
    fn default() -> Self {
        Self { encoding: Encoding::Utf8, separator: KeySeparator::default(), aliases: BTreeMap::new() }
    }
}

impl Style {
    /// Key and body of a command that was decoded. The first separator parts them; without one there is no body.
    #[must_use]
    pub fn split<'a>(&self, text: &'a str) -> (&'a str, &'a str) {
        text.split_once(self.separator.character()).unwrap_or((text, ""))
    }

    /// The command of a key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<(Command, Spelling)> {
        self.aliases.get(key).map(|command| (*command, Spelling::Alias)).or_else(|| Command::find(key))
    }

    /// Appends key, separator and body, in bytes.
    pub fn write(&self, command: Command, spelling: Spelling, body: &str, out: &mut Vec<u8>) {
        let alias = || self.aliases.iter().find(|(_, other)| **other == command).map(|(key, _)| key.clone());
        let full = || format!("{ROOT}.{}", command.grouped());
        let key = match spelling {
            Spelling::Full => full(),
            Spelling::Group => command.grouped(),
            Spelling::Short => command.name().to_owned(),
            Spelling::Alias => alias().unwrap_or_else(full),
        };
        self.encoding.encode(&format!("{key}{}{}", self.separator.character(), tame(body)), out);
    }
}

/// A text without control characters: they would end a command, or reach somebody's terminal.
fn tame(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// The parameters of an `UploadCaramer`: `id | password | current | total`; the password may hold bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload<'a> {
    /// Which camera.
    pub id: &'a str,
    /// Everything between the id and the two numbers.
    pub password: &'a str,
    /// Its number, from 1, as it was written.
    pub current: &'a str,
    /// How many there are, as it was written.
    pub total: &'a str,
}

impl<'a> Upload<'a> {
    /// Reads a body; what is missing is empty.
    #[must_use]
    pub fn parse(body: &'a str) -> Self {
        let (id, rest) = body.split_once('|').unwrap_or((body, ""));
        let mut fields = rest.rsplitn(3, '|');
        let (last, before, first) = (fields.next(), fields.next(), fields.next());
        let (password, current, total) =
            (first.unwrap_or_default(), before.unwrap_or_default(), last.unwrap_or_default());
        Self { id, password, current, total }
    }

    /// Whether its numbers can be: from 1 to `total`, and that at most `max`.
    #[must_use]
    pub fn is_right(self, max: usize) -> bool {
        let number = |text: &str| text.parse::<usize>().ok();
        let numbers = number(self.current).zip(number(self.total));
        !self.id.is_empty() && numbers.is_some_and(|(current, total)| (1..=total).contains(&current) && total <= max)
    }
}

/// The word for a state. Source: \[1\] §1.1.
#[must_use]
pub const fn state_word(is_online: Option<bool>) -> &'static str {
    match is_online {
        Some(true) => "true",
        Some(false) => "false",
        None => "null",
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Spelling, Style, Upload};

    #[test]
    fn every_command_is_found_in_its_three_spellings_in_any_case() {
        for command in Command::ALL {
            for spelling in [Spelling::Full, Spelling::Group, Spelling::Short] {
                let mut key = Vec::new();
                Style::default().write(*command, spelling, "", &mut key);
                let key = String::from_utf8(key).expect("ASCII");
                for key in [key.trim().to_owned(), key.trim().to_lowercase()] {
                    assert_eq!(Command::find(&key), Some((*command, spelling)), "{key}");
                }
            }
        }
        for unknown in
            ["", "Close", "SocketCommand.Login", "CaramCommand.Login", "SocketCommand.", "Socket.LoginCommand.Login"]
        {
            assert_eq!(Command::find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_password_may_hold_bars_and_numbers_may_lie() {
        let upload = Upload::parse("c1|a|b|c|2|3");
        assert_eq!(upload, Upload { id: "c1", password: "a|b|c", current: "2", total: "3" });
        assert!(upload.is_right(3));
        for body in
            ["c1|p|0|1", "c1|p|2|1", "c1|p|1|9", "c1|p|x|1", "c1|p|1|", "|p|1|1", "c1|1|1", "c1", "", "c1|p|-1|1"]
        {
            let fits = body == "c1|1|1";
            assert_eq!(Upload::parse(body).is_right(8), fits, "{body}");
        }
    }
}
