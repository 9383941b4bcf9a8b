//! One connection of an app: commands out, commands in.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::ready;

use loggerhead_protocols::camera::frame::{BareLf, FRAME_BYTES_MAX, Frames, Framing};
use loggerhead_protocols::camera::message::{Command, Spelling, Style};
use tokio::io::ReadBuf;

use crate::simulate::link::{Stream, Target};

/// Bytes that are read at once: a reply about twenty cameras.
const READ_BYTES: usize = 2_048;

/// A connection that stands.
pub(super) struct Line {
    stream: Stream,
    frames: Frames,
    style: Style,
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    /// What the system says.
    pub(super) async fn open(target: Target) -> io::Result<Self> {
        Ok(Self { stream: target.connect().await?, frames: Frames::default(), style: Style::default() })
    }

    /// Sends a command.
    ///
    /// # Errors
    /// What the system says.
    pub(super) async fn say(&mut self, command: Command, body: &str) -> io::Result<()> {
        let (mut line, mut out) = (Vec::new(), Vec::new());
        self.style.write(command, Spelling::Full, body, &mut line);
        Framing::CrLf.put(&line, &mut out);
        let mut sent = 0;
        while let Some(rest) = out.get(sent..).filter(|rest| !rest.is_empty()) {
            sent += poll_fn(|context| self.stream.poll_write(context, &[IoSlice::new(rest)])).await?;
        }
        Ok(())
    }

    /// The next command and its body. Nothing is lost when this is dropped while it waits.
    ///
    /// # Errors
    /// `UnexpectedEof` when the head-end has closed; `InvalidData` for what is no command; what the system says.
    pub(super) async fn hear(&mut self) -> io::Result<(Command, String)> {
        loop {
            let cut = self.frames.cut(Framing::CrLf, BareLf::Data, FRAME_BYTES_MAX);
            let cut = cut.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault.reason))?;
            if let Some(body) = cut {
                let text = self.style.encoding.decode(&body);
                let (key, body) = self.style.split(&text);
                let (command, _) = self.style.find(key).ok_or(io::ErrorKind::InvalidData)?;
                return Ok((command, body.to_owned()));
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        poll_fn(|context| {
            let mut bytes = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(self.stream.poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return std::task::Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.frames.push(buffer.filled());
            std::task::Poll::Ready(Ok(()))
        })
        .await
    }
}
