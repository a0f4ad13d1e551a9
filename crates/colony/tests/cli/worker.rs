//! `colony worker` against a queen: real commands, real ends.

use colony_testkit::wait_for;
use rustix::process::Signal;
use serde_json::json;

use crate::kit::{Home, PATIENCE, Process, Queen};
use crate::ledger::Ledger;

/// Begins, and goes on in two processes until it is stopped.
const ENDLESS: &str = "touch begun; sleep 3600 & sleep 3600; touch ended";

impl Ledger {
    /// A worker for tasks of type `w`, whose commands work in the directory of the test.
    fn worker(&self, args: &[&str], script: &str) -> Process {
        let worker = ["worker", "--type", "w"];
        self.spawn(&[&worker[..], args, &["--", "sh", "-c", script]].concat())
    }
}

fn wait_for_file(home: &Home, name: &str) {
    wait_for(PATIENCE, || match home.path().join(name).exists() {
        true => Ok(()),
        false => Err(format!("no file {name}")),
    });
}

fn sleepers(home: &Home) -> usize {
    let processes = home.processes();
    let sleeps = processes
        .iter()
        .filter(|process| process.starts_with("sleep "));
    sleeps.count()
}

fn wait_for_sleepers(home: &Home, count: usize) {
    wait_for(PATIENCE, || match sleepers(home) {
        found if found == count => Ok(()),
        found => Err(format!("{found} processes sleep")),
    });
}

/// Waits until the endless command has begun.
fn wait_until_begun(home: &Home) {
    wait_for_file(home, "begun");
    wait_for_sleepers(home, 2);
}

fn wait_until_stopped(home: &Home) {
    wait_for_sleepers(home, 0);
    assert!(!home.path().join("ended").exists());
}

#[test]
fn a_command_gets_the_task_and_gives_its_output() {
    let ledger = Ledger::start();
    let run = ledger.new_run();
    let task = ledger.new_task(&run, "w", "{\"a\": [1]}");
    let script = "printf '{\"in\":%s,\"id\":\"%s\",\"run\":\"%s\",\"type\":\"%s\",\"attempt\":%s}' \
                  \"$(cat)\" $COLONY_TASK_ID $COLONY_RUN_ID $COLONY_TASK_TYPE $COLONY_ATTEMPT";
    let ended = ledger.worker(&["--once"], script).wait().with_code(0);
    assert!(ended.err.contains("completed 1, failed 0"), "{}", ended.err);
    let expected = json!({ "in": { "a": [1] }, "id": task, "run": run, "type": "w", "attempt": 1 });
    assert_eq!(ledger.task(&task)["outputData"], expected);

    // What is not JSON is a text.
    let task = ledger.new_task(&run, "w", "1");
    let script = "printf 'two\\nlines\\n'; colony=$COLONY_URL; test -n \"$colony\"";
    ledger.worker(&["--once"], script).wait().with_code(0);
    assert_eq!(ledger.task(&task)["outputData"], "two\nlines");
}

#[test]
fn a_command_that_fails_is_tried_again_and_says_why() {
    let ledger = Ledger::start();
    let run = ledger.new_run();
    let create = ["tasks", "create", &run, "--type", "w", "--max-retries", "1"];
    let task = ledger.out(&create);
    let script = "echo attempt $COLONY_ATTEMPT >&2; exit 3";
    let ended = ledger.worker(&["--max", "2"], script).wait().with_code(0);
    assert!(ended.err.contains("failed 2"), "{}", ended.err);
    let task = ledger.task(&task);
    assert_eq!(task["status"], "failed");
    assert_eq!(task["retryCount"], 1);
    let error = &task["errorData"];
    assert_eq!(error["exitCode"], 3);
    assert_eq!(error["stderr"], "attempt 2");
    assert_eq!(ledger.json(&["runs", "get", &run])["failedTasks"], 1);
}

#[test]
fn what_a_command_leaves_running_ends_with_it() {
    let ledger = Ledger::start();
    let task = ledger.new_task(&ledger.new_run(), "w", "1");
    // The child holds stdout open, which must not matter.
    ledger
        .worker(&["--once"], "sleep 3600 & echo 7")
        .wait()
        .with_code(0);
    assert_eq!(ledger.task(&task)["outputData"], 7);
    wait_until_stopped(&ledger.home);
}

#[test]
fn too_much_output_fails_the_task_with_the_bound() {
    let ledger = Ledger::start();
    let task = ledger.new_task(&ledger.new_run(), "w", "1");
    let script = "head -c 9000000 /dev/zero | tr '\\0' x";
    ledger.worker(&["--once"], script).wait().with_code(0);
    let message = ledger.task(&task)["errorData"]["message"].to_string();
    assert!(message.contains("more than 8388608 bytes"), "{message}");

    // Less of it, but too much for the queen once it is written as JSON.
    let task = ledger.new_task(&ledger.new_run(), "w", "1");
    let script = "head -c 7000000 /dev/zero | tr '\\0' '\\001'";
    let ended = ledger.worker(&["--once"], script).wait().with_code(0);
    assert!(ended.err.contains("completed 0, failed 1"), "{}", ended.err);
    let message = ledger.task(&task)["errorData"]["message"].to_string();
    assert!(message.contains("Request body too large"), "{message}");
}

