//! The directory of a colony: its database, objects and work, and the small files by which clients
//! find a running queen.

mod private;

use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A data directory. Only its owner can look inside: logs and artifacts may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// The directory at that path, whether it is there or not.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Makes it, readable by the owner only, or makes an existing one so.
    pub(crate) fn create(&self) -> anyhow::Result<()> {
        make(&self.0)?;
        private::tighten(&self.0)
    }

    /// Makes the directory of objects.
    pub(crate) fn create_objects(&self) -> anyhow::Result<()> {
        make(&self.objects())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("colony.db")
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.0.join("objects")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// Where the commands of a user may work who cannot look into this directory.
    pub(crate) fn work_beside(&self) -> PathBuf {
        let whole = std::path::absolute(&self.0).unwrap_or_else(|_| self.0.clone());
        let mut name = whole.file_name().unwrap_or_default().to_owned();
        name.push("-work");
        whole.with_file_name(name)
    }

    /// Where `colony run` leaves the logs of its requests.
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    fn address_file(&self) -> PathBuf {
        self.0.join("address")
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.0.join("admin.token")
    }

    /// Says where the queen listens.
    pub(crate) fn write_address(&self, address: &str) -> anyhow::Result<()> {
        write_whole(&self.address_file(), address)
    }

    /// The queen no longer listens. Only a leftover, when it cannot be removed.
    pub(crate) fn remove_address(&self) {
        if let Err(error) = std::fs::remove_file(self.address_file()) {
            tracing::debug!("failed to remove the address file: {error}");
        }
    }

    /// Where a queen listens, if one said so.
    pub(crate) fn read_address(&self) -> anyhow::Result<Option<String>> {
        read_line(&self.address_file())
    }

    /// Whether a queen that did not end in good order left that address.
    pub(crate) fn was_at(&self, address: &str) -> bool {
        matches!(self.read_address(), Ok(Some(left)) if left == address)
    }

    pub(crate) fn write_token(&self, token: &str) -> anyhow::Result<()> {
        write_whole(&self.token_file(), token)
    }

    /// The admin's token, if there is one.
    pub(crate) fn read_token(&self) -> anyhow::Result<Option<String>> {
        read_line(&self.token_file())
    }

    pub(crate) fn remove_token(&self) -> anyhow::Result<()> {
        let path = self.token_file();
        std::fs::remove_file(&path).with_context(|| format!("failed to remove {}", path.display()))
    }
}

/// Makes the directory in which an ant works.
pub(crate) fn make_work(path: &Path) -> anyhow::Result<()> {
    make_again(path).with_context(|| {
        let name = path.display();
        format!(
            "failed to make the work directory {name}; choose one that this user can write to, with \
             COLONY_ANT_WORK_DIR or `ant.work_dir` in colony.toml"
        )
    })
}

fn make(path: &Path) -> anyhow::Result<()> {
    make_again(path).with_context(|| {
        let name = path.display();
        format!(
            "failed to make the data directory {name}; choose one that this user can write to, \
             with --data-dir, COLONY_DATA_DIR or `data_dir` in colony.toml"
        )
    })
}

/// Makes a directory below a data directory, should it be missing.
pub(crate) fn make_again(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file so that others see either nothing, the old one, or the whole new one, also after
/// a crash; only the owner can read it.
pub(crate) fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("failed to write {}", path.display());
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(directory)?;
        writeln!(file, "{text}")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(directory)?.sync_all()
    };
    write().with_context(failed)
}

fn read_line(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_private_and_come_back_whole() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::at(parent.path().join("a/b"));
        dir.create().unwrap();
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(dir.read_token().unwrap(), None);
        dir.write_token("secret").unwrap();
        assert_eq!(mode(&dir.token_file()), 0o600);
        assert_eq!(dir.read_token().unwrap().as_deref(), Some("secret"));
        dir.write_address("127.0.0.1:1").unwrap();
        dir.remove_address();
        dir.remove_address();
        assert_eq!(dir.read_address().unwrap(), None);
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }
}
