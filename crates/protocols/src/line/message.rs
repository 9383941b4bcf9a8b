//! What lines mean: requests and replies.

use loggerhead_model::Receipt;

use super::text::{Controls, Encoding};
pub use crate::office::{MessageId, Receiver};

/// A request: `KEY[ BODY]`. The first blank parts them, unless it stands first. Source: \[1\] §2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The name of the command; the whole line where it begins with a blank.
    pub key: &'a str,
    /// What follows the first blank, as it came.
    pub body: &'a str,
}

impl<'a> Request<'a> {
    /// Reads a line.
    #[must_use]
    pub fn parse(line: &'a str) -> Self {
        match line.find(' ').filter(|place| *place > 0).and_then(|place| line.split_at_checked(place)) {
            Some((key, body)) => Self { key, body: body.get(1..).unwrap_or_default() },
            None => Self { key: line, body: "" },
        }
    }

    /// The words of the body; runs of blanks part them like one.
    pub fn parameters(self) -> impl Iterator<Item = &'a str> {
        self.body.split(' ').filter(|word| !word.is_empty())
    }

    /// The parameters, if there are exactly `N`.
    #[must_use]
    pub fn exactly<const N: usize>(self) -> Option<[&'a str; N]> {
        let mut words = self.parameters();
        let mut found = [""; N];
        for place in &mut found {
            *place = words.next()?;
        }
        words.next().is_none().then_some(found)
    }

    /// The first parameter and everything behind the blanks that follow it.
    #[must_use]
    pub fn first_and_rest(self) -> Option<(&'a str, &'a str)> {
        let (first, rest) = self.body.trim_start_matches(' ').split_once(' ')?;
        let rest = rest.trim_start_matches(' ');
        (!rest.is_empty()).then_some((first, rest))
    }
}

/// How commas and colons of the replies are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Punctuation {
    /// `,` and `:`.
    #[default]
    Ascii,
    /// `，` and `：`, as the first programs had them.
    FullWidth,
}

/// What the head-end says. Source: \[1\] §2.2, where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// To whoever connects.
    Welcome(&'a str),
    /// A `Check` that fits.
    LoggedIn,
    /// A command before the login.
    LogInFirst,
    /// A key that no command has.
    Unknown(&'a str),
    /// Parameters that a command cannot take, or a login that is refused.
    Wrong,
    /// The message is kept, and its receiver is not there.
    NotSent,
    /// The message is not kept: too much waits for its receiver. Ours.
    ReceiverFull,
    /// The message is not kept: too many of its sender's wait. Ours.
    SenderFull,
    /// Another connection has logged in with the name.
    Kicked,
    /// A heartbeat.
    Beat,
    /// A message from one who is there to one who is there.
    Live(Delivery<'a>),
    /// A message that waited.
    Stored(Delivery<'a>),
    /// A command that could not be done.
    Failed(&'a str),
    /// A line that is too long. Ours.
    TooLong,
}

/// The answer to a message that is stored. Source: \[1\] §2.2.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "a receipt is used up by the answer that it allows")]
pub fn accepted(receipt: Receipt, receiver: Receiver) -> Option<Reply<'static>> {
    let _ = receipt;
    match receiver {
        Receiver::There => None,
        Receiver::Away => Some(Reply::NotSent),
    }
}

/// A message on its way to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// Who said it.
    pub from: &'a str,
    /// What.
    pub text: &'a str,
    /// Under which name it is confirmed.
    pub id: MessageId,
}

/// What ends a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyEnd {
    /// CR LF.
    #[default]
    CrLf,
    /// Nothing: each is one write, so one datagram where it goes over UDP. Source: \[1\] §2.1.
    None,
}

/// How replies are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// In which bytes.
    pub encoding: Encoding,
    /// With which commas and colons.
    pub punctuation: Punctuation,
    /// What becomes of control characters in it.
    pub controls: Controls,
    /// With which end.
    pub end: ReplyEnd,
}

impl Style {
    /// Appends `reply` and its end.
    pub fn write(self, reply: Reply<'_>, out: &mut Vec<u8>) {
        let (comma, colon) = match self.punctuation {
            Punctuation::Ascii => (',', ':'),
            Punctuation::FullWidth => ('，', '：'),
        };
        let said = |delivery: Delivery<'_>, words| {
            let (from, text) = (self.controls.tame(delivery.from), self.controls.tame(delivery.text));
            format!("{from} {words}{colon}{text} {}", delivery.id)
        };
        let text = match reply {
            Reply::Welcome(text) => text.to_owned(),
            Reply::LoggedIn => "登录成功".to_owned(),
            Reply::LogInFirst => format!("请先登录以后{comma}再操作。。。"),
            Reply::Unknown(key) => format!("不知道如何处理 {} 命令", self.controls.tame(key)),
            Reply::Wrong => "参数错误".to_owned(),
            Reply::NotSent => "消息未发送成功".to_owned(),
            Reply::ReceiverFull => format!("消息未保存{comma}对方未确认的消息过多"),
            Reply::SenderFull => format!("消息未保存{comma}您发送的未确认消息过多"),
            Reply::Kicked => format!("您的账号已经在他处登录{comma}您已经被踢下线了"),
            Reply::Beat => "R".to_owned(),
            Reply::Live(delivery) => said(delivery, "给你发消息"),
            Reply::Stored(delivery) => said(delivery, "给你发送消息"),
            Reply::Failed(text) => format!("\n\r异常信息{colon}{text}"),
            Reply::TooLong => "命令过长".to_owned(),
        };
        self.encoding.encode(&text, out);
        if self.end == ReplyEnd::CrLf {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Request;

    #[test]
    fn the_first_blank_parts_key_and_body_unless_it_stands_first() {
        for (line, key, parameters) in [
            ("Check  1   123456 ", "Check", &["1", "123456"][..]),
            (" Check 1 2", " Check 1 2", &[]),
            ("HB", "HB", &[]),
            ("", "", &[]),
            ("HB R\nHB R", "HB", &["R\nHB", "R"]),
            ("登录 甲", "登录", &["甲"]),
        ] {
            let request = Request::parse(line);
            assert_eq!((request.key, request.parameters().collect::<Vec<_>>()), (key, parameters.to_vec()), "{line:?}");
        }
    }

    #[test]
    fn parameters_are_counted_exactly() {
        let request = Request::parse("Chat 2  hello  you");
        assert_eq!(request.exactly::<2>(), None);
        assert_eq!(request.exactly::<3>(), Some(["2", "hello", "you"]));
        assert_eq!(request.first_and_rest(), Some(("2", "hello  you")));
        assert_eq!(Request::parse("Chat 2 ").first_and_rest(), None);
    }
}
