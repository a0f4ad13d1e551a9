//! A work root in which the commands of another user run.
//!
//! The root and the attempts' directories are root's, and that user may pass through them. Only
//! `work` and `tmp` are the user's own; the ant's files are in a directory that only root may enter.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use colony_reaper::User;

/// Others pass through, and see no names.
const PASSABLE: u32 = 0o711;
const PRIVATE: u32 = 0o700;

/// Rights to put something in for others than the owner, and the right that only owners remove.
const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Makes a work root, once nobody else than root can put another in its place.
pub(super) fn make_root(path: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
    let failed = |source| (path.to_owned(), source);
    let whole = std::path::absolute(path).map_err(failed)?;
    check(&whole)?;
    DirBuilder::new()
        .recursive(true)
        .mode(PASSABLE)
        .create(&whole)
        .map_err(failed)?;
    check(&whole)?;
    let real = whole.canonicalize().map_err(failed)?;
    check(&real)?;
    if whole.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
        return Err(failed(io::Error::other("it is no directory")));
    }
    // A home, say, is not opened because somebody named it.
    if !is_passable(&real).map_err(failed)? && is_empty(&real).map_err(failed)? {
        fs::set_permissions(&real, Permissions::from_mode(PASSABLE)).map_err(failed)?;
    }
    Ok(real)
}

fn is_passable(path: &Path) -> io::Result<bool> {
    Ok(path.metadata()?.mode() & PASSABLE == PASSABLE)
}

fn is_empty(path: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(path)?.next().is_none())
}

/// Whether nobody but root can put others in the place of these.
pub(super) fn check_all(paths: &[PathBuf]) -> Result<(), (PathBuf, io::Error)> {
    for path in paths {
        let failed = |source| (path.clone(), source);
        check(&std::path::absolute(path).map_err(failed)?)?;
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            real => check(&real.map_err(failed)?)?,
        }
    }
    Ok(())
}

/// Whether a path and all above it, as far as they are there, are root's to change.
fn check(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    for part in path.ancestors() {
        let refused = |problem: &str| (part.to_owned(), io::Error::other(problem.to_owned()));
        let found = match part.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found.map_err(|error| (part.to_owned(), error))?,
        };
        if found.uid() != 0 {
            return Err(refused("it belongs to another user than root"));
        }
        let mode = found.mode();
        // Where all may put things, nobody removes what is another's.
        let shared = part != path && mode & STICKY != 0;
        if !found.is_symlink() && mode & WRITABLE != 0 && !shared {
            return Err(refused("others than root can change what is in it"));
        }
    }
    Ok(())
}

/// Makes what an attempt's directory has in it, for a user.
pub(super) fn make_parts(base: &Path, user: User) -> io::Result<()> {
    // Whatever mask this process has.
    fs::set_permissions(base, Permissions::from_mode(PASSABLE))?;
    let make = |path: &Path| DirBuilder::new().mode(PRIVATE).create(path);
    make(&own(base))?;
    for name in ["work", "tmp"] {
        // Nobody but root can put another in its place.
        let path = base.join(name);
        make(&path)?;
        lchown(&path, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}

/// Shuts an attempt's directory: nothing more comes in by name while it is removed.
pub(super) fn shut(base: &Path) -> io::Result<()> {
    fs::set_permissions(base, Permissions::from_mode(PRIVATE))
}

/// Where the ant has its own files.
pub(super) fn own(base: &Path) -> PathBuf {
    base.join("own")
}
