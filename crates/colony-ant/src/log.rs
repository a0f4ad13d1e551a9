//! The log of an attempt: lines from commands and from the ant, on their way to the queen and kept
//! whole for the report.
//!
//! ```text
//! bytes ─> Lines ─> mask ─> CRI lines ─> waiting ─┬─> chunk to the queen
//! (out, err)                                      └─> Kept (memory, then a file)
//! ```

mod kept;
mod lines;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use colony_core::id::AttemptRef;
use colony_core::time::{Clock, Timestamp};
use colony_wire::LogChunk;
use tokio::time::Instant;

use crate::executor::Stream;
use crate::redact::Redactor;
use kept::Kept;
pub(crate) use kept::WholeLog;
use lines::{Line, Lines};

/// A longer line is written in parts (tag `P`, the last one `F`).
const PART_MAX: usize = 16 << 10;

/// Text sent in one chunk, at most (plus the rest of a line).
const CHUNK_MAX: usize = 32 << 10;

/// Waiting text above which no more output is read.
const WAITING_MAX: usize = 256 << 10;

/// What a line is about: the second word of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Stdout,
    Stderr,
    System,
}

impl Source {
    const fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::System => "system",
        }
    }
}

/// Hears about the stdout of commands while it is logged.
pub(crate) trait StdoutListener {
    /// A line as it was written, without its end. Left out are lines over 64 KiB.
    fn raw_line(&mut self, line: &[u8]);
    /// Text as it may be shown.
    fn masked_text(&mut self, text: &str);
}

/// The log of one attempt.
pub(crate) struct Log {
    attempt: AttemptRef,
    clock: Arc<dyn Clock>,
    redactor: Arc<Redactor>,
    stamp: (Timestamp, String),
    stdout: Lines,
    stderr: Lines,
    waiting: String,
    send_at: Option<Instant>,
    flush_after: Duration,
    sent_output: bool,
    sent_bytes: u64,
    kept: Kept,
    output_limit: u64,
    output_left: u64,
    output_dropped: bool,
}

/// What a log needs to know.
pub(crate) struct LogSettings {
    pub(crate) attempt: AttemptRef,
    /// Bytes of output that are kept.
    pub(crate) output_limit: u64,
    /// How long lines wait for more.
    pub(crate) flush_after: Duration,
    /// Where a log that is not small is kept.
    pub(crate) file: PathBuf,
}

impl Log {
    pub(crate) fn new(
        settings: LogSettings,
        clock: Arc<dyn Clock>,
        redactor: Arc<Redactor>,
    ) -> Self {
        Self {
            attempt: settings.attempt,
            stamp: (Timestamp::default(), Timestamp::default().to_string()),
            clock,
            redactor,
            stdout: Lines::default(),
            stderr: Lines::default(),
            waiting: String::new(),
            send_at: None,
            flush_after: settings.flush_after,
            sent_output: false,
            sent_bytes: 0,
            kept: Kept::new(settings.file),
            output_limit: settings.output_limit,
            output_left: settings.output_limit,
            output_dropped: false,
        }
    }

    /// A command is about to run.
    pub(crate) fn command(&mut self, command: &str) {
        let mut prompt = "$ ";
        let masked = self.redactor.mask(command).into_owned();
        for line in masked.lines() {
            self.write(Source::System, &[prompt, line].concat());
            prompt = "> ";
        }
    }

    /// The ant has something to say.
    pub(crate) fn notice(&mut self, text: &str) {
        let masked = self.redactor.mask(text).into_owned();
        for line in masked.lines() {
            self.write(Source::System, line);
        }
    }

    /// A command wrote something.
    pub(crate) fn output(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        listener: &mut dyn StdoutListener,
    ) {
        let mut lines = std::mem::take(self.lines(stream));
        lines.push(bytes);
        while let Some(line) = lines.next(&self.redactor) {
            self.output_line(stream, &line, listener);
        }
        *self.lines(stream) = lines;
    }

