//! What a porter says to its ant, as bytes: kind, length, body.

use std::error::Error;
use std::io::{self, Read, Write};

use super::PorterError;
use crate::attempt::want_of;
use colony_core::text::with_causes;

/// Bytes of a file in one note.
pub(super) const BLOCK: usize = 128 << 10;

/// Anything else is shorter than that.
const TEXT_MAX: usize = 64 << 10;

const HEADER: usize = 5;

/// What is said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// A file begins.
    File { mode: u32, size: u64, name: String },
    /// More of that file.
    Data(Vec<u8>),
    /// There is nothing at this path.
    Missing(String),
    /// This link leads out of the tree.
    Skipped(String),
    /// It is done: files and bytes.
    Done { files: u64, bytes: u64 },
    /// It failed; the number of the error where the host is short of something, else 0.
    Failed { number: i32, text: String },
}

impl Note {
    /// An error as a note.
    pub(super) fn failed(error: &(dyn Error + 'static)) -> Self {
        let number = want_of(error).and_then(io::Error::raw_os_error);
        match number {
            // The ant adds the cause.
            Some(number) => Self::Failed {
                number,
                text: error.to_string(),
            },
            None => Self::Failed {
                number: 0,
                text: with_causes(error),
            },
        }
    }

    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::File { mode, size, name } => {
                let head = [&mode.to_le_bytes()[..], &size.to_le_bytes()].concat();
                write(to, b'F', &[&head, name.as_bytes()])
            }
            Self::Data(bytes) => write_data(to, bytes),
            Self::Missing(path) => write(to, b'M', &[path.as_bytes()]),
            Self::Skipped(path) => write(to, b'S', &[path.as_bytes()]),
            Self::Done { files, bytes } => {
                write(to, b'D', &[&files.to_le_bytes(), &bytes.to_le_bytes()])
            }
            Self::Failed { number, text } => {
                let number = number.to_le_bytes();
                let text = text.get(..text.floor_char_boundary(TEXT_MAX / 2));
                write(to, b'E', &[&number, text.unwrap_or_default().as_bytes()])
            }
        }
    }

    fn parse(kind: u8, body: Vec<u8>) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some(match kind {
            b'F' => {
                let (mode, rest) = body.split_first_chunk()?;
                let (size, name) = rest.split_first_chunk()?;
                Self::File {
                    mode: u32::from_le_bytes(*mode),
                    size: u64::from_le_bytes(*size),
                    name: text(name)?,
                }
            }
            b'B' => Self::Data(body),
            b'M' => Self::Missing(text(&body)?),
            b'S' => Self::Skipped(text(&body)?),
            b'D' => {
                let (files, rest) = body.split_first_chunk()?;
                Self::Done {
                    files: u64::from_le_bytes(*files),
                    bytes: u64::from_le_bytes(rest.try_into().ok()?),
                }
            }
            b'E' => {
                let (number, rest) = body.split_first_chunk()?;
                Self::Failed {
                    number: i32::from_le_bytes(*number),
                    text: text(rest)?,
                }
            }
            _ => return None,
        })
    }

    /// The next note; none when nobody speaks any more.
    pub(super) fn read(from: &mut impl Read) -> Result<Option<Self>, PorterError> {
        let mut header = [0; HEADER];
        match from.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(PorterError::Hear)?,
        }
        let [kind, a, b, c, d] = header;
        let size = u32::from_le_bytes([a, b, c, d]) as usize;
        if size > if kind == b'B' { BLOCK } else { TEXT_MAX } {
            return Err(PorterError::Nonsense("too much at once"));
        }
        let mut body = vec![0; size];
        match from.read_exact(&mut body) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(PorterError::Hear)?,
        }
        let note = Self::parse(kind, body);
        note.map(Some)
            .ok_or(PorterError::Nonsense("an unknown note"))
    }
}

/// Says more of a file.
pub(super) fn write_data(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    write(to, b'B', &[bytes])
}

fn write(to: &mut impl Write, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let size: usize = parts.iter().map(|part| part.len()).sum();
    let size = u32::try_from(size).map_err(|_| io::ErrorKind::InvalidInput)?;
    to.write_all(&[kind])?;
    to.write_all(&size.to_le_bytes())?;
    parts.iter().try_for_each(|part| to.write_all(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_whole() {
        let notes = [
            Note::File {
                mode: 0o644,
                size: 5,
                name: "a/ü".to_owned(),
            },
            Note::Data(b"hello".to_vec()),
            Note::Missing("m".to_owned()),
            Note::Skipped(String::new()),
            Note::Done { files: 1, bytes: 2 },
            Note::Failed {
                number: 28,
                text: "t".to_owned(),
            },
        ];
        let mut bytes = Vec::new();
        for note in &notes {
            note.write(&mut bytes).unwrap();
        }
        let mut from = &bytes[..];
        for note in notes {
            assert_eq!(Note::read(&mut from).unwrap(), Some(note));
        }
        assert_eq!(Note::read(&mut from).unwrap(), None);
    }

    #[test]
    fn nonsense_is_refused_before_it_takes_memory() {
        for bytes in [
            &b"B\xff\xff\xff\xff"[..],
            b"M\x00\x00\x02\x00",
            b"?\x00\x00\x00\x00",
            b"F\x01\x00\x00\x00x",
            b"M\x01\x00\x00\x00\xff",
        ] {
            assert!(Note::read(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn want_keeps_its_number() {
        let full = io::Error::from_raw_os_error(28);
        let note = Note::failed(&PorterError::Hear(full));
        assert!(matches!(note, Note::Failed { number: 28, .. }), "{note:?}");
        let missing = io::Error::from_raw_os_error(2);
        let note = Note::failed(&PorterError::Hear(missing));
        assert!(
            matches!(&note, Note::Failed { number: 0, text } if text.contains("No such file")),
            "{note:?}"
        );
    }
}
