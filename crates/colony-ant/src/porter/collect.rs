//! The archive that an ant makes of the files that a porter brings. Nothing that the porter says is
//! believed: names stay below the archive's root, and all has a bound.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::{Component, Path};
use std::sync::atomic::AtomicBool;

use super::PorterError;
use super::note::{BLOCK, Note};
use crate::artifacts::{self, ENTRIES_MAX, Extra, PackError, Packed, Zip};

/// Links that are named, at most.
const SKIPPED_MAX: usize = 1000;

/// What is taken of a porter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: u64,
    /// Paths that it was given.
    pub(super) paths: usize,
}

/// Writes an archive of what a porter brings, and of the extras. Blocks until the porter is done;
/// gives nothing when it ends without saying so.
pub(super) fn collect(
    from: impl Read,
    to: &Path,
    extras: &[Extra],
    bounds: Bounds,
) -> Result<Option<Packed>, PackError> {
    let file = File::create(to).map_err(|source| PackError::Create {
        path: to.to_owned(),
        source,
    })?;
    let mut collected = Collected::default();
    let add = |zip: &mut Zip<_>| collected.take(from, zip, bounds);
    let stopped = AtomicBool::new(false);
    let (mut writer, archive) = artifacts::pack(BufWriter::new(file), add, extras, &stopped)?;
    writer.flush().map_err(PackError::Write)?;
    let count = collected.files + extras.len();
    Ok(collected.is_done.then_some(Packed {
        archive: (count > 0).then_some((archive, count)),
        missing: collected.missing,
        skipped: collected.skipped,
    }))
}

#[derive(Default)]
struct Collected {
    is_done: bool,
    files: usize,
    bytes: u64,
    missing: Vec<String>,
    skipped: Vec<String>,
}

impl Collected {
    fn take<W: std::io::Write>(
        &mut self,
        from: impl Read,
        zip: &mut Zip<W>,
        bounds: Bounds,
    ) -> Result<(), PackError> {
        let mut from = BufReader::with_capacity(BLOCK, from);
        while let Some(note) = Note::read(&mut from)? {
            match note {
                Note::File { mode, size, name } => {
                    self.begin(&name)?;
                    artifacts::begin(zip, &name, mode, size)?;
                }
                Note::Data(bytes) => {
                    self.count(bytes.len(), bounds)?;
                    zip.write_all(&bytes).map_err(PackError::Write)?;
                }
                Note::Missing(path) if self.missing.len() < bounds.paths => {
                    self.missing.push(path);
                }
                Note::Skipped(path) => {
                    if self.skipped.len() < SKIPPED_MAX {
                        self.skipped.push(path);
                    }
                }
                Note::Done { .. } => {
                    self.is_done = true;
                    break;
                }
                Note::Failed { number, text } => return Err(told(number, text).into()),
                Note::Missing(_) => {
                    return Err(PorterError::Nonsense("more is missing than was asked for").into());
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, name: &str) -> Result<(), PorterError> {
        let below = |part| matches!(part, Component::Normal(_));
        if name.is_empty() || !Path::new(name).components().all(below) {
            return Err(PorterError::Nonsense("a name that is no path of an entry"));
        }
        self.files += 1;
        match self.files > ENTRIES_MAX {
            true => Err(PorterError::TooMany { limit: ENTRIES_MAX }),
            false => Ok(()),
        }
    }

    fn count(&mut self, bytes: usize, bounds: Bounds) -> Result<(), PorterError> {
        if self.files == 0 {
            return Err(PorterError::Nonsense("bytes of no file"));
        }
        self.bytes += bytes as u64;
        match self.bytes > bounds.bytes {
            true => Err(PorterError::TooLarge {
                limit: bounds.bytes,
            }),
            false => Ok(()),
        }
    }
}

/// A failure that a porter told.
pub(super) fn told(number: i32, text: String) -> PorterError {
    let want = (number != 0).then(|| std::io::Error::from_raw_os_error(number));
    PorterError::Told { text, want }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(notes: &[Note]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for note in notes {
            note.write(&mut bytes).unwrap();
        }
        bytes
    }

    fn file(name: &str) -> Note {
        let name = name.to_owned();
        Note::File {
            mode: 0o644,
            size: 1,
            name,
        }
    }

    fn collected(notes: &[Note]) -> Result<Option<Packed>, PackError> {
        let dir = tempfile::tempdir().unwrap();
        let bounds = Bounds { bytes: 4, paths: 1 };
        collect(&bytes(notes)[..], &dir.path().join("zip"), &[], bounds)
    }

    const DONE: Note = Note::Done { files: 0, bytes: 0 };

    #[test]
    fn what_is_brought_becomes_an_archive() {
        let notes = [
            Note::Missing("m".to_owned()),
            Note::Skipped("s".to_owned()),
            file("a/b"),
            Note::Data(b"xy".to_vec()),
            file("c"),
            DONE,
        ];
        let packed = collected(&notes).unwrap().unwrap();
        assert_eq!(packed.archive.map(|(_, count)| count), Some(2));
        assert_eq!(
            (&*packed.missing, &*packed.skipped),
            (&["m".into()][..], &["s".into()][..])
        );
        let nothing = collected(&[DONE]).unwrap().unwrap();
        assert!(nothing.archive.is_none());
        assert!(collected(&notes[..4]).unwrap().is_none());
    }

    #[test]
    fn a_lying_porter_gets_nowhere() {
        let data = |size| Note::Data(vec![0; size]);
        let missing = || Note::Missing("m".to_owned());
        for (notes, expected) in [
            (vec![file("../a"), DONE], "no path of an entry"),
            (vec![file("/a"), DONE], "no path of an entry"),
            (vec![file(""), DONE], "no path of an entry"),
            (vec![data(1), DONE], "bytes of no file"),
            (vec![file("a"), data(3), data(2), DONE], "more than 4 bytes"),
            (vec![file("a"), file("a"), DONE], "entry `a`"),
            (vec![missing(), missing(), DONE], "more is missing"),
        ] {
            let error = collected(&notes).unwrap_err();
            let text = colony_core::text::with_causes(&error);
            assert!(text.contains(expected), "{text}");
        }
    }
}
