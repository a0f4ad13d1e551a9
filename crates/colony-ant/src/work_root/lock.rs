//! The lock on a work root: one ant uses it at a time.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::WorkRootError;

const LOCK: &str = ".lock";

/// How long the reaper of a dead ant may take to let go of the lock.
const REAPER_PATIENCE: Duration = Duration::from_secs(3);

/// Takes it, with the number of this process in it for whoever comes next.
pub(super) fn acquire(path: &Path) -> Result<File, WorkRootError> {
    let failed = |source| WorkRootError::Open {
        path: path.to_owned(),
        source,
    };
    let file = path.join(LOCK);
    let mut lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&file)
        .map_err(failed)?;
    // Whoever can open it can hold the lock.
    lock.set_permissions(fs::Permissions::from_mode(0o600))
        .map_err(failed)?;
    let deadline = Instant::now() + REAPER_PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) => {
                let text = fs::read_to_string(&file).unwrap_or_default();
                let holder = text.lines().next().unwrap_or_default().to_owned();
                if is_running(&holder) || Instant::now() > deadline {
                    let path = path.to_owned();
                    return Err(WorkRootError::InUse { path, holder });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
    lock.set_len(0).map_err(failed)?;
    writeln!(lock, "{}", std::process::id()).map_err(failed)?;
    Ok(lock)
}

fn is_running(holder: &str) -> bool {
    let pid = holder.parse().ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}
