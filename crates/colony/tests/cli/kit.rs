//! What the tests share: a home for a colony, and processes that end with it.

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use colony_api::client::Client;
use colony_testkit::{TestPostgres, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

thread_local! {
    /// The name of the test that wants its homes on PostgreSQL.
    static POSTGRES: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Runs a test with homes on PostgreSQL; see [`also_on_postgres!`].
pub(crate) fn on_postgres(name: &'static str, test: fn()) {
    POSTGRES.set(Some(name));
    test();
}

/// Runs tests of this file again, in a module `postgres`, with every [`Home`] on a database of
/// PostgreSQL instead of a SQLite file.
macro_rules! also_on_postgres {
    ($($name:ident)*) => {
        mod postgres {
            $(#[test]
            fn $name() {
                crate::kit::on_postgres(stringify!($name), super::$name);
            })*
        }
    };
}
pub(crate) use also_on_postgres;

/// A directory in which programs run. They find no settings but those of the test.
pub(crate) struct Home {
    directory: TempDir,
    postgres: Option<TestPostgres>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a test machine has room for a directory"),
            postgres: POSTGRES.get().map(TestPostgres::create),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where its colony has its data.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join(".colony")
    }

    /// Puts a file there.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_colony"));
        command.args(args);
        command
    }

    /// Starts a shell in the same environment.
    pub(crate) fn shell(&self, script: &str) -> Process {
        let mut shell = self.program("sh");
        shell.args(["-c", script]);
        Process::spawn(shell, "")
    }

    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("COLONY_")) {
            command.env_remove(name);
        }
        command
            .current_dir(self.path())
            .env("COLONY_DATA_DIR", self.data_dir())
            .env("XDG_DATA_HOME", self.path().join("share"))
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        if let Some(server) = &self.postgres {
            command.env("COLONY_DATABASE_URL", server.url());
        }
        command
    }

    /// Starts the program; its output goes to files.
    pub(crate) fn start(&self, args: &[&str]) -> Process {
        self.start_with(args, &[], "")
    }

    pub(crate) fn start_with(
        &self,
        args: &[&str],
        variables: &[(&str, &str)],
        input: &str,
    ) -> Process {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        Process::spawn(command, input)
    }

    /// Runs the program to its end.
    pub(crate) fn colony(&self, args: &[&str]) -> Ended {
        self.start(args).wait()
    }

    /// Processes that work below this directory.
    pub(crate) fn processes(&self) -> Vec<String> {
        let root = self.path().canonicalize().unwrap();
        let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let inside = entries.filter(|entry| {
            let cwd = std::fs::read_link(entry.path().join("cwd"));
            cwd.is_ok_and(|cwd| cwd.starts_with(&root))
        });
        inside
            .map(|entry| {
                let cmdline = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&cmdline).replace('\0', " ")
            })
            .collect()
    }

    /// Waits until nothing runs there any more.
    pub(crate) fn wait_until_quiet(&self) {
        wait_for(PATIENCE, || match self.processes() {
            left if left.is_empty() => Ok(()),
            left => Err(left.join("\n")),
        });
    }
}

/// A program that runs. Killed when the test ends before it does.
pub(crate) struct Process {
    child: Child,
    capture: TempDir,
}

impl Process {
    fn spawn(mut command: Command, input: &str) -> Self {
        let capture = tempfile::tempdir().unwrap();
        let file = |name| File::create(capture.path().join(name)).unwrap();
        std::fs::write(capture.path().join("in"), input).unwrap();
        let child = command
            .stdin(File::open(capture.path().join("in")).unwrap())
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .unwrap();
        Self { child, capture }
    }

    pub(crate) fn out(&self) -> String {
        std::fs::read_to_string(self.capture.path().join("out")).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        std::fs::read_to_string(self.capture.path().join("err")).unwrap()
    }

    /// Waits until stdout holds a text.
    pub(crate) fn wait_for_out(&self, text: &str) {
        wait_for(PATIENCE, || {
            let out = self.out();
            if out.contains(text) {
                return Ok(());
            }
            Err(format!("{out}\n{}", self.err()))
        });
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub(crate) fn wait(mut self) -> Ended {
        let status = wait_for(PATIENCE, || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err(format!("still running\n{}\n{}", self.out(), self.err())),
        });
        Ended {
            code: status.code(),
            out: self.out(),
            err: self.err(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// The same, when it ended with that code.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    /// Each line of stdout as JSON.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }
}

/// A queen on a free port that is ready for calls.
pub(crate) struct Queen {
    process: Process,
    address: String,
    token: Option<String>,
}

impl Queen {
    pub(crate) fn start(home: &Home, args: &[&str]) -> Self {
        Self::start_on(home, "127.0.0.1:0", args)
    }

    /// One without an ant at an address that was used before.
    pub(crate) fn start_at(home: &Home, address: &str) -> Self {
        Self::start_on(home, address, &["--no-ant"])
    }

    fn start_on(home: &Home, address: &str, args: &[&str]) -> Self {
        // A queen that was killed leaves its address behind.
        let address_file = home.data_dir().join("address");
        let _ = std::fs::remove_file(&address_file);
        let mut all = vec!["queen", "--listen", address];
        all.extend(args);
        let mut process = home.start(&all);
        let address = wait_for(PATIENCE, || {
            if let Some(status) = process.child.try_wait().unwrap() {
                panic!("the queen ended with {status}: {}", process.err());
            }
            std::fs::read_to_string(&address_file).map_err(|error| error.to_string())
        });
        let token = std::fs::read_to_string(home.data_dir().join("admin.token"));
        Self {
            process,
            address: address.trim().to_owned(),
            token: token.ok().map(|token| token.trim().to_owned()),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn client(&self) -> Client {
        let url = format!("http://{}", self.address);
        Client::new(&url, self.token.as_deref()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub(crate) fn err(&self) -> String {
        self.process.err()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Ended {
        self.process.wait()
    }

    /// Ends it in good order.
    #[track_caller]
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.wait().with_code(0)
    }
}
