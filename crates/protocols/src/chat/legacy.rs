//! The texts of older clients. Source: \[1\] §2.6.

use loggerhead_model::Timestamp;

/// Where older clients connect; found in any case.
pub(super) const PATH: &str = "/Home/MyWebSocket";
/// What a plain request to that path is answered.
pub(super) const PLAIN: &str = "我不处理";
/// What is said in the room when somebody comes.
pub(super) const ENTERED: &str = "进入聊天室";
/// What is said in the room when somebody goes.
pub(super) const LEFT: &str = "离开聊天室";
/// Longest offset of a clock on earth, in minutes.
pub(super) const UTC_OFFSET_MIN_MAX: i32 = 14 * 60;

/// What is said in the room: `yyyy年MM月dd日 HH:mm:ss:fff` USER COLON CONTENT, nothing between the first two.
pub(super) fn broadcast(at: Timestamp, utc_offset_min: i32, user: &str, colon: &str, content: &str) -> String {
    let local = Timestamp::from_unix_ms(at.unix_ms().saturating_add(i64::from(utc_offset_min) * 60_000)).to_string();
    let part = |from: usize, to: usize| local.get(from..to).unwrap_or_default();
    let (date, time) = (format!("{}年{}月{}日", part(0, 4), part(5, 7), part(8, 10)), part(11, 19));
    format!("{date} {time}:{:03}{user}{colon}{content}", at.unix_ms().rem_euclid(1_000))
}

/// The value of a query's `name`, percent-decoded. `None`: it has none, or one that is not UTF-8.
pub(super) fn name(target: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix("name="))?;
    decode(value).filter(|name| !name.is_empty())
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit()? << 4 | digit()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Whether a request goes to older clients' path.
pub(super) fn is_path(target: &str) -> bool {
    target.split('?').next().is_some_and(|path| path.eq_ignore_ascii_case(PATH))
}

/// What a plain request to that path is answered, whole.
pub(super) fn plain_answer() -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{PLAIN}",
        PLAIN.len()
    )
}

/// Whom a text is for and what is said, where texts are for one: `toUser:message`, at the first of `separators`.
pub(super) fn direct<'a>(text: &'a str, separators: &str) -> Option<(&'a str, &'a str)> {
    let (to, said) = text.split_once(|character| separators.contains(character))?;
    (!to.is_empty()).then_some((to, said))
}

#[cfg(test)]
mod tests {
    use loggerhead_model::Timestamp;

    use super::{broadcast, direct, is_path, name};

    #[test]
    fn what_is_said_is_stamped_as_in_the_original() {
        let at = Timestamp::parse("2024-01-01T19:04:05.678Z").expect("a time");
        assert_eq!(broadcast(at, 480, "User1", ":", "hello"), "2024年01月02日 03:04:05:678User1:hello");
        let at = Timestamp::parse("2024-01-01T19:04:05Z").expect("a time");
        assert_eq!(broadcast(at, 0, "甲", "：", "a:b"), "2024年01月01日 19:04:05:000甲：a:b");
    }

    #[test]
    fn a_name_is_percent_encoded() {
        assert_eq!(name("/Home/MyWebSocket?name=User1").as_deref(), Some("User1"));
        assert_eq!(name("/x?a=b&name=%E7%94%B2+1").as_deref(), Some("甲 1"));
        for wrong in ["/x", "/x?name=", "/x?name=%", "/x?name=%zz", "/x?name=%ff", "/x?n=1"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        assert!(is_path("/HOME/MYWEBSOCKET?name=1") && !is_path("/HOME"));
    }

    #[test]
    fn a_text_for_one_is_parted_once() {
        assert_eq!(direct("2:a:b", ":"), Some(("2", "a:b")));
        assert!(direct("hello", ":").is_none() && direct(":x", ":").is_none());
    }
}