#[test]
fn a_cancelled_task_is_stopped_with_all_its_processes() {
    let ledger = Ledger::start();
    let run = ledger.new_run();
    let task = ledger.new_task(&run, "w", "1");
    let worker = ledger.worker(&["--lease", "1s"], ENDLESS);
    wait_until_begun(&ledger.home);
    ledger.out(&["runs", "cancel", &run]);
    wait_until_stopped(&ledger.home);
    assert_eq!(ledger.task(&task)["status"], "cancelled");
    // The worker works on.
    let next = ledger.new_task(&ledger.new_run(), "w", "2");
    ledger.wait_for_status(&next, "running");
    wait_for_sleepers(&ledger.home, 2);
    ledger.out(&["tasks", "update", &next, "--status", "cancelled"]);
    wait_until_stopped(&ledger.home);
    worker.signal(Signal::TERM);
    let ended = worker.wait().with_code(0);
    assert!(ended.err.contains("stopped 2"), "{}", ended.err);
}

#[test]
fn a_command_that_does_not_listen_is_killed() {
    let ledger = Ledger::start();
    let task = ledger.new_task(&ledger.new_run(), "w", "1");
    let script = format!("trap '' TERM; {ENDLESS}");
    let worker = ledger.worker(&["--drain-grace", "0s"], &script);
    wait_until_begun(&ledger.home);
    worker.signal(Signal::INT);
    worker.wait().with_code(0);
    wait_until_stopped(&ledger.home);
    assert_eq!(ledger.task(&task)["status"], "queued");
}

#[test]
fn at_the_end_running_tasks_may_finish() {
    let ledger = Ledger::start();
    let run = ledger.new_run();
    let task = ledger.new_task(&run, "w", "1");
    let script = "touch begun; until test -e gate; do sleep 0.02; done; echo done";
    let worker = ledger.worker(&["--lease", "1s"], script);
    wait_for_file(&ledger.home, "begun");
    worker.signal(Signal::TERM);
    wait_for(PATIENCE, || match worker.err() {
        err if err.contains("worker is ending") => Ok(()),
        err => Err(err),
    });
    // Nothing more is claimed.
    let next = ledger.new_task(&run, "w", "2");
    ledger.home.write("gate", "");
    worker.wait().with_code(0);
    assert_eq!(ledger.task(&task)["outputData"], "done");
    assert_eq!(ledger.task(&next)["status"], "pending");
}

#[test]
fn what_takes_too_long_at_the_end_is_given_back() {
    let ledger = Ledger::start();
    let create = ["tasks", "create", &ledger.new_run(), "--type", "w"];
    let task = ledger.out(&create);
    let worker = ledger.worker(&["--drain-grace", "100ms"], ENDLESS);
    wait_until_begun(&ledger.home);
    worker.signal(Signal::TERM);
    let ended = worker.wait().with_code(0);
    assert!(ended.err.contains("given back 1"), "{}", ended.err);
    wait_until_stopped(&ledger.home);
    let given = ledger.task(&task);
    assert_eq!(
        (&given["status"], &given["retryCount"]),
        (&json!("queued"), &json!(0))
    );
    // Another one gets it at once, as the first attempt.
    ledger
        .worker(&["--once"], "echo $COLONY_ATTEMPT")
        .wait()
        .with_code(0);
    assert_eq!(ledger.task(&task)["outputData"], 1);
}

#[test]
fn a_second_signal_does_not_wait() {
    let ledger = Ledger::start();
    let task = ledger.new_task(&ledger.new_run(), "w", "1");
    let worker = ledger.worker(&["--drain-grace", "1h"], ENDLESS);
    wait_until_begun(&ledger.home);
    worker.signal(Signal::TERM);
    wait_for(PATIENCE, || match worker.err() {
        err if err.contains("worker is ending") => Ok(()),
        err => Err(err),
    });
    worker.signal(Signal::INT);
    worker.wait().with_code(0);
    wait_until_stopped(&ledger.home);
    assert_eq!(ledger.task(&task)["status"], "queued");
}

#[test]
fn nothing_outlives_a_worker_that_is_killed() {
    let ledger = Ledger::start();
    let create = ["tasks", "create", &ledger.new_run(), "--type", "w"];
    let task = ledger.out(&create);
    let worker = ledger.worker(&["--lease", "1s"], ENDLESS);
    wait_until_begun(&ledger.home);
    worker.signal(Signal::KILL);
    wait_until_stopped(&ledger.home);
    // The lease runs out, and another one does it.
    ledger
        .worker(&["--once"], "echo $COLONY_ATTEMPT")
        .wait()
        .with_code(0);
    assert_eq!(ledger.task(&task)["outputData"], 2);
}

