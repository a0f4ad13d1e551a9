//! Whether the open file is still the one at its path.
//!
//! A file that was removed takes writes as long as it is open, and all of them are lost with the
//! process. So the writer looks before each transaction; that costs about a microsecond.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// The file of the database, as it was when it was opened.
#[derive(Debug)]
pub(super) struct Identity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(path: &Path) -> Result<Self, OpenError> {
        let found = |path: &Path| -> std::io::Result<(PathBuf, Metadata)> {
            // The program may change its working directory.
            Ok((std::path::absolute(path)?, path.metadata()?))
        };
        let (path, metadata) = found(path).map_err(|source| OpenError::File {
            database: super::connection::name(path),
            advice: "it went away while it was opened".to_owned(),
            source,
        })?;
        Ok(Self {
            path,
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// False when the path names another file, or none.
    pub(super) fn is_in_place(&self) -> bool {
        self.path
            .metadata()
            .is_ok_and(|metadata| metadata.dev() == self.device && metadata.ino() == self.inode)
    }
}
