//! A private PostgreSQL server.

use std::ffi::OsStr;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Failure, failed_to, say};
use crate::install;

const USER: &str = "colony";
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A server in a temporary directory, on a free port of 127.0.0.1, with durable settings. Stopped
/// and removed on drop; the system stops it when this process is killed.
pub(crate) struct Postgres {
    directory: PathBuf,
    port: u16,
    server: Option<Child>,
}

/// A user of the system, since the server refuses to run as root.
struct User {
    uid: u32,
    gid: u32,
}

impl Postgres {
    pub(crate) fn start() -> Result<Self, Failure> {
        let programs = install::postgres_programs()?;
        let user = install::is_root().then(unprivileged_user).transpose()?;
        let mut this = Self {
            directory: make_directory(user.as_ref())?,
            port: free_port()?,
            server: None,
        };
        this.make_cluster(&programs, user.as_ref())?;
        this.server = Some(this.spawn(&programs, user.as_ref())?);
        this.wait_until_ready(&programs)?;
        Ok(this)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    fn make_cluster(&self, programs: &Path, user: Option<&User>) -> Result<(), Failure> {
        // `--no-sync` leaves out only the sync of the fresh files, which no one would miss.
        let output = as_user(user, programs.join("initdb"))
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg(format!("--username={USER}"))
            .arg("--pgdata")
            .arg(self.data())
            .current_dir(&self.directory)
            .output()
            .map_err(failed_to("start initdb"))?;
        if output.status.success() {
            return Ok(());
        }
        let reason = String::from_utf8_lossy(&output.stderr);
        Err(Failure::Message(format!("initdb failed: {reason}")))
    }

    fn spawn(&self, programs: &Path, user: Option<&User>) -> Result<Child, Failure> {
        let log = File::create(self.log()).map_err(failed_to("make a log file"))?;
        let log_too = log.try_clone().map_err(failed_to("share a log file"))?;
        as_user(user, programs.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "max_connections=300"])
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                self.directory.display()
            ))
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .spawn()
            .map_err(failed_to("start PostgreSQL"))
    }

    fn wait_until_ready(&mut self, programs: &Path) -> Result<(), Failure> {
        let start = Instant::now();
        let port = self.port.to_string();
        loop {
            let ready = Command::new(programs.join("pg_isready"))
                .args(["--quiet", "--host=127.0.0.1", "--port", &port])
                .status()
                .map_err(failed_to("start pg_isready"))?;
            if ready.success() {
                return Ok(());
            }
            let server = self.server.as_mut().expect("the server was just started");
            let ended = server.try_wait().map_err(failed_to("wait"))?;
            if ended.is_some() || start.elapsed() > START_MAX {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                return Err(Failure::Message(format!(
                    "PostgreSQL did not start; its log:\n{log}"
                )));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            stop(&mut server);
        }
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            let directory = self.directory.display();
            say(&format!("xtask: failed to remove {directory}: {error}"));
        }
    }
}

/// Asks for an immediate end of sessions and a clean shutdown, then insists.
fn stop(server: &mut Child) {
    let pid = server.id().to_string();
    let asked = Command::new("kill").args(["-INT", &pid]).status();
    let start = Instant::now();
    while asked.as_ref().is_ok_and(std::process::ExitStatus::success) && start.elapsed() < STOP_MAX
    {
        match server.try_wait() {
            Ok(None) => std::thread::sleep(LOOK_EVERY),
            _ => return,
        }
    }
    say("xtask: PostgreSQL did not stop when asked; killing it");
    if let Err(error) = server.kill().and_then(|()| server.wait()) {
        say(&format!("xtask: failed to kill PostgreSQL: {error}"));
    }
}

/// A command that runs as the user, and ends with this process however that ends.
fn as_user(user: Option<&User>, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(User { uid, gid }) = user {
        command
            .arg(format!("--reuid={uid}"))
            .arg(format!("--regid={gid}"))
            .arg("--clear-groups");
    }
    command.arg("--pdeathsig=INT").arg("--").arg(program);
    command
}

/// The user `postgres`, which the package makes, or `nobody`.
fn unprivileged_user() -> Result<User, Failure> {
    let users = std::fs::read_to_string("/etc/passwd").map_err(failed_to("read /etc/passwd"))?;
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| find_user(&users, name))
        .ok_or_else(|| {
            Failure::Message("there is no user `postgres` or `nobody` to run PostgreSQL".to_owned())
        })
}

fn find_user(users: &str, name: &str) -> Option<User> {
    users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[..] {
            [user, _, uid, gid, ..] if user == name => Some(User {
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
            }),
            _ => None,
        }
    })
}

fn make_directory(owner: Option<&User>) -> Result<PathBuf, Failure> {
    let name = format!("colony-services-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&directory)
        .and_then(|()| match owner {
            Some(User { uid, gid }) => chown(&directory, Some(*uid), Some(*gid)),
            None => Ok(()),
        })
        .map_err(failed_to(&format!("make {}", directory.display())))?;
    Ok(directory)
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, Failure> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(failed_to("find a free port"))
}

#[cfg(test)]
mod tests {
    use super::find_user;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let users = "root:x:0:0::/root:/bin/sh\npostgres:x:101:104:a,b:/var:/bin/bash\n";
        let user = find_user(users, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (101, 104));
        assert!(find_user(users, "post").is_none());
    }
}
