//! Requests and responses of the variable proxies. Source: \[1\], \[2\].
//!
//! ```text
//! request   type u8 | name [| value]                      types 0, 1, and 4, 5 with wide texts
//!           2 | name                                      an array of whole numbers
//!           3 | name | length u16 BE | (number i16 BE)*   sets its elements from the first one on
//!           6 | count u8 | (name)*                        several at once, wide
//!           7 | count u8 | (name | value)*                writes several at once, wide
//!           10 and more | fields                          see `services.rs`
//! response  type u8 | value | error u16 BE | success u8
//!           2 | length u16 BE | (number i16 BE)* | error | success
//!           6 or 7 | count u8 | (code u8 | value)* | error | success
//!           10 and more | fields | error | success
//! ```

use super::services::{Service, Value};
use super::text::Writing;
use crate::wire::Reader;
use crate::{Fault, FaultKind};

/// Longest name of a variable; KRL has 24 characters for each part of it.
pub const NAME_BYTES_MAX: usize = 256;
/// Bytes at the end of every response: error and success.
const FOOTER_BYTES: usize = 3;
/// Names of one request: as many as its count can say.
pub const NAMES_MAX: usize = 255;

/// What went wrong, as C3 Bridge numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// Of no other kind; KUKAVARPROXY says it for every failure.
    General,
    /// Nothing.
    Success,
    /// It may not be.
    Access,
    /// A wrong name or value.
    Argument,
    /// A request of a kind that is not known.
    NotImplemented,
    /// A request that is none.
    Protocol,
    /// The answer does not fit.
    TooLong,
    /// Another one.
    Other(u16),
}

impl ErrorCode {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::General => 0,
            Self::Success => 1,
            Self::Access => 2,
            Self::Argument => 3,
            Self::NotImplemented => 7,
            Self::Protocol => 9,
            Self::TooLong => 10,
            Self::Other(number) => number,
        }
    }

    /// What a number on the wire says.
    #[must_use]
    pub fn of(number: u16) -> Self {
        match number {
            0 => Self::General,
            1 => Self::Success,
            2 => Self::Access,
            3 => Self::Argument,
            7 => Self::NotImplemented,
            9 => Self::Protocol,
            10 => Self::TooLong,
            other => Self::Other(other),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::General => "failed".to_owned(),
            Self::Success => "done".to_owned(),
            Self::Access => "access denied".to_owned(),
            Self::Argument => "wrong argument".to_owned(),
            Self::NotImplemented => "not implemented".to_owned(),
            Self::Protocol => "not understood".to_owned(),
            Self::TooLong => "the answer is too long".to_owned(),
            Self::Other(number) => format!("error {number}"),
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The value of a variable.
    Read {
        /// With wide texts.
        is_wide: bool,
        /// Which.
        name: String,
    },
    /// To set one.
    Write {
        /// With wide texts.
        is_wide: bool,
        /// Which.
        name: String,
        /// To what.
        value: String,
    },
    /// The elements of an array of whole numbers.
    ReadArray(String),
    /// To set the elements of one, from the first on.
    WriteArray {
        /// Which, with or without the brackets at its end.
        name: String,
        /// To what.
        numbers: Vec<i16>,
    },
    /// The values of several.
    ReadMany(Vec<String>),
    /// To set several; each with its value.
    WriteMany(Vec<(String, String)>),
    /// Something beside variables, and its fields.
    Service(&'static Service, Vec<Value>),
    /// Something that is not known here; its type.
    Other(u8),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The type of the request.
    pub kind: u8,
    /// One value, or several with their codes. An array is a value, its elements parted by blanks.
    pub values: Vec<(ErrorCode, String)>,
    /// What is answered beside variables.
    pub fields: Vec<Value>,
    /// What became of the whole.
    pub error: ErrorCode,
    /// Whether it succeeded.
    pub is_success: bool,
}

fn writing(is_wide: bool) -> Writing {
    if is_wide { Writing::Wide } else { Writing::Narrow }
}

impl Request {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// `Malformed` when it is shorter than its lengths say, or longer.
    pub fn read(body: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let kind = reader.u8()?;
        let request = match kind {
            0 | 4 => Self::Read { is_wide: kind == 4, name: writing(kind == 4).read(&mut reader)? },
            1 | 5 => {
                let writing = writing(kind == 5);
                let name = writing.read(&mut reader)?;
                Self::Write { is_wide: kind == 5, name, value: writing.read(&mut reader)? }
            }
            6 => {
                let count = reader.u8()?;
                let names = (0..count).map(|_| Writing::Wide.read(&mut reader)).collect::<Result<_, _>>()?;
                Self::ReadMany(names)
            }
            7 => {
                let count = reader.u8()?;
                let mut pair = || Ok((Writing::Wide.read(&mut reader)?, Writing::Wide.read(&mut reader)?));
                Self::WriteMany((0..count).map(|_| pair()).collect::<Result<_, Fault>>()?)
            }
            2 => Self::ReadArray(Writing::Narrow.read(&mut reader)?),
            3 => Self::WriteArray { name: Writing::Narrow.read(&mut reader)?, numbers: numbers(&mut reader)? },
            other => match Service::find(other) {
                Some(service) => Self::Service(service, service.request(&mut reader)?),
                None => return Ok(Self::Other(other)),
            },
        };
        at_end(&reader)?;
        Ok(request)
    }

    /// The type on the wire.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Self::Read { is_wide, .. } => u8::from(*is_wide) * 4,
            Self::Write { is_wide, .. } => u8::from(*is_wide) * 4 + 1,
            Self::ReadArray(_) => 2,
            Self::WriteArray { .. } => 3,
            Self::ReadMany(_) => 6,
            Self::WriteMany(_) => 7,
            Self::Service(service, _) => service.kind,
            Self::Other(kind) => *kind,
        }
    }

    /// The body.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = vec![self.kind()];
        match self {
            Self::Read { is_wide, name } => writing(*is_wide).write(name, &mut out),
            Self::Write { is_wide, name, value } => {
                writing(*is_wide).write(name, &mut out);
                writing(*is_wide).write(value, &mut out);
            }
            Self::ReadMany(names) => {
                out.push(u8::try_from(names.len()).unwrap_or(u8::MAX));
                names.iter().take(NAMES_MAX).for_each(|name| Writing::Wide.write(name, &mut out));
            }
            Self::ReadArray(name) => Writing::Narrow.write(name, &mut out),
            Self::WriteArray { name, numbers } => {
                Writing::Narrow.write(name, &mut out);
                write_numbers(numbers, &mut out);
            }
            Self::WriteMany(pairs) => {
                out.push(u8::try_from(pairs.len()).unwrap_or(u8::MAX));
                for (name, value) in pairs.iter().take(NAMES_MAX) {
                    Writing::Wide.write(name, &mut out);
                    Writing::Wide.write(value, &mut out);
                }
            }
            Self::Service(service, fields) => service.write_request(fields, &mut out),
            Self::Other(_) => {}
        }
        out
    }
}

