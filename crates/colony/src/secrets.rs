//! Secrets of the environment, out of the reach of tasks.
//!
//! Whoever runs as the same user can read the environment that a process was started with. So a
//! queen, or a `colony run`, that finds secrets there starts itself anew in its own place, without
//! them, and gets them from a file in memory, which is its standard input. Besides, it cannot be
//! traced or dumped by others than root.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::MemfdFlags;
use rustix::process::DumpableBehavior;

/// Says that the secrets are on standard input, to the process with this id.
pub(crate) const MARK: &str = "COLONY_SECRETS_FOR";

/// Parts of names of variables that hold secrets.
const PARTS: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "URL"];

static TAKEN: OnceLock<BTreeMap<OsString, OsString>> = OnceLock::new();

/// Takes the secrets out of the environment. Starts the program anew if there are any; `stdin` says
/// whether standard input is free for that.
///
/// # Errors
/// When it cannot; the program can go on with its secrets where they are.
pub(crate) fn hide(stdin: bool) -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let own = std::process::id().to_string();
    if std::env::var_os(MARK).is_some_and(|mark| mark == *own) {
        let taken = take()?;
        let _ = TAKEN.set(taken);
        return Ok(());
    }
    let secrets: Vec<_> = std::env::vars_os()
        .filter(|(name, value)| is_secret(name) && !value.is_empty())
        .collect();
    if secrets.is_empty() || !stdin {
        return Ok(());
    }
    Err(start_anew(&secrets, &own)?)
}

/// The value of a variable, wherever it is by now.
pub(crate) fn variable(name: &str) -> Result<String, std::env::VarError> {
    match TAKEN.get().and_then(|taken| taken.get(OsStr::new(name))) {
        Some(value) => value
            .clone()
            .into_string()
            .map_err(std::env::VarError::NotUnicode),
        None => std::env::var(name),
    }
}

fn is_secret(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let rest = name.strip_prefix("COLONY_");
    rest.is_some_and(|rest| PARTS.iter().any(|part| rest.contains(part)))
}

/// Comes back only with the reason why it could not.
fn start_anew(secrets: &[(OsString, OsString)], own: &str) -> io::Result<io::Error> {
    let memory = rustix::fs::memfd_create("secrets", MemfdFlags::CLOEXEC)?;
    let mut memory = File::from(memory);
    for (name, value) in secrets {
        memory.write_all(&[name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat())?;
    }
    memory.rewind()?;
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_else(|| "colony".into());
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let mut command = Command::new(program);
    command.arg0(name).args(args).env(MARK, own).stdin(memory);
    for (name, _) in secrets {
        command.env_remove(name);
    }
    Ok(command.exec())
}

/// Reads what [`start_anew`] wrote, and leaves nothing of it.
fn take() -> io::Result<BTreeMap<OsString, OsString>> {
    let mut memory = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut bytes = Vec::new();
    memory.read_to_end(&mut bytes)?;
    memory.set_len(0)?;
    let pairs = bytes.split(|byte| *byte == 0).filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at(at);
        let value = value.get(1..)?.to_vec();
        Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value)))
    });
    Ok(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_their_names() {
        for name in ["RUNS_API_STATIC_KEY", "TOKEN", "API_KEY", "DATABASE_URL"] {
            assert!(is_secret(OsStr::new(&format!("COLONY_{name}"))), "{name}");
        }
        assert!(!is_secret(OsStr::new("COLONY_LISTEN")));
        assert!(!is_secret(OsStr::new("API_KEY")));
    }
}
