//! Removes the directory of an attempt, whatever its commands have made of it.
//!
//! What is in there may belong to another user, who may still be at work, while the ant may be root.
//! So the walk goes from one open directory to the next and follows no link; it stays on one file
//! system, and it has a depth: what lies deeper is first moved up, so that no nesting exhausts
//! descriptors or the stack.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Directories that are open at a time.
const DEPTH_MAX: usize = 32;

/// Names that are tried for what is moved up, should a command have made some of them.
const NAMES_MAX: u64 = 1000;

/// Removes a directory, also when killed processes still write into it while they die, and when
/// directories in it were made read-only. One that is not there is removed.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let mut result = Ok(());
    for pause_ms in [0, 10, 50, 250] {
        std::thread::sleep(Duration::from_millis(pause_ms));
        result = match remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        if result.is_ok() {
            break;
        }
    }
    result
}

fn remove(path: &Path) -> io::Result<()> {
    let top = open(rustix::fs::CWD, path)?;
    let device = rustix::fs::fstat(&top)?.st_dev;
    let mut removal = Removal {
        top,
        device,
        moved: 0,
    };
    loop {
        let before = removal.moved;
        let directory = removal.top.try_clone()?;
        rustix::fs::seek(&directory, rustix::fs::SeekFrom::Start(0))?;
        removal.empty(directory, 0)?;
        if removal.moved == before {
            break;
        }
    }
    fs::remove_dir(path)
}

/// Opens a directory, and never what a link leads to.
fn open(at: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(at, name, flags, Mode::empty());
    let directory = match opened {
        // Its rights are no obstacle for root, who must not change any by name.
        Err(Errno::ACCESS) if !is_root() => {
            rustix::fs::chmodat(at, name, Mode::RWXU, AtFlags::empty())?;
            rustix::fs::openat(at, name, flags, Mode::empty())?
        }
        opened => opened?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&directory)?.st_mode);
    if !is_root() && !mode.contains(Mode::RWXU) {
        rustix::fs::fchmod(&directory, Mode::RWXU)?;
    }
    Ok(directory)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A removal on its way.
struct Removal {
    top: OwnedFd,
    /// The file system that it stays on.
    device: u64,
    /// Directories that were moved to the top.
    moved: u64,
}

impl Removal {
    /// Removes what is in a directory. One obstacle does not keep the rest; the first is told.
    fn empty(&mut self, directory: OwnedFd, depth: usize) -> io::Result<()> {
        let mut directory = Dir::new(directory)?;
        let mut result = Ok(());
        while let Some(entry) = directory.read() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let is_directory = entry.file_type() == FileType::Directory;
            let removed = self.entry(directory.fd()?, name, is_directory, depth);
            match removed {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if result.is_ok() => result = Err(error),
                _ => {}
            }
        }
        result
    }

    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        is_directory: bool,
        depth: usize,
    ) -> io::Result<()> {
        if !is_directory {
            match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
                // Not every file system tells what an entry is.
                Err(Errno::ISDIR | Errno::PERM) => {}
                removed => return Ok(removed?),
            }
        }
        let directory = open(parent, name)?;
        if rustix::fs::fstat(&directory)?.st_dev != self.device {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        if depth == DEPTH_MAX {
            return self.move_up(parent, name);
        }
        let emptied = self.empty(directory, depth + 1);
        let removed = rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
        emptied.and(removed.map_err(io::Error::from))
    }

    /// Moves a directory to the top, where the next round finds it.
    fn move_up(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        for _ in 0..NAMES_MAX {
            self.moved += 1;
            let to = format!(".moved-{}", self.moved);
            match rustix::fs::renameat(parent, name, self.top.as_fd(), to) {
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                moved => return Ok(moved?),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn links_are_removed_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        symlink(&kept, tree.join("a/link")).unwrap();
        symlink(kept.join("file"), tree.join("a/b/file")).unwrap();
        fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "x");
        // A link where the tree should be is no tree.
        symlink(&kept, &tree).unwrap();
        assert!(remove(&tree).is_err());
        assert!(kept.join("file").exists());
        remove_tree(&dir.path().join("nothing")).unwrap();
    }

    #[test]
    fn a_directory_that_becomes_a_link_meanwhile_is_not_followed() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        let tree = dir.path().join("tree");
        for _ in 0..100 {
            fs::create_dir(&tree).unwrap();
            // As a process does that is in the directory.
            let inside = open(rustix::fs::CWD, &tree).unwrap();
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let exchange = rustix::fs::RenameFlags::EXCHANGE;
                    while !over.load(Ordering::Relaxed) {
                        let _ = rustix::fs::mkdirat(&inside, "a", Mode::RWXU);
                        let _ = rustix::fs::mkdirat(&inside, "a/file", Mode::RWXU);
                        let _ = rustix::fs::symlinkat(&kept, &inside, "b");
                        let _ = rustix::fs::renameat_with(&inside, "a", &inside, "b", exchange);
                    }
                });
                for _ in 0..20 {
                    let _ = remove(&tree);
                }
                over.store(true, Ordering::Relaxed);
            });
            remove_tree(&tree).unwrap();
            assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "x");
        }
    }

    #[test]
    fn no_nesting_is_too_deep() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join(".moved-1/x")).unwrap();
        let mut at = open(rustix::fs::CWD, &tree).unwrap();
        for _ in 0..1500 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = open(at.as_fd(), "d").unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
