//! The porter's own life: one errand, then the end.

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::process::DumpableBehavior;

use super::note::{BLOCK, Note, write_data};
use crate::artifacts::{self, PackError};
use crate::config::Limits;
use crate::dependencies::Unpacker;

/// What is done, or why not.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The whole life of a porter: does the errand that the words mean, and says on standard output how
/// it went. Standard input is what the errand needs.
///
/// # Errors
/// When nobody hears it.
pub fn run(words: &[OsString]) -> io::Result<()> {
    // Others of the same user cannot look into it.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut output = BufWriter::with_capacity(BLOCK, output);
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let end = match errand(words, input, &mut output) {
        Ok((files, bytes)) => Note::Done { files, bytes },
        Err(error) => Note::failed(&*error),
    };
    end.write(&mut output)?;
    output.flush()
}

/// Gives the number of files and bytes.
fn errand(words: &[OsString], input: File, output: &mut impl Write) -> Result<(u64, u64)> {
    let (verb, rest) = words.split_first().ok_or("no errand is named")?;
    let (directory, rest) = rest.split_first().ok_or("no directory is named")?;
    let directory = Path::new(directory);
    match (verb.as_bytes(), rest) {
        (b"reach", closed) => reach(directory, closed).map(|()| (0, 0)),
        (b"make", []) => make(directory).map(|()| (0, 0)),
        (b"unpack", [bytes, files]) => unpack(directory, input, &number(bytes)?, &number(files)?),
        (b"pack", []) => pack(directory, input, output),
        _ => Err("there is no such errand".into()),
    }
}

fn number(word: &OsString) -> Result<String> {
    Ok(word.to_str().ok_or("a number is no text")?.to_owned())
}

/// Whether this user can pass to a directory, and not look at what is closed to it.
fn reach(directory: &Path, closed: &[OsString]) -> Result<()> {
    let mut above: Vec<&Path> = directory.ancestors().collect();
    above.reverse();
    for part in above {
        rustix::fs::access(part, Access::EXEC_OK).map_err(|error| {
            let part = part.display();
            format!(
                "{part} cannot be passed through: {}",
                io::Error::from(error)
            )
        })?;
    }
    for path in closed {
        let can = |access| rustix::fs::access(path.as_os_str(), access).is_ok();
        if can(Access::READ_OK) || can(Access::WRITE_OK) || can(Access::EXEC_OK) {
            let path = Path::new(path).display();
            return Err(format!("{path} is open to this user, and must not be").into());
        }
    }
    Ok(())
}

fn make(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    Ok(())
}

/// Unpacks an archive whose checksum was looked at.
fn unpack(directory: &Path, archive: File, bytes: &str, files: &str) -> Result<(u64, u64)> {
    let limits = Limits {
        unpacked_bytes: bytes.parse()?,
        unpacked_files: files.parse()?,
        ..Limits::default()
    };
    let mut unpacker = Unpacker::new(directory.to_owned(), limits);
    let files = unpacker.unpack_open(archive)?;
    Ok((files as u64, unpacker.bytes()))
}

/// Brings the files that the paths on standard input mean. Each path ends with a zero byte.
fn pack(directory: &Path, mut input: File, output: &mut impl Write) -> Result<(u64, u64)> {
    let mut text = String::new();
    input.read_to_string(&mut text)?;
    let paths: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    let selection = artifacts::select(directory, &paths)?;
    for path in selection.missing {
        Note::Missing(path).write(output)?;
    }
    for path in selection.skipped {
        Note::Skipped(path.display().to_string()).write(output)?;
    }
    let (mut files, mut bytes) = (0, 0);
    let mut block = vec![0; BLOCK];
    for (name, path) in selection.entries {
        bytes += bring(name, &path, &mut block, output)?;
        files += 1;
    }
    Ok((files, bytes))
}

fn bring(name: String, path: &PathBuf, block: &mut [u8], output: &mut impl Write) -> Result<u64> {
    let failed = |source| PackError::Read {
        path: path.clone(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode();
    let size = metadata.len();
    Note::File { mode, size, name }.write(output)?;
    let mut bytes = 0;
    loop {
        let count = file.read(block).map_err(failed)?;
        let Some(read @ [_, ..]) = block.get(..count) else {
            return Ok(bytes);
        };
        write_data(output, read)?;
        bytes += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn unknown_errands_are_refused() {
        let empty = || File::open("/dev/null").unwrap();
        for given in [&[][..], &["pack"], &["make", "/x", "y"], &["dance", "/"]] {
            assert!(errand(&words(given), empty(), &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn what_is_closed_must_be_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display().to_string();
        let empty = || File::open("/dev/null").unwrap();
        errand(&words(&["reach", &path]), empty(), &mut Vec::new()).unwrap();
        let open = words(&["reach", &path, &path]);
        let error = errand(&open, empty(), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("must not be"), "{error}");
        let missing = words(&["reach", &format!("{path}/nothing")]);
        let error = errand(&missing, empty(), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("nothing cannot be"), "{error}");
    }
}
