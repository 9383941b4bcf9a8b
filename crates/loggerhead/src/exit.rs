//! Exit codes, which scripts may rely on.

use std::path::Path;
use std::process::ExitCode;
use std::{fmt, io};

use loggerhead_store::StoreError;

use crate::client::ClientError;

/// What to try first and the table of exit codes, for `--help`.
pub(crate) const HELP: &str = "\
Start here:
  loggerhead demo                       see it work, with simulated loggers
  loggerhead check --example            a configuration to begin with
  loggerhead serve --data ./data        run it; `loggerhead VERB --help` has examples of every verb

Exit codes:
  0  done, and all is well
  1  failed, or a check found something wrong
  2  the command line or the configuration is wrong
  3  the device, command, file or store that was named is not there
  4  the server cannot be reached
  5  stored data are damaged";

/// How a verb ended when it did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It tried and could not.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// What was named is not there.
    NotFound = 3,
    /// No server answers.
    Unreachable = 4,
    /// Stored data are damaged.
    Damaged = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    /// An error that ends the process with `exit` after printing `text`.
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    /// One of a file that cannot be opened: `NotFound` when it is not there.
    pub(crate) fn of_file(path: &Path, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Self::new(exit, format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// Prints what went wrong and gives the exit code for it.
#[expect(clippy::print_stderr, reason = "the last words of a verb")]
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS; // as `| head` does: who reads has enough
    }
    eprintln!("loggerhead: {}", told(error));
    code(error).into()
}

/// The error and its causes, each said once: many already say what they were caused by.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn code(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.exit;
        }
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return of_client(error);
        }
        match cause.downcast_ref::<StoreError>() {
            Some(StoreError::Missing { .. }) => return Exit::NotFound,
            Some(StoreError::Damaged { .. }) => return Exit::Damaged,
            Some(
                StoreError::Locked { .. }
                | StoreError::Newer { .. }
                | StoreError::File { .. }
                | StoreError::Database { .. }
                | StoreError::Failing { .. }
                | StoreError::Closed,
            ) => return Exit::Failed,
            None => {}
        }
    }
    Exit::Failed
}

fn of_client(error: &ClientError) -> Exit {
    match error {
        ClientError::NoServer { .. } | ClientError::NotAllowed { .. } | ClientError::Broken { .. } => Exit::Unreachable,
        ClientError::Problem(problem) => match problem.status {
            404 => Exit::NotFound,
            400 | 413 | 415 | 422 => Exit::Usage,
            _ => Exit::Failed,
        },
        ClientError::NotUnderstood { .. } => Exit::Failed,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::{Exit, Failure, code, told};
    use anyhow::Context as _;
    use loggerhead_store::StoreError;

    #[test]
    fn a_cause_is_said_once() {
        let cause = std::io::Error::other("no room");
        let error = anyhow::Error::new(cause).context("writing x: no room").context("backup");
        assert_eq!(told(&error), "backup: writing x: no room");
    }

    #[test]
    fn the_exit_code_is_that_of_the_cause() {
        let missing = Err::<(), _>(StoreError::Missing { directory: "x".into() }).context("export");
        assert_eq!(code(&missing.expect_err("an error")), Exit::NotFound);
        let failure = Err::<(), _>(Failure::new(Exit::Unreachable, "no server")).context("device");
        assert_eq!(code(&failure.expect_err("an error")), Exit::Unreachable);
        assert_eq!(code(&anyhow::anyhow!("else")), Exit::Failed);
    }
}
