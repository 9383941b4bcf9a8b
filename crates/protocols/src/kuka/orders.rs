//! What operators may write into a robot: values of the paths that its settings allow, and nothing else.

use loggerhead_model::{ControlLine, Order};

use super::message::write;
use crate::wire::hex;

/// The document that an order asks for: each line is a path and the characters of its value.
///
/// # Errors
/// Why the robot cannot be asked this.
pub(super) fn document(order: &Order, writable: &[String]) -> Result<String, String> {
    let Order::Control { lines } = order else {
        return Err("a robot takes only values of its paths: send a control order".to_owned());
    };
    let values = lines.iter().map(|line| Ok((line.meter.as_str(), value(line, writable)?)));
    let values = values.collect::<Result<Vec<_>, String>>()?;
    let root = |path: &str| path.split_once('/').map_or_else(|| path.to_owned(), |(root, _)| root.to_owned());
    match values.first() {
        None => Err("nothing to write".to_owned()),
        Some((first, _)) if values.iter().any(|(path, _)| root(path) != root(first)) => {
            Err("one document has one root element: write the others with an order of their own".to_owned())
        }
        Some(_) => Ok(write(&values.iter().map(|(path, value)| (*path, value.as_str())).collect::<Vec<_>>())),
    }
}

fn value(line: &ControlLine, writable: &[String]) -> Result<String, String> {
    if !writable.contains(&line.meter) {
        return Err(format!("{} may not be written: `writable` in the robot's settings does not name it", line.meter));
    }
    hex(&line.hex)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| format!("{}: the value is no text", line.meter))
}

#[cfg(test)]
mod tests {
    use loggerhead_model::{ControlLine, Order};

    use super::document;

    fn check(lines: &[(&str, &str)], expected: Result<&str, &str>) {
        let line = |(meter, hex): &(&str, &str)| ControlLine {
            meter: (*meter).to_owned(),
            hex: (*hex).to_owned(),
            timeout_ms: 0,
            retries: 0,
        };
        let order = Order::Control { lines: lines.iter().map(line).collect() };
        let writable = ["Server/Override", "Server/Move/@X", "Other"].map(str::to_owned);
        match (document(&order, &writable), expected) {
            (Ok(document), expected) => assert_eq!(Ok(document.as_str()), expected),
            (Err(reason), expected) => assert!(expected.is_err_and(|part| reason.contains(part)), "{reason}"),
        }
    }

    #[test]
    fn only_what_is_allowed_is_written() {
        check(&[("Server/Override", "3530")], Ok("<Server><Override>50</Override></Server>"));
        check(
            &[("Server/Move/@X", "2d31"), ("Server/Override", "3c")],
            Ok("<Server><Move X=\"-1\"></Move><Override>&lt;</Override></Server>"),
        );
        check(&[("Server/Speed", "31")], Err("may not be written"));
        check(&[("Server/Override", "31"), ("Other", "31")], Err("one root"));
        check(&[("Server/Override", "3")], Err("no text"));
        check(&[("Server/Override", "ff")], Err("no text"));
        check(&[], Err("nothing"));
        assert!(document(&Order::Describe, &[]).is_err());
    }
}
