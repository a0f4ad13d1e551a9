//! Kills what an ant leaves behind when it is itself killed.
//!
//! Beside every ant runs a small process, the *reaper*, in a process group of its own. The ant
//! tells it on its standard input which process groups live. When that pipe closes without a
//! farewell, the ant is dead: the reaper kills the groups, looks for processes that escaped from
//! them, and ends.
//!
//! ```text
//! =/path/of/the/work/root     first line
//! +1234                       group 1234 was started
//! -1234                       group 1234 is over
//! .                           the ant ends in good order
//! ```
//!
//! The reaper's standard output is the ant's lock on the work root: a lock belongs to the open file,
//! so the next ant gets it only when both are gone and cannot be mistaken for the dead one.

mod ledger;

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::PathBuf;

use rustix::process::{Pid, Signal};
use tokio::signal::unix::{SignalKind, signal};

use crate::{groups, sweep};

pub(crate) use ledger::{Ledger, Reaper};

/// The reaper's whole life: reads what the ant says until it falls silent.
///
/// # Errors
/// When the signals that must not end it cannot be caught, or its input cannot be read.
pub fn run(input: impl Read) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _caught = {
        let _context = runtime.enter();
        // Caught and never looked at. Who stops a whole machine or service signals every process,
        // and the reaper has to be the last.
        [
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ]
    };
    let mut known = Known::default();
    for line in BufReader::new(input).lines() {
        if known.hear(&line?) == Heard::Farewell {
            return Ok(());
        }
    }
    known.kill();
    Ok(())
}

/// What the ant has said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    root: Option<PathBuf>,
    groups: BTreeSet<i32>,
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    News,
    Farewell,
}

impl Known {
    fn hear(&mut self, line: &str) -> Heard {
        let number = || line.get(1..).and_then(|rest| rest.parse::<i32>().ok());
        match line.as_bytes().first() {
            Some(b'=') => self.root = line.get(1..).map(PathBuf::from),
            Some(b'+') => self.groups.extend(number()),
            Some(b'-') => {
                number().map(|group| self.groups.remove(&group));
            }
            Some(b'.') => return Heard::Farewell,
            _ => {}
        }
        Heard::News
    }

    fn kill(&self) {
        let groups = self.groups.iter().copied().filter(|group| *group > 1);
        for group in groups.filter_map(Pid::from_raw) {
            groups::signal(group, Signal::KILL);
        }
        let strays = self.root.as_deref().map(sweep::find);
        for stray in strays.into_iter().flatten() {
            stray.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_it_was_told() {
        let mut known = Known::default();
        for line in ["=/w r", "+12", "+13", "-12", "+x", "?", ""] {
            assert_eq!(known.hear(line), Heard::News, "{line}");
        }
        let expected = Known {
            root: Some("/w r".into()),
            groups: [13].into(),
        };
        assert_eq!(known, expected);
        assert_eq!(known.hear("."), Heard::Farewell);
    }
}
