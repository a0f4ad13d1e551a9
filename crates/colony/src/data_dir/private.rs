//! Keeps others out of a data directory that was there before.

use std::fs::{Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};

/// Rights of others than the owner. Who may only pass through still reads what is open below it.
const OTHERS: u32 = 0o077;

/// Files whose content is for the owner only. SQLite's carry the name of the database before theirs.
const SECRET: [&str; 6] = [
    "colony.db",
    "colony.db-wal",
    "colony.db-shm",
    "colony.db.lock",
    "admin.token",
    "address",
];

/// By what a data directory is known, beside those.
const PARTS: [&str; 3] = ["objects", "work", "logs"];

/// Takes the rights of others from a data directory and its files. One of somebody else, or one that
/// serves other purposes as well, is refused as long as others can look into it.
pub(super) fn tighten(path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    let failed = || format!("failed to look at the data directory {name}");
    let found = std::fs::metadata(path).with_context(failed)?;
    if is_open(&found) {
        let mode = found.mode() & 0o7777;
        if !is_ours(&found) {
            bail!(
                "failed to use the data directory {name}: it belongs to another user and others \
                 can look into it (mode {mode:o}); choose a directory of its own, such as \
                 {name}/colony"
            );
        }
        if !is_data_directory(path).with_context(failed)? {
            bail!(
                "failed to use the data directory {name}: others can look into it (mode \
                 {mode:o}), and it holds other things than a colony's; make it private with \
                 `chmod 700`, or choose a directory of its own, such as {name}/colony"
            );
        }
        close(path, 0o700)?;
        tracing::warn!(
            "the data directory {name} was open to others (mode {mode:o}); it is private now"
        );
    }
    for file in SECRET {
        tighten_file(&path.join(file))?;
    }
    Ok(())
}

fn tighten_file(path: &Path) -> anyhow::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && is_open(&found) && is_ours(&found) => close(path, 0o600),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("failed to look at {}", path.display())),
    }
}

fn close(path: &Path, mode: u32) -> anyhow::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("failed to make {} private", path.display()))
}

fn is_open(found: &Metadata) -> bool {
    found.mode() & OTHERS != 0
}

fn is_ours(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
}

/// Whether nothing is in it, or something of a colony. Never true of a home or a place that all share.
fn is_data_directory(path: &Path) -> std::io::Result<bool> {
    let mut names = std::fs::read_dir(path)?.peekable();
    if names.peek().is_none() {
        return Ok(true);
    }
    let known = SECRET.iter().chain(&PARTS);
    let mut there = known.filter(|name| path.join(name).exists());
    Ok(there.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_data_directory_and_its_files_become_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path();
        for open in [0o755, 0o770, 0o702, 0o711] {
            chmod(path, open);
            tighten(path).unwrap();
            assert_eq!(mode(path), 0o700, "{open:o}");
        }
        for name in ["colony.db", "admin.token", "notes"] {
            std::fs::write(path.join(name), "x").unwrap();
            chmod(&path.join(name), 0o644);
        }
        chmod(path, 0o755);
        tighten(path).unwrap();
        assert_eq!(mode(path), 0o700);
        assert_eq!(mode(&path.join("colony.db")), 0o600);
        assert_eq!(mode(&path.join("admin.token")), 0o600);
        assert_eq!(mode(&path.join("notes")), 0o644);
    }

    #[test]
    fn what_is_not_only_ours_is_refused() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("thesis.txt"), "x").unwrap();
        chmod(home.path(), 0o755);
        let error = tighten(home.path()).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
        assert_eq!(mode(home.path()), 0o755);
        chmod(home.path(), 0o700);
        tighten(home.path()).unwrap();
    }
}
