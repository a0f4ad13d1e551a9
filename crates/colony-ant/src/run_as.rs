//! As whom commands run, where that is another user than the ant's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use colony_reaper::User;
use colony_wire::Environment;

const HOME: &str = "HOME";

/// Another user than the ant's, for commands. Only root can start a process as another user.
#[derive(Debug, Clone)]
pub struct RunAs {
    /// The user and its group; there are no other groups.
    pub user: User,
    /// The user's name, or its number where it has none.
    pub name: String,
    /// The user's home; none = each attempt's work directory.
    pub home: Option<PathBuf>,
    /// Files and directories that this user must not get at.
    pub closed: Vec<PathBuf>,
    /// The program that makes a [porter](crate::porter) of itself, and its first arguments.
    pub porter: Vec<OsString>,
}

impl RunAs {
    /// This very program with the argument `porter`, as it is started by a reaper that is this
    /// program as well.
    pub fn porter_of_this_program() -> Vec<OsString> {
        vec!["/proc/self/exe".into(), "porter".into()]
    }

    /// Makes an environment of the ant's one of the user's.
    pub(crate) fn adapt(&self, environment: &mut Environment) {
        environment.remove(HOME);
        for name in ["USER", "LOGNAME"] {
            environment.insert(name.to_owned(), self.name.clone());
        }
    }

    /// Sets the home, where the order does not.
    pub(crate) fn set_home(&self, environment: &mut Environment, work: &Path) {
        let home = self.home.as_deref().unwrap_or(work);
        environment
            .entry(HOME.to_owned())
            .or_insert_with(|| home.to_string_lossy().into_owned());
    }
}
