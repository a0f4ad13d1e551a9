//! The directory that holds the directories of attempts, and the lock on it.
//!
//! An attempt's directory has two parts, made at once: `work`, where commands run, and `tmp`, their
//! `TMPDIR`. Beside them the ant puts files of its own when it needs any. Directories that were left
//! empty are used again: see [`yard`]. Where commands run as another user, the parts are that user's:
//! see [`shared`].

mod lock;
mod removal;
mod shared;
mod yard;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use colony_core::id::{AttemptRef, TaskId};
use colony_reaper::User;

use crate::run_as::RunAs;
use crate::sweep;
use removal::remove_tree;
use yard::{Stamp, Yard};

/// Why a work root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkRootError {
    /// It cannot be made or opened.
    #[error("open work directory {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Commands of another user need directories that are root's all the way up.
    #[error("run commands as another user: {} has to be root's, and nobody else's to change", path.display())]
    Unsafe {
        /// The work root, the data directory, or a directory above them.
        path: PathBuf,
        /// What is wrong with that.
        #[source]
        source: io::Error,
    },
    /// Another ant uses it.
    #[error("work directory {} is in use by another ant (process {holder}): stop that one, or give each ant a directory of its own", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Process id of the other ant.
        holder: String,
    },
    /// What a dead ant left cannot be removed.
    #[error("remove what an earlier ant left in {}", path.display())]
    Sweep {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A locked work root.
#[derive(Debug)]
pub(crate) struct WorkRoot {
    path: PathBuf,
    lock: File,
    yard: Arc<Yard>,
    /// Whose commands run in it, where they are not this process's user's.
    user: Option<User>,
}

impl WorkRoot {
    /// Makes, locks and cleans it. Blocks.
    pub(crate) fn open(path: &Path, run_as: Option<&RunAs>) -> Result<Self, WorkRootError> {
        let user = run_as.map(|run_as| run_as.user);
        let failed = |source| WorkRootError::Open {
            path: path.to_owned(),
            source,
        };
        // Processes are recognized by this path, so it has to be the one that they see.
        let path = match run_as {
            Some(run_as) => shared::check_all(&run_as.closed)
                .and_then(|()| shared::make_root(path))
                .map_err(|(path, source)| WorkRootError::Unsafe { path, source })?,
            None => {
                make_private(path).map_err(failed)?;
                path.canonicalize().map_err(failed)?
            }
        };
        let lock = lock::acquire(&path)?;
        let yard = Arc::new(Yard::open(&path).map_err(failed)?);
        let root = Self {
            path,
            lock,
            yard,
            user,
        };
        root.sweep().map_err(|source| WorkRootError::Sweep {
            path: root.path.clone(),
            source,
        })?;
        Ok(root)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Directories that wait to be used again.
    pub(crate) fn yard(&self) -> Arc<Yard> {
        Arc::clone(&self.yard)
    }

    /// A second handle to the lock: it is held until both are closed.
    pub(crate) fn lock(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    /// Attempt directories here mean that an ant died, spare ones that it may have: kills their processes, removes them.
    fn sweep(&self) -> io::Result<()> {
        let left: Vec<PathBuf> = fs::read_dir(&self.path)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| is_attempt_directory(path))
            .collect();
        if left.is_empty() && self.yard.is_empty() {
            return Ok(());
        }
        for stray in sweep::find(&self.path) {
            stray.kill();
        }
        left.iter().try_for_each(|path| remove_tree(path))
    }

    /// Where an attempt's directory is or will be.
    pub(crate) fn site(&self, attempt: AttemptRef) -> Site {
        Site {
            base: self.path.join(attempt.to_string()),
            yard: Arc::clone(&self.yard),
            user: self.user,
            stamp: None,
        }
    }
}

/// The directory of an attempt.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    base: PathBuf,
    yard: Arc<Yard>,
    user: Option<User>,
    /// How it looked when it was used again.
    stamp: Option<Stamp>,
}

impl Site {
    /// Makes it.
    pub(crate) async fn make(&mut self) -> io::Result<()> {
        if self.user.is_none() {
            self.stamp = self.yard.take(&self.base);
        }
        if self.stamp.is_some() {
            return Ok(());
        }
        let site = self.clone();
        // A busy disk takes milliseconds for this.
        let making = tokio::task::spawn_blocking(move || {
            make_inside(&site.base, site.user)?;
            if let Some(user) = site.user {
                return shared::make_parts(&site.base, user);
            }
            fs::create_dir(site.work())?;
            fs::create_dir(site.temp())
        });
        making.await?
    }

    /// Where commands run.
    pub(crate) fn work(&self) -> PathBuf {
        self.base.join("work")
    }

    /// Their `TMPDIR`.
    pub(crate) fn temp(&self) -> PathBuf {
        self.base.join("tmp")
    }

    /// A file of the ant's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        match self.user {
            Some(_) => shared::own(&self.base).join(name),
            None => self.base.join(name),
        }
    }

    /// Removes all of it, or keeps it for another attempt when nothing is in it and nothing that was
    /// started in it is left. What was another user's is never used again: others of that user may
    /// have changed it since.
    pub(crate) async fn remove(self, is_left_alone: bool) {
        if is_left_alone && self.user.is_none() && self.yard.give(&self.base, self.stamp) {
            return;
        }
        let removal = tokio::task::spawn_blocking(move || {
            if self.user.is_some() {
                // One that was not made is not there.
                let _ = shared::shut(&self.base);
            }
            remove_tree(&self.base).map_err(|error| (self.base, error))
        });
        if let Ok(Err((path, error))) = removal.await {
            tracing::warn!(path = %path.display(), %error, "cannot remove attempt directory");
        }
    }
}