#[test]
fn a_worker_waits_for_its_queen() {
    let ledger = Ledger::start();
    let run = ledger.new_run();
    let worker = ledger.worker(&["--once"], "cat");
    wait_for(PATIENCE, || match worker.err() {
        err if err.contains(" does w for ") => Ok(()),
        err => Err(err),
    });
    let address = ledger.queen.address().to_owned();
    let Ledger { home, queen, key } = ledger;
    queen.stop();
    wait_for(PATIENCE, || match worker.err() {
        err if err.contains("cannot be reached") => Ok(()),
        err => Err(err),
    });
    let queen = Queen::start_at(&home, &address);
    let ledger = Ledger { home, queen, key };
    let task = ledger.new_task(&run, "w", "[7]");
    worker.wait().with_code(0);
    assert_eq!(ledger.task(&task)["outputData"], json!([7]));
}

#[test]
fn bad_input_is_said_before_anything_is_claimed() {
    let ledger = Ledger::start();
    let task = ledger.new_task(&ledger.new_run(), "w", "1");
    for (args, expected) in [
        (
            &["--type", "w", "--", "no-such-program"][..],
            "find the program no-such-program",
        ),
        (
            &["--type", "w", "--", "./nowhere.sh"],
            "find the program ./nowhere.sh",
        ),
        (&["--", "true"], "--type"),
        (&["--type", "w"], "<COMMAND>"),
        (
            &["--type", "w", "--lease", "2h", "--", "true"],
            "100ms to 1h",
        ),
        (
            &["--type", "w", "--concurrency", "0", "--", "true"],
            "1..=1000",
        ),
        (&["--type", "", "--", "true"], "--type"),
    ] {
        let ended = ledger.colony(&[&["worker"], args].concat()).with_code(2);
        assert!(ended.err.contains(expected), "{args:?}: {}", ended.err);
    }
    let keyless = ["worker", "--type", "w", "--", "true"];
    let keyless = ledger.home.colony(&keyless).with_code(2);
    assert!(keyless.err.contains("colony key create"), "{}", keyless.err);
    assert_eq!(ledger.task(&task)["status"], "pending");
}

#[test]
fn the_example_of_a_job_with_a_worker_runs() {
    let home = Home::new();
    let queen = Queen::start(&home, &[]);
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/worker-job");
    home.colony(&["apply", &format!("{examples}/thumbnails.yaml")])
        .with_code(0);
    let made = home.colony(&["key", "create", "--org", "default", "--env", "dev"]);
    let key = made.with_code(0).out.trim().to_owned();
    let resize = format!("{examples}/resize.sh");
    let worker = ["worker", "--type", "resize", "--once", "--", &resize];
    let worker = home.start_with(&worker, &[("COLONY_API_KEY", &*key)], "");
    let submit = ["submit", "thumbnails", "-p", "Size=64", "--follow"];
    let ended = home.colony(&submit).with_code(0);
    assert!(ended.out.contains("3 thumbnails of 64px"), "{}", ended.out);
    worker.wait().with_code(0);
    queen.stop().with_code(0);
}

/// Leaves a process that nothing ties to its task but its parent, then goes on or not.
fn leave_daemon(home: &Home, rest: &str) -> String {
    let pid = home.path().join("daemon");
    let pid = pid.display();
    let daemon = format!("echo $$ > {pid}.new; mv {pid}.new {pid}; trap : TERM; sleep 3600; :");
    home.write("daemon.sh", &daemon);
    let daemon = home.path().join("daemon.sh");
    let daemon = daemon.display();
    let start = "(cd /; env -i PATH=\"$PATH\" TMPDIR=/tmp setsid sh";
    format!(
        "{start} {daemon} </dev/null >/dev/null 2>&1 &); until [ -s {pid} ]; do sleep 0.01; done; {rest}"
    )
}

fn wait_until_daemon_is_gone(home: &Home) {
    wait_for_file(home, "daemon");
    let pid = std::fs::read_to_string(home.path().join("daemon")).unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    wait_for(PATIENCE, || match std::fs::read_to_string(&stat) {
        Ok(stat) if !stat.contains(") Z ") => Err(stat),
        _ => Ok(()),
    });
}

#[test]
fn a_daemon_ends_with_the_command_that_left_it() {
    let ledger = Ledger::start();
    let task = ledger.new_task(&ledger.new_run(), "w", "1");
    let script = leave_daemon(&ledger.home, "echo 8");
    ledger.worker(&["--once"], &script).wait().with_code(0);
    assert_eq!(ledger.task(&task)["outputData"], 8);
    wait_until_daemon_is_gone(&ledger.home);
}

#[test]
fn a_daemon_ends_with_the_worker_that_is_killed() {
    let ledger = Ledger::start();
    ledger.new_task(&ledger.new_run(), "w", "1");
    let script = leave_daemon(&ledger.home, "sleep 3600");
    let worker = ledger.worker(&[], &script);
    wait_for_file(&ledger.home, "daemon");
    worker.signal(Signal::KILL);
    wait_until_daemon_is_gone(&ledger.home);
    wait_for_sleepers(&ledger.home, 0);
}

crate::kit::also_on_postgres! {
    a_command_gets_the_task_and_gives_its_output
    a_command_that_fails_is_tried_again_and_says_why
    a_cancelled_task_is_stopped_with_all_its_processes
    what_takes_too_long_at_the_end_is_given_back
    a_worker_waits_for_its_queen
}
