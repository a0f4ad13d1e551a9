//! What a reaper is asked to start, as bytes: parts that each end with a zero byte, which none of
//! them can hold.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// A process to start. Its environment is exactly the given one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program, looked for in the `PATH` of the environment.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Where it works.
    pub directory: PathBuf,
    /// Its variables.
    pub environment: Vec<(OsString, OsString)>,
    /// As whom it runs; none = as the reaper.
    pub user: Option<User>,
}

/// Whom a process belongs to. It has no other groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

impl Command {
    /// The bytes; an error when a zero byte is in any part.
    pub(crate) fn encode(&self) -> io::Result<Vec<u8>> {
        let user = self.user.map(|user| format!("{}:{}", user.uid, user.gid));
        let mut bytes = Vec::new();
        put(&mut bytes, user.unwrap_or_default().as_bytes())?;
        put(&mut bytes, self.directory.as_os_str().as_bytes())?;
        put(&mut bytes, self.arguments.len().to_string().as_bytes())?;
        put(&mut bytes, self.program.as_bytes())?;
        for argument in &self.arguments {
            put(&mut bytes, argument.as_bytes())?;
        }
        for (name, value) in &self.environment {
            let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
            put(&mut bytes, &pair)?;
        }
        Ok(bytes)
    }

    /// What [`Command::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        let user = match text()? {
            "" => None,
            user => {
                let (uid, gid) = user.split_once(':')?;
                let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
                Some(User { uid, gid })
            }
        };
        let directory = os(parts.next()?).into();
        let count: usize = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let program = os(parts.next()?);
        let arguments: Vec<OsString> = parts.by_ref().take(count).map(os).collect();
        let environment = parts.map(|pair| {
            // A name may begin with the sign itself.
            let at = 1 + pair.iter().skip(1).position(|byte| *byte == b'=')?;
            let (name, value) = pair.split_at(at);
            Some((os(name), os(value.get(1..)?)))
        });
        Some(Self {
            environment: environment.collect::<Option<_>>()?,
            program,
            arguments,
            directory,
            user,
        })
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) -> io::Result<()> {
    if part.contains(&0) {
        let problem = "a command, its directory or a variable holds a zero byte";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    bytes.extend_from_slice(part);
    bytes.push(0);
    Ok(())
}

fn os(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn command() -> Command {
        let odd = OsStr::from_bytes(b"\xff=\n").to_owned();
        Command {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), "".into(), odd.clone()],
            directory: "/a b".into(),
            environment: vec![("A".into(), odd), ("B".into(), "".into())],
            user: None,
        }
    }

    #[test]
    fn a_command_comes_back_whole() {
        for user in [None, Some(User { uid: 1, gid: 2 })] {
            let command = Command { user, ..command() };
            let bytes = command.encode().unwrap();
            assert_eq!(Command::decode(&bytes), Some(command));
        }
    }

    #[test]
    fn a_zero_byte_is_refused() {
        let mut command = command();
        command.arguments.push("a\0b".into());
        let error = command.encode().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