/// Makes a directory; the one around it, too, should somebody have removed that.
fn make_inside(path: &Path, user: Option<User>) -> io::Result<()> {
    if let (Some(_), Some(root)) = (user, path.parent()) {
        // Who made it again may have made it another's, or impassable.
        shared::make_root(root).map_err(|(_, error)| error)?;
    }
    match (fs::create_dir(path), path.parent()) {
        (Err(error), Some(root)) if error.kind() == io::ErrorKind::NotFound => {
            tracing::warn!("the work directory was removed; it is made again");
            make_private(root)?;
            fs::create_dir(path)
        }
        (made, _) => made,
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Only what is named like an attempt is ever removed, should someone name the wrong directory.
fn is_attempt_directory(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let parts = name.and_then(|name| name.split_once('.'));
    parts
        .is_some_and(|(task, epoch)| task.parse::<TaskId>().is_ok() && epoch.parse::<i64>().is_ok())
        && path.is_dir()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn attempt() -> AttemptRef {
        AttemptRef {
            task_id: "0190b5c0-aa6a-7d0e-9c59-2f8a6b7c8d9e".parse().unwrap(),
            epoch: colony_core::id::Epoch(3),
        }
    }

    #[test]
    fn only_one_ant_uses_a_root() {
        let dir = tempfile::tempdir().unwrap();
        let first = WorkRoot::open(dir.path(), None).unwrap();
        let error = WorkRoot::open(dir.path(), None).unwrap_err();
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
        drop(first);
        WorkRoot::open(dir.path(), None).unwrap();
    }

    #[tokio::test]
    async fn only_attempts_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("precious");
        fs::create_dir(&kept).unwrap();
        let mut left = WorkRoot::open(dir.path(), None).unwrap().site(attempt());
        left.make().await.unwrap();
        fs::write(left.work().join("file"), "x").unwrap();
        WorkRoot::open(dir.path(), None).unwrap();
        assert!(kept.exists());
        assert!(!left.base.exists());
    }

    #[tokio::test]
    async fn a_root_that_was_removed_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("work");
        let root = WorkRoot::open(&path, None).unwrap();
        // One that is kept for the next attempt goes away with the rest.
        let mut site = root.site(attempt());
        site.make().await.unwrap();
        site.remove(true).await;
        fs::remove_dir_all(&path).unwrap();
        let mut site = root.site(attempt());
        site.make().await.unwrap();
        assert!(site.work().is_dir() && site.temp().is_dir());
        site.clone().remove(false).await;
        assert!(!site.base.exists());
    }

    #[tokio::test]
    async fn a_site_goes_away_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = WorkRoot::open(dir.path(), None).unwrap();
        let mut site = root.site(attempt());
        site.make().await.unwrap();
        let inner = site.work().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("file"), "x").unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o500)).unwrap();
        site.clone().remove(true).await;
        assert!(!site.base.exists());
    }
}
