//! Output of one running attempt: its newest part in memory, what came before in a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use colony_wire::LogChunk;

/// No line is longer: ants cut longer ones into parts.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Whole lines of a log, and where the next one begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) text: String,
    pub(super) end: u64,
    /// The live log ends here and does not go on before the attempt is over; this is why.
    pub(super) stopped: Option<String>,
}

/// The log of an attempt from its start, without gaps. What cannot be kept ends it: the rest is
/// read from the stored log.
#[derive(Debug, Default)]
pub(super) struct Spool {
    file: Option<File>,
    filed: u64,
    tail: String,
    stopped: Option<String>,
}

impl Spool {
    /// Adds what an attempt wrote. A chunk that is there already changes nothing.
    pub(super) fn append(&mut self, chunk: &LogChunk) {
        let end = self.len();
        if self.stopped.is_some() || chunk.offset + len(&chunk.text) <= end {
            return;
        }
        if chunk.offset > end {
            self.stop("a part of it did not arrive".to_owned());
            return;
        }
        let known = usize::try_from(end - chunk.offset).unwrap_or(usize::MAX);
        self.tail.push_str(chunk.text.get(known..).unwrap_or(""));
    }

    /// Moves to the file what is in memory. A failure ends the log, with all it has.
    pub(super) fn spill(&mut self, directory: &Path) {
        if self.tail.is_empty() || self.stopped.is_some() {
            return;
        }
        match self.write_tail(directory) {
            Ok(()) => {
                self.filed += len(&self.tail);
                self.tail = String::new();
            }
            Err(error) => self.stop(format!("it could not be kept: {error}")),
        }
    }

    fn write_tail(&mut self, directory: &Path) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            // Without a name: nothing is left of it, however this process ends.
            none => none.insert(tempfile::tempfile_in(directory)?),
        };
        file.write_all_at(self.tail.as_bytes(), self.filed)
    }

    /// Keeps no more. What is there can be read on.
    pub(super) fn stop(&mut self, why: String) {
        self.stopped.get_or_insert(why);
    }

    /// Size of all there is.
    pub(super) fn len(&self) -> u64 {
        self.filed + len(&self.tail)
    }

    /// Size of the part in the file.
    pub(super) fn filed(&self) -> u64 {
        self.filed
    }

    /// Size of the part in memory.
    pub(super) fn held(&self) -> usize {
        self.tail.len()
    }

    /// Whole lines from `offset` on, about `limit` bytes.
    pub(super) fn read(&self, offset: u64, limit: usize) -> io::Result<Lines> {
        let text = match &self.file {
            Some(file) if offset < self.filed => {
                let room = limit.max(LINE_BYTES_MAX);
                let rest = usize::try_from(self.filed - offset).unwrap_or(usize::MAX);
                let mut bytes = vec![0; rest.min(room)];
                file.read_exact_at(&mut bytes, offset)?;
                lines_of_bytes(bytes, rest <= room)
            }
            _ => {
                let known = usize::try_from(offset.saturating_sub(self.filed));
                let rest = self.tail.get(known.unwrap_or(usize::MAX)..).unwrap_or("");
                whole_lines(rest, limit).to_owned()
            }
        };
        let end = offset + len(&text);
        // Said once: with the last lines, not to those who wait behind them.
        let last = !text.is_empty() && end == self.len();
        Ok(Lines {
            text,
            end,
            stopped: self.stopped.clone().filter(|_| last),
        })
    }
}

fn len(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// The first lines of a text, at most `limit` bytes but at least one line.
pub(super) fn whole_lines(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let bytes = text.as_bytes();
    let end = bytes[..limit].iter().rposition(|byte| *byte == b'\n');
    let end = end.or_else(|| bytes.iter().position(|byte| *byte == b'\n'));
    end.map_or(text, |end| &text[..=end])
}

/// The whole lines at the start of bytes that were cut anywhere, or all of them when they are the
/// last ones.
pub(super) fn lines_of_bytes(mut bytes: Vec<u8>, are_last: bool) -> String {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    if let (false, Some(end)) = (are_last, end) {
        bytes.truncate(end + 1);
    }
    // Logs are written as text, and cut at lines only.
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let place = error.utf8_error().valid_up_to();
        let mut bytes = error.into_bytes();
        bytes[place..].iter_mut().for_each(|byte| {
            if !byte.is_ascii() {
                *byte = b'?';
            }
        });
        String::from_utf8(bytes).unwrap_or_default()
    })
}