impl Response {
    /// Reads the body of a response.
    ///
    /// # Errors
    /// `Malformed` when it is shorter than its lengths say, or longer.
    pub fn read(body: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let kind = reader.u8()?;
        let (mut values, mut fields) = (Vec::new(), Vec::new());
        match (kind, Service::find(kind)) {
            (6 | 7, _) => {
                for _ in 0..reader.u8()? {
                    let code = ErrorCode::of(reader.u8()?.into());
                    values.push((code, Writing::Wide.read(&mut reader)?));
                }
            }
            (2, _) => {
                let shown: Vec<String> = numbers(&mut reader)?.iter().map(i16::to_string).collect();
                values.push((ErrorCode::Success, shown.join(" ")));
            }
            (_, Some(service)) => {
                let payload = reader.rest().len().saturating_sub(FOOTER_BYTES);
                fields = service.response(&mut Reader::new(reader.take(payload)?))?;
            }
            (_, None) => values.push((ErrorCode::Success, writing(matches!(kind, 4 | 5)).read(&mut reader)?)),
        }
        let error = ErrorCode::of(reader.u16_be()?);
        // Any flag but zero is success. Source: [2].
        let is_success = reader.u8()? != 0;
        at_end(&reader)?;
        Ok(Self { kind, values, fields, error, is_success })
    }

    /// The body.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = vec![self.kind];
        let value = self.values.first().map_or("", |(_, value)| value.as_str());
        match (self.kind, Service::find(self.kind)) {
            (6 | 7, _) => {
                out.push(u8::try_from(self.values.len()).unwrap_or(u8::MAX));
                for (code, value) in self.values.iter().take(NAMES_MAX) {
                    out.push(u8::try_from(code.number()).unwrap_or(u8::MAX));
                    Writing::Wide.write(value, &mut out);
                }
            }
            (2, _) => {
                let numbers: Vec<i16> = value.split_whitespace().filter_map(|number| number.parse().ok()).collect();
                write_numbers(&numbers, &mut out);
            }
            (_, Some(service)) => service.write_response(&self.fields, &mut out),
            (_, None) => writing(matches!(self.kind, 4 | 5)).write(value, &mut out),
        }
        out.extend_from_slice(&self.error.number().to_be_bytes());
        out.push(u8::from(self.is_success));
        out
    }
}

