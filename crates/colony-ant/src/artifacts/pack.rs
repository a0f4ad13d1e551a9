//! Writes files into a ZIP and hashes it on the way. The same files give the same bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use colony_core::text::is_deceptive;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::digest::Hashing;
use crate::porter::PorterError;

/// Read at once from a file.
const BLOCK: usize = 128 << 10;

/// Larger files need the longer form of an entry.
const LARGE_FILE: u64 = 3 << 30;

/// A finished archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    pub(crate) sha256: String,
    pub(crate) size_bytes: u64,
}

/// What was packed.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    /// The archive and its number of files; none when there is no file.
    pub(crate) archive: Option<(Archive, usize)>,
    pub(crate) missing: Vec<String>,
    pub(crate) skipped: Vec<String>,
}

/// An entry that is not one of the selected files.
#[derive(Debug, Clone)]
pub(crate) struct Extra {
    pub(crate) name: String,
    pub(crate) content: Content,
}

/// Where an entry's bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Memory(String),
    File(PathBuf),
}

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    #[error("create the archive {}", path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("write the entry `{name}`")]
    Entry {
        name: String,
        #[source]
        source: zip::result::ZipError,
    },
    #[error("write the archive")]
    Write(#[source] io::Error),
    #[error("finish the archive")]
    Finish(#[source] zip::result::ZipError),
    #[error("stopped")]
    Stopped,
    #[error(transparent)]
    Porter(#[from] PorterError),
}

/// Writes an archive to a file. Blocks; ends early once `stopped` is true.
pub(crate) fn pack_file(
    to: &Path,
    entries: &BTreeMap<String, PathBuf>,
    extras: &[Extra],
    stopped: &AtomicBool,
) -> Result<Archive, PackError> {
    let file = File::create(to).map_err(|source| PackError::Create {
        path: to.to_owned(),
        source,
    })?;
    let add = |zip: &mut Zip<_>| {
        let mut block = vec![0; BLOCK];
        entries
            .iter()
            .try_for_each(|(name, path)| add_file(zip, name, path, &mut block, stopped))
    };
    let (mut writer, archive) = pack(BufWriter::new(file), add, extras, stopped)?;
    writer.flush().map_err(PackError::Write)?;
    Ok(archive)
}

/// Writes an archive of small things to memory.
pub(crate) fn pack_bytes(extras: &[Extra]) -> Result<(Vec<u8>, Archive), PackError> {
    let stopped = AtomicBool::new(false);
    pack(Vec::new(), |_| Ok(()), extras, &stopped)
}

/// Writes an archive of what `add` adds, and of the extras.
pub(crate) fn pack<W: Write>(
    to: W,
    add: impl FnOnce(&mut Zip<W>) -> Result<(), PackError>,
    extras: &[Extra],
    stopped: &AtomicBool,
) -> Result<(W, Archive), PackError> {
    let mut zip = ZipWriter::new_stream(Hashing::new(to));
    add(&mut zip)?;
    let mut block = vec![0; BLOCK];
    for extra in extras {
        match &extra.content {
            Content::File(path) => add_file(&mut zip, &extra.name, path, &mut block, stopped)?,
            Content::Memory(text) => {
                begin(&mut zip, &extra.name, 0o644, text.len() as u64)?;
                zip.write_all(text.as_bytes()).map_err(PackError::Write)?;
            }
        }
    }
    let writer = zip.finish().map_err(PackError::Finish)?.into_inner();
    let (writer, sha256, size_bytes) = writer.finish();
    Ok((writer, Archive { sha256, size_bytes }))
}

/// An archive on its way.
pub(crate) type Zip<W> = ZipWriter<zip::write::StreamWriter<Hashing<W>>>;

/// Begins an entry.
pub(crate) fn begin<W: Write>(
    zip: &mut Zip<W>,
    name: &str,
    mode: u32,
    size: u64,
) -> Result<(), PackError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(mode & 0o7777)
        .large_file(size > LARGE_FILE);
    zip.start_file(entry_name(name), options)
        .map_err(|source| PackError::Entry {
            name: name.to_owned(),
            source,
        })
}

/// The name of an entry. What could forge a line or turn the text of a listing is written as in URLs.
fn entry_name(name: &str) -> Cow<'_, str> {
    if !name.contains(is_deceptive) {
        return Cow::Borrowed(name);
    }
    let mut written = String::with_capacity(name.len() + 16);
    for character in name.chars() {
        match is_deceptive(character) {
            true => (character.encode_utf8(&mut [0; 4]).bytes())
                .for_each(|byte| written.push_str(&format!("%{byte:02X}"))),
            false => written.push(character),
        }
    }
    Cow::Owned(written)
}

fn add_file<W: Write>(
    zip: &mut Zip<W>,
    name: &str,
    path: &Path,
    block: &mut [u8],
    stopped: &AtomicBool,
) -> Result<(), PackError> {
    let failed = |source| PackError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    begin(zip, name, metadata.permissions().mode(), metadata.len())?;
    loop {
        if stopped.load(Ordering::Relaxed) {
            return Err(PackError::Stopped);
        }
        let count = file.read(block).map_err(failed)?;
        let Some(read @ [_, ..]) = block.get(..count) else {
            return Ok(());
        };
        zip.write_all(read).map_err(PackError::Write)?;
    }
}

#[cfg(test)]
mod tests {
    use super::entry_name;

    #[test]
    fn names_of_entries_forge_no_listing() {
        assert_eq!(entry_name("a/b c-ü%.txt"), "a/b c-ü%.txt");
        assert_eq!(entry_name("a\nb\u{1b}\u{202e}"), "a%0Ab%1B%E2%80%AE");
    }
}
