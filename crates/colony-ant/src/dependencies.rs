//! Unpacks archives of earlier tasks into the working directory (`job-definitions` 11.4).
//!
//! An archive comes from another task and is not trusted: names that leave the directory, links,
//! and more bytes or files than the limits allow end the unpacking with an error. Links that a
//! command of this attempt made earlier are not followed out of the directory either.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use crate::config::Limits;
use crate::digest;
use crate::porter::PorterError;

/// Why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("read the archive")]
    Open(#[source] io::Error),
    #[error("its SHA-256 is {actual}, but {expected} was stored")]
    Checksum { expected: String, actual: String },
    #[error("read it as a ZIP")]
    Zip(#[source] ZipError),
    #[error("its entry `{name}` would be written outside of the working directory")]
    Outside { name: String },
    #[error("its entry `{name}` is a link")]
    Link { name: String },
    #[error("the dependencies unpack to more than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the dependencies hold more than {limit} files")]
    TooMany { limit: usize },
    #[error("write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Porter(#[from] PorterError),
}

/// Opens an archive that is what was stored.
pub(crate) fn checked(archive: &Path, sha256: &str) -> Result<File, UnpackError> {
    let actual = File::open(archive)
        .and_then(digest::sha256_of)
        .map_err(UnpackError::Open)?;
    if !actual.eq_ignore_ascii_case(sha256) {
        let expected = sha256.to_owned();
        return Err(UnpackError::Checksum { expected, actual });
    }
    File::open(archive).map_err(UnpackError::Open)
}

/// Unpacks the archives of one attempt, one after the other.
#[derive(Debug)]
pub(crate) struct Unpacker {
    directory: PathBuf,
    limits: Limits,
    bytes: u64,
    files: usize,
}

impl Unpacker {
    pub(crate) fn new(directory: PathBuf, limits: Limits) -> Self {
        Self {
            directory,
            limits,
            bytes: 0,
            files: 0,
        }
    }

    /// Checks an archive and unpacks it over what is there. Blocks. Gives the number of files.
    pub(crate) fn unpack(&mut self, archive: &Path, sha256: &str) -> Result<usize, UnpackError> {
        self.unpack_open(checked(archive, sha256)?)
    }

    /// The same with one that is known and open.
    pub(crate) fn unpack_open(&mut self, file: File) -> Result<usize, UnpackError> {
        let mut zip = ZipArchive::new(io::BufReader::new(file)).map_err(UnpackError::Zip)?;
        let before = self.files;
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).map_err(UnpackError::Zip)?;
            self.unpack_entry(&mut entry)?;
        }
        Ok(self.files - before)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Bytes that were unpacked.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes and files that may still be unpacked.
    pub(crate) fn left(&self) -> (u64, usize) {
        let bytes = self.limits.unpacked_bytes.saturating_sub(self.bytes);
        let files = self.limits.unpacked_files.saturating_sub(self.files);
        (bytes, files)
    }

    /// Notes what another has unpacked. Gives the number of files.
    pub(crate) fn count(&mut self, files: u64, bytes: u64) -> usize {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        self.files = self.files.saturating_add(files);
        self.bytes = self.bytes.saturating_add(bytes);
        files
    }

    fn unpack_entry<R: io::Read>(&mut self, entry: &mut ZipFile<'_, R>) -> Result<(), UnpackError> {
        let name = entry.name().map_err(UnpackError::Zip)?.into_owned();
        let relative =
            safe_path(&name).ok_or_else(|| UnpackError::Outside { name: name.clone() })?;
        if entry.is_symlink() {
            return Err(UnpackError::Link { name });
        }
        let path = self.directory.join(relative);
        if entry.is_dir() {
            return self.make_directory(&path, &name);
        }
        self.files += 1;
        if self.files > self.limits.unpacked_files {
            let limit = self.limits.unpacked_files;
            return Err(UnpackError::TooMany { limit });
        }
        if let Some(parent) = path.parent() {
            self.make_directory(parent, &name)?;
        }
        self.write_file(&path, entry)
    }

    /// Makes a directory, and refuses one that is a link out of the working directory.
    fn make_directory(&self, path: &Path, name: &str) -> Result<(), UnpackError> {
        let failed = |source| write_error(path, source);
        // The deepest part that exists decides where the rest would be made.
        let existing = path
            .ancestors()
            .find(|part| part.symlink_metadata().is_ok());
        let real = existing.unwrap_or(path).canonicalize().map_err(failed)?;
        let inside = self.directory.canonicalize().map_err(failed)?;
        if !real.starts_with(inside) {
            let name = name.to_owned();
            return Err(UnpackError::Outside { name });
        }
        fs::create_dir_all(path).map_err(failed)
    }

    fn write_file(
        &mut self,
        path: &Path,
        entry: &mut ZipFile<'_, impl io::Read>,
    ) -> Result<(), UnpackError> {
        let failed = |source| write_error(path, source);
        // Not written through: what is there may be a link, or read-only.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut file = File::create_new(path).map_err(failed)?;
        let left = self.limits.unpacked_bytes - self.bytes;
        let mode = entry.unix_mode();
        let mut bounded = io::Read::take(entry, left.saturating_add(1));
        let copied = io::copy(&mut bounded, &mut file).map_err(failed)?;
        if copied > left {
            let limit = self.limits.unpacked_bytes;
            return Err(UnpackError::TooLarge { limit });
        }
        self.bytes += copied;
        let mode = mode.unwrap_or(0o644) & 0o777 | 0o600;
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(failed)
    }
}

fn write_error(path: &Path, source: io::Error) -> UnpackError {
    UnpackError::Write {
        path: path.to_owned(),
        source,
    }
}

/// The path of an entry below any directory, if it stays there.
fn safe_path(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    let usable = !name.is_empty() && !name.contains('\0');
    (usable && path.components().all(plain)).then(|| path.components().collect())
}