/// Whole numbers of two bytes behind their length in bytes.
fn numbers(reader: &mut Reader<'_>) -> Result<Vec<i16>, Fault> {
    let length = usize::from(reader.u16_be()?);
    let (pairs, rest) = reader.take(length)?.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::new(FaultKind::Malformed, format!("{length} bytes are no numbers of two bytes each")));
    }
    Ok(pairs.iter().map(|pair| i16::from_be_bytes(*pair)).collect())
}

/// What is more than a length can say is left out.
fn write_numbers(numbers: &[i16], out: &mut Vec<u8>) {
    let numbers = numbers.get(..usize::from(u16::MAX) / 2).unwrap_or(numbers);
    out.extend_from_slice(&u16::try_from(numbers.len() * 2).unwrap_or_default().to_be_bytes());
    out.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
}

fn at_end(reader: &Reader<'_>) -> Result<(), Fault> {
    match reader.rest().len() {
        0 => Ok(()),
        left => {
            let reason = format!("{left} bytes behind the end of a message");
            Err(Fault::new(FaultKind::Malformed, reason).at(reader.offset()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorCode, Request, Response};
    use crate::varproxy::services::{self, Service, Value};

    fn check(request: &Request, response: &Response) {
        assert_eq!(Request::read(&request.write()).expect("a request"), *request);
        assert_eq!(Response::read(&response.write()).expect("a response"), *response);
        let (asked, answered) = (request.write(), response.write());
        assert!((0..asked.len()).all(|cut| Request::read(asked.split_at(cut).0).is_err()), "{request:?}");
        assert!((0..answered.len()).all(|cut| Response::read(answered.split_at(cut).0).is_err()), "{response:?}");
    }

    #[test]
    fn every_message_reads_as_it_was_written() {
        let name = "$OV_PRO".to_owned();
        let response = |kind, value: &str| Response {
            kind,
            values: vec![(ErrorCode::Success, value.to_owned())],
            fields: Vec::new(),
            error: ErrorCode::Success,
            is_success: true,
        };
        check(&Request::Read { is_wide: false, name: name.clone() }, &response(0, "100"));
        check(&Request::Read { is_wide: true, name: name.clone() }, &response(4, "塔"));
        let value = "50".to_owned();
        check(&Request::Write { is_wide: false, name: name.clone(), value: value.clone() }, &response(1, "50"));
        check(&Request::Write { is_wide: true, name: name.clone(), value }, &response(5, "50"));
        let many = vec![(ErrorCode::Success, "100".to_owned()), (ErrorCode::Argument, String::new())];
        let several = Response { values: many, ..response(6, "") };
        check(&Request::ReadMany(vec![name.clone(), "X".to_owned()]), &several);
        check(&Request::WriteMany(vec![(name, "5".to_owned())]), &Response { kind: 7, ..several });
        check(&Request::ReadArray("A[]".to_owned()), &response(2, "1 -2 30000"));
        check(&Request::WriteArray { name: "A".to_owned(), numbers: vec![1, -2] }, &response(3, ""));
    }

    #[test]
    fn what_is_beside_variables_reads_as_it_was_written() {
        let program = Service::find(services::PROGRAM).expect("it has a row");
        let text = |text: &str| Value::Text(text.to_owned());
        let selects = vec![Value::Number(5), Value::Number(1), text("/R1/CELL"), text(""), Value::Number(0)];
        let stops = vec![Value::Number(3), Value::Number(1)];
        for fields in [selects, stops] {
            let request = Request::Service(program, fields);
            assert_eq!(Request::read(&request.write()).as_ref(), Ok(&request));
        }
        let fields = vec![Value::Number(3)];
        let (values, error) = (Vec::new(), ErrorCode::Access);
        let response = Response { kind: services::PROGRAM, values, fields, error, is_success: false };
        assert_eq!(response.write(), [10, 3, 0, 2, 0]);
        assert_eq!(Response::read(&response.write()), Ok(response));
        assert_eq!(Response::read(&[20, 0, 7, 0]).map(|response| response.fields), Ok(Vec::new()));
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        for body in [&[][..], &[0, 0, 9, b'a'], &[0, 0, 1, b'a', b'b'], &[6, 2, 0, 0], &[4, 0, 1, b'a']] {
            assert!(Request::read(body).is_err(), "{body:?}");
        }
        assert_eq!(Request::read(&[15, 1, 2]), Ok(Request::Other(15)));
        assert!(Request::read(&[3, 0, 1, b'A', 0, 3, 0, 1, 0]).is_err(), "an element and a half");
        assert!(Response::read(&[0, 0, 1, b'a', 0, 1]).is_err(), "a footer of two bytes");
    }
}
