//! Reads a password from the terminal without showing it, or from a file or a pipe. Never from an argument, which others
//! on the machine can see.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use loggerhead_web::{PASSWORD_BYTES_MAX, Password};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};

/// Where a password comes from.
#[derive(Debug, clap::Args)]
pub(crate) struct PasswordArgs {
    /// A file whose first line is the password [default: asked for on the terminal, or the first line of standard input]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// The password.
    ///
    /// # Errors
    /// `Usage` when it cannot be one, or what could not be read.
    pub(crate) fn read(&self) -> anyhow::Result<Password> {
        let line = match &self.password_file {
            Some(path) => {
                let file = File::open(path).with_context(|| path.display().to_string())?;
                first_line(file).with_context(|| path.display().to_string())?
            }
            None if std::io::stdin().is_terminal() => asked_twice()?,
            None => first_line(std::io::stdin()).context("reading the password from standard input")?,
        };
        let password = Password::new(line.to_string());
        password.check().map_err(|rule| Failure::new(Exit::Usage, rule))?;
        Ok(password)
    }
}

/// The first line, without its end. What is longer than any password is cut, and refused for its length.
fn first_line(from: impl Read) -> std::io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    BufReader::new(from.take(PASSWORD_BYTES_MAX as u64 + 2)).read_line(&mut line)?;
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    Ok(line)
}

fn asked_twice() -> anyhow::Result<Zeroizing<String>> {
    let first = asked("Password: ")?;
    let second = asked("The same again: ")?;
    if *first == *second { Ok(first) } else { Err(Failure::new(Exit::Usage, "the passwords differ").into()) }
}

/// A terminal that shows what is typed again when this is dropped.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn open() -> anyhow::Result<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").context("/dev/tty")?;
        let before = tcgetattr(&terminal).context("the terminal")?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        quiet.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &quiet).context("the terminal")?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing anyway.
        let _shown = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

fn asked(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    let mut quiet = Quiet::open()?;
    quiet.terminal.write_all(prompt.as_bytes()).context("the terminal")?;
    first_line(&quiet.terminal).context("the terminal")
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn a_password_is_the_first_line() {
        for (text, expected) in [("secret\n", "secret"), ("secret\r\nmore", "secret"), (" a b ", " a b "), ("", "")] {
            assert_eq!(first_line(text.as_bytes()).expect("text").as_str(), expected);
        }
    }
}
