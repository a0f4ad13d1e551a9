//! A queen with a key, for tests of the Runs API's commands.

use colony_testkit::wait_for;
use serde_json::Value;

use crate::kit::{Ended, Home, PATIENCE, Process, Queen};

pub(crate) struct Ledger {
    pub(crate) home: Home,
    pub(crate) queen: Queen,
    pub(crate) key: String,
}

impl Ledger {
    pub(crate) fn start() -> Self {
        let home = Home::new();
        let queen = Queen::start(&home, &["--no-ant"]);
        let made = home.colony(&["key", "create", "--org", "acme", "--env", "test"]);
        let key = made.with_code(0).out.trim().to_owned();
        Self { home, queen, key }
    }

    /// Starts the program with the key.
    pub(crate) fn spawn(&self, args: &[&str]) -> Process {
        self.spawn_with(args, "")
    }

    pub(crate) fn spawn_with(&self, args: &[&str], input: &str) -> Process {
        let variables = [("COLONY_API_KEY", &*self.key)];
        self.home.start_with(args, &variables, input)
    }

    /// Runs the program with the key to its end.
    pub(crate) fn colony(&self, args: &[&str]) -> Ended {
        self.spawn(args).wait()
    }

    /// What the program prints, when it ends well.
    #[track_caller]
    pub(crate) fn out(&self, args: &[&str]) -> String {
        self.colony(args).with_code(0).out.trim().to_owned()
    }

    /// The same with `--json`, parsed.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.push("--json");
        serde_json::from_str(&self.out(&all)).unwrap()
    }

    #[track_caller]
    pub(crate) fn new_run(&self) -> String {
        self.out(&["runs", "create"])
    }

    /// A task that is not tried again.
    #[track_caller]
    pub(crate) fn new_task(&self, run: &str, kind: &str, input: &str) -> String {
        let create = ["tasks", "create", run, "--type", kind, "--input", input];
        self.out(&[&create[..], &["--max-retries", "0"]].concat())
    }

    #[track_caller]
    pub(crate) fn task(&self, id: &str) -> Value {
        self.json(&["tasks", "get", id])
    }

    /// Waits until a task has a status; returns it.
    #[track_caller]
    pub(crate) fn wait_for_status(&self, id: &str, status: &str) -> Value {
        wait_for(PATIENCE, || {
            let task = self.task(id);
            if task["status"] == status {
                Ok(task)
            } else {
                Err(task)
            }
        })
    }
}
