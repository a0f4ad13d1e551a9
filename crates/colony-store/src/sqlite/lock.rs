//! One store per file: a lock beside the database.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// Takes the lock, which is held until the file is dropped; the system gives it back when the
/// process dies, however it dies.
pub(super) fn take(database: &Path) -> Result<File, OpenError> {
    let path = lock_path(database);
    let failed = |source| OpenError::File {
        database: super::connection::name(database),
        advice: format!(
            "cannot use the lock file {}; choose a --data-dir that this user can write to",
            path.display()
        ),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            write_holder(&mut file).map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            database: super::connection::name(database),
            holder: read_holder(&mut file),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {}", std::process::id())
}

/// Who holds the lock, as far as the file tells.
fn read_holder(file: &mut File) -> String {
    const LONGEST: u64 = 100;
    let mut text = String::new();
    match file.take(LONGEST).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}
