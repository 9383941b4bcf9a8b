//! Requests and responses of the variable proxies. Source: \[1\], \[2\].
//!
//! ```text
//! request   type u8 | name [| value]                      types 0, 1, and 4, 5 with wide texts
//!           6 | count u8 | (name)*                        several at once, wide
//! response  type u8 | value | error u16 BE | success u8
//!           6 | count u8 | (code u8 | value)* | error | success
//! ```

use super::text::Writing;
use crate::wire::Reader;
use crate::{Fault, FaultKind};

/// Longest name of a variable; KRL has 24 characters for each part of it.
pub const NAME_BYTES_MAX: usize = 256;
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
    /// The values of several.
    ReadMany(Vec<String>),
    /// Something that is not known here; its type.
    Other(u8),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The type of the request.
    pub kind: u8,
    /// One value, or several with their codes.
    pub values: Vec<(ErrorCode, String)>,
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
            other => return Ok(Self::Other(other)),
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
            Self::ReadMany(_) => 6,
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
        let mut values = Vec::new();
        if kind == 6 {
            for _ in 0..reader.u8()? {
                let code = ErrorCode::of(reader.u8()?.into());
                values.push((code, Writing::Wide.read(&mut reader)?));
            }
        } else {
            values.push((ErrorCode::Success, writing(matches!(kind, 4 | 5)).read(&mut reader)?));
        }
        let error = ErrorCode::of(reader.u16_be()?);
        // Any flag but zero is success. Source: [2].
        let is_success = reader.u8()? != 0;
        at_end(&reader)?;
        Ok(Self { kind, values, error, is_success })
    }

    /// The body.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = vec![self.kind];
        if self.kind == 6 {
            out.push(u8::try_from(self.values.len()).unwrap_or(u8::MAX));
            for (code, value) in self.values.iter().take(NAMES_MAX) {
                out.push(u8::try_from(code.number()).unwrap_or(u8::MAX));
                Writing::Wide.write(value, &mut out);
            }
        } else {
            let value = self.values.first().map_or("", |(_, value)| value.as_str());
            writing(matches!(self.kind, 4 | 5)).write(value, &mut out);
        }
        out.extend_from_slice(&self.error.number().to_be_bytes());
        out.push(u8::from(self.is_success));
        out
    }
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
        check(&Request::ReadMany(vec![name, "X".to_owned()]), &several);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        for body in [&[][..], &[0, 0, 9, b'a'], &[0, 0, 1, b'a', b'b'], &[6, 2, 0, 0], &[4, 0, 1, b'a']] {
            assert!(Request::read(body).is_err(), "{body:?}");
        }
        assert_eq!(Request::read(&[13, 1, 2]), Ok(Request::Other(13)));
        assert!(Response::read(&[0, 0, 1, b'a', 0, 1]).is_err(), "a footer of two bytes");
    }
}