    /// The command is over: lines without an end are whole now.
    pub(crate) fn finish_item(&mut self, listener: &mut dyn StdoutListener) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut lines = std::mem::take(self.lines(stream));
            if let Some(line) = lines.finish() {
                self.output_line(stream, &line, listener);
            }
            *self.lines(stream) = lines;
        }
    }

    fn lines(&mut self, stream: Stream) -> &mut Lines {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn output_line(&mut self, stream: Stream, line: &Line, listener: &mut dyn StdoutListener) {
        if stream == Stream::Stdout && line.begins && line.ends {
            listener.raw_line(&line.bytes);
        }
        if self.output_dropped {
            return;
        }
        let redactor = Arc::clone(&self.redactor);
        let masked = redactor.mask_bytes(&line.bytes);
        let text = String::from_utf8_lossy(&masked);
        // What is stored counts: an empty line is not.
        let parts = text.len().div_ceil(PART_MAX).max(1);
        let size = (text.len() + parts * self.prefix_len()) as u64;
        if size > self.output_left {
            self.drop_output();
            return;
        }
        self.output_left -= size;
        if stream == Stream::Stdout {
            listener.masked_text(&text);
            if line.newline {
                listener.masked_text("\n");
            }
        }
        let source = match stream {
            Stream::Stdout => Source::Stdout,
            Stream::Stderr => Source::Stderr,
        };
        self.write_parts(source, &text, line.ends);
        if !self.sent_output {
            self.sent_output = true;
            self.send_at = Some(Instant::now());
        }
    }

    /// The bytes of a line beside its text: time, source, tag and what separates them.
    fn prefix_len(&self) -> usize {
        self.stamp.1.len() + Source::Stdout.word().len() + " ".len() * 3 + "F\n".len()
    }

    fn drop_output(&mut self) {
        if !std::mem::replace(&mut self.output_dropped, true) {
            let limit = self.output_limit;
            self.notice(&format!(
                "output limit of {limit} bytes reached: further output is dropped"
            ));
        }
    }

    fn write(&mut self, source: Source, text: &str) {
        self.write_parts(source, text, true);
    }

    /// Writes a line, in parts if it is long. `ends` says whether its end is among them.
    fn write_parts(&mut self, source: Source, text: &str, ends: bool) {
        let now = self.clock.now();
        if now != self.stamp.0 {
            self.stamp = (now, now.to_string());
        }
        // NUL cannot be stored everywhere; an offset in the log must not depend on where it is.
        let text = text.replace('\0', "\u{fffd}");
        let mut rest = text.as_str();
        loop {
            let (part, after) = rest.split_at(rest.floor_char_boundary(PART_MAX));
            let tag = if ends && after.is_empty() { 'F' } else { 'P' };
            let _ = writeln!(
                self.waiting,
                "{} {} {tag} {part}",
                self.stamp.1,
                source.word()
            );
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        if self.send_at.is_none() {
            self.send_at = Some(Instant::now() + self.flush_after);
        }
    }

    /// When the next chunk should be sent, `now` or later; none when nothing waits.
    pub(crate) fn send_at(&self, now: Instant) -> Option<Instant> {
        if self.waiting.len() >= CHUNK_MAX {
            return Some(now);
        }
        self.send_at
    }

    /// Whether so much waits that no more output should be read.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// Takes the next chunk off what waits, and keeps its text.
    pub(crate) fn take_chunk(&mut self) -> Option<LogChunk> {
        if self.waiting.is_empty() {
            return None;
        }
        let text = self.take_text();
        self.kept.append(&text);
        let offset = self.sent_bytes;
        self.sent_bytes += text.len() as u64;
        if self.waiting.is_empty() {
            self.send_at = None;
        }
        Some(LogChunk {
            attempt: self.attempt,
            offset,
            text,
        })
    }

    fn take_text(&mut self) -> String {
        if self.waiting.len() <= CHUNK_MAX {
            return std::mem::take(&mut self.waiting);
        }
        let bytes = self.waiting.as_bytes();
        let end = memchr::memrchr(b'\n', bytes.get(..CHUNK_MAX).unwrap_or(bytes));
        let tail = self
            .waiting
            .split_off(end.map_or(self.waiting.len(), |at| at + 1));
        std::mem::replace(&mut self.waiting, tail)
    }

    /// The whole log. Chunks that were not taken before are only in there.
    pub(crate) fn finish(mut self) -> WholeLog {
        while self.take_chunk().is_some() {}
        self.kept.finish()
    }
}

#[cfg(test)]
mod tests;
