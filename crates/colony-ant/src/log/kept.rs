//! The whole log of an attempt: small ones in memory, others in a file.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use crate::digest::Hashing;

/// A log up to this size travels in the report; memory holds no more than this either.
const INLINE_MAX: usize = 32 << 10;

/// Keeps text as it comes. A failure shows at the end: the log's readers have seen the chunks.
pub(super) struct Kept {
    file: PathBuf,
    state: State,
}

enum State {
    Memory(String),
    File(Box<Hashing<BufWriter<File>>>),
    Broken { start: String, error: io::Error },
}

/// A finished log.
#[derive(Debug)]
pub(crate) enum WholeLog {
    /// A small one.
    Inline(String),
    /// One in a file.
    File {
        path: PathBuf,
        size_bytes: u64,
        sha256: String,
    },
    /// One that could not be written. How it began is still there.
    Broken { start: String, error: io::Error },
}

impl Kept {
    pub(super) fn new(file: PathBuf) -> Self {
        Self {
            file,
            state: State::Memory(String::new()),
        }
    }

    pub(super) fn append(&mut self, text: &str) {
        match &mut self.state {
            State::Memory(kept) if kept.len() + text.len() <= INLINE_MAX => kept.push_str(text),
            State::Memory(kept) => {
                let start = std::mem::take(kept);
                self.state = self
                    .spill(&start, text)
                    .map_or_else(|error| State::Broken { start, error }, State::File);
            }
            State::File(file) => {
                if let Err(error) = file.write_all(text.as_bytes()) {
                    let start = String::new();
                    self.state = State::Broken { start, error };
                }
            }
            State::Broken { .. } => {}
        }
    }

    fn spill(&self, start: &str, text: &str) -> io::Result<Box<Hashing<BufWriter<File>>>> {
        let file = BufWriter::with_capacity(INLINE_MAX, File::create(&self.file)?);
        let mut file = Box::new(Hashing::new(file));
        file.write_all(start.as_bytes())?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    }

    pub(super) fn finish(self) -> WholeLog {
        match self.state {
            State::Memory(text) => WholeLog::Inline(text),
            State::Broken { start, error } => WholeLog::Broken { start, error },
            State::File(file) => {
                let (mut file, sha256, size_bytes) = file.finish();
                match file.flush() {
                    Ok(()) => WholeLog::File {
                        path: self.file,
                        size_bytes,
                        sha256,
                    },
                    Err(error) => WholeLog::Broken {
                        start: String::new(),
                        error,
                    },
                }
            }
        }
    }
}
