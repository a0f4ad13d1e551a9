//! Empty attempt directories that wait to be used again.
//!
//! To make and remove three directories was measured to take from 0.7 ms to over 10 ms of waiting on
//! ext4, more than a short command; to rename one takes 15 µs. So a directory that an attempt left
//! as empty as it got it, and in which nothing is at work any more, is put aside and given to a later
//! one.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Directories kept, at most: more attempts seldom end at once.
const KEPT_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Yard {
    path: PathBuf,
    ready: Mutex<Vec<Place>>,
}

/// An empty directory.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    stamp: Stamp,
}

/// How an attempt's three directories look from outside. Whoever puts something into them or changes
/// their rights changes this, unless it happens within a tick of the clock of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp([Look; 3]);

/// Rights and time of last change of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    mode: u32,
    changed_at: (i64, i64),
}

impl Yard {
    /// Opens the yard of a work root and takes over what an earlier ant has put aside.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let path = root.join(".spare");
        fs::create_dir_all(&path)?;
        let mode = fs::metadata(&path)?.mode();
        let ready = fs::read_dir(&path)?
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let stamp = Stamp::of_empty(&path, mode)?;
                Some(Place { path, stamp })
            })
            .collect();
        let ready = Mutex::new(ready);
        Ok(Self { path, ready })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready().is_empty()
    }

    /// Removes all that is kept: nobody will use it again.
    pub(crate) fn clear(&self) {
        self.ready().clear();
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "cannot remove spare directories");
            }
            _ => {}
        }
    }

    /// Moves a directory that is ready to where an attempt wants it, if there is one.
    pub(super) fn take(&self, to: &Path) -> Option<Stamp> {
        // Two fruitless tries are enough: what cannot be used goes at the end.
        (0..2).find_map(|_| {
            let Place { path, stamp } = self.ready().pop()?;
            let usable = Stamp::of(&path) == Some(stamp) && fs::rename(path, to).is_ok();
            usable.then_some(stamp)
        })
    }

    /// Puts a directory aside if it is as good as new. `before` is how it looked when it was taken
    /// from here; one that was just made has to be looked into.
    pub(super) fn give(&self, from: &Path, before: Option<Stamp>) -> bool {
        let unchanged = before.filter(|before| Stamp::of(from).as_ref() == Some(before));
        let Some(stamp) = unchanged.or_else(|| Stamp::of_empty(from, self.mode()?)) else {
            return false;
        };
        let Some(path) = from.file_name().map(|name| self.path.join(name)) else {
            return false;
        };
        let kept = self.has_room() && fs::rename(from, &path).is_ok();
        if kept {
            self.ready().push(Place { path, stamp });
        }
        kept
    }

    fn has_room(&self) -> bool {
        self.ready().len() < KEPT_MAX
    }

    /// The rights of a new directory.
    fn mode(&self) -> Option<u32> {
        Some(fs::metadata(&self.path).ok()?.mode())
    }

    fn ready(&self) -> MutexGuard<'_, Vec<Place>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    fn of(base: &Path) -> Option<Self> {
        let (work, temp) = (base.join("work"), base.join("tmp"));
        Some(Self([Look::at(base)?, Look::at(&work)?, Look::at(&temp)?]))
    }

    /// Of a directory that holds nothing but its two parts, empty and with the rights of new ones.
    fn of_empty(base: &Path, mode: u32) -> Option<Self> {
        let stamp = Self::of(base)?;
        let holds = |path: &Path, number| count(path, number + 1) == Some(number);
        let empty = holds(base, 2) && holds(&base.join("work"), 0) && holds(&base.join("tmp"), 0);
        let new = stamp.0.iter().all(|look| look.mode == mode);
        (empty && new).then_some(stamp)
    }
}

impl Look {
    fn at(directory: &Path) -> Option<Self> {
        let metadata = directory.symlink_metadata().ok()?;
        Some(Self {
            mode: metadata.mode(),
            changed_at: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// The number of entries in a directory, counted up to `most`.
fn count(directory: &Path, most: usize) -> Option<usize> {
    Some(fs::read_dir(directory).ok()?.take(most).count())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn fresh(root: &Path, name: &str) -> PathBuf {
        let base = root.join(name);
        for part in ["work", "tmp"] {
            fs::create_dir_all(base.join(part)).unwrap();
        }
        base
    }

    #[test]
    fn an_empty_directory_is_used_again() {
        let root = tempfile::tempdir().unwrap();
        let yard = Yard::open(root.path()).unwrap();
        let (first, second) = (fresh(root.path(), "first"), root.path().join("second"));
        assert!(yard.give(&first, None));
        assert!(!first.exists());
        let stamp = yard.take(&second);
        assert!(stamp.is_some() && second.join("work").is_dir() && second.join("tmp").is_dir());
        assert!(yard.give(&second, stamp));
    }

    #[test]
    fn nothing_is_left_at_the_end() {
        let root = tempfile::tempdir().unwrap();
        let yard = Yard::open(root.path()).unwrap();
        assert!(yard.give(&fresh(root.path(), "first"), None));
        yard.clear();
        yard.clear();
        assert!(fs::read_dir(root.path()).unwrap().next().is_none());
        assert!(yard.take(&root.path().join("second")).is_none());
    }

    #[test]
    fn what_is_not_as_new_is_not_kept() {
        let root = tempfile::tempdir().unwrap();
        let yard = Yard::open(root.path()).unwrap();
        let base = fresh(root.path(), "base");
        let before = Stamp::of(&base);
        for file in ["work/x", "tmp/.x", "x"] {
            fs::write(base.join(file), "").unwrap();
            assert!(!yard.give(&base, None), "{file}");
            fs::remove_file(base.join(file)).unwrap();
        }
        fs::set_permissions(base.join("work"), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!yard.give(&base, before));
    }

    #[test]
    fn what_was_written_meanwhile_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let yard = Yard::open(root.path()).unwrap();
        let first = fresh(root.path(), "first");
        // Long ago, so that the change below is not within a tick of the file system's clock.
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        let work = fs::File::open(first.join("work")).unwrap();
        work.set_modified(long_ago).unwrap();
        assert!(yard.give(&first, None));
        fs::write(root.path().join(".spare/first/work/x"), "").unwrap();
        assert!(yard.take(&root.path().join("second")).is_none());
    }
}
