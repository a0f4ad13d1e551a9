//! SIGTERM: running tasks have the grace time, then they are given back and run again later.

use rustix::process::Signal;

use crate::kit::{Home, PATIENCE, Queen};

/// The first task ends once the file `gate` is there.
fn home_with_gate() -> Home {
    let home = Home::new();
    let gate = home.path().join("gate").display().to_string();
    home.write(
        "gated.yaml",
        &format!(
            "job_type: gated\ntasks:\n- task_type: first\n  method: SHELL\n  script:\n  - echo \
             begun; until test -e {gate}; do sleep 0.02; done; echo passed\n  on_completed: \
             second\n- task_type: second\n  method: SHELL\n  script: [echo after]\n"
        ),
    );
    home
}

fn submit(home: &Home) -> String {
    home.colony(&["apply", "gated.yaml"]).with_code(0);
    let id = home
        .colony(&["submit", "gated"])
        .with_code(0)
        .out
        .trim()
        .to_owned();
    colony_testkit::wait_for(PATIENCE, || {
        let logs = home.colony(&["logs", &id]).out;
        match logs.contains("first | begun\n") {
            true => Ok(()),
            false => Err(logs),
        }
    });
    id
}

/// What the request ended with, and the log of its tasks.
fn finish(home: &Home, id: &str) -> (serde_json::Value, String) {
    let logs = home.colony(&["logs", "-f", id]).with_code(0).out;
    let request = home.colony(&["get", "--json", id]).with_code(0);
    (request.json_lines().remove(0), logs)
}

#[test]
fn a_task_that_ends_in_time_is_not_repeated() {
    let home = home_with_gate();
    let queen = Queen::start(&home, &[]);
    let id = submit(&home);
    queen.signal(Signal::TERM);
    colony_testkit::wait_for(PATIENCE, || match queen.err().contains("queen is ending") {
        true => Ok(()),
        false => Err(queen.err()),
    });
    home.write("gate", "");
    queen.wait().with_code(0);
    home.wait_until_quiet();

    let queen = Queen::start(&home, &[]);
    let (request, logs) = finish(&home, &id);
    assert_eq!(request["job_state"], "COMPLETED");
    assert_eq!(logs.matches("first | begun\n").count(), 1, "{logs}");
    assert_eq!(logs.matches("second | after\n").count(), 1, "{logs}");
    queen.stop();
}

#[test]
fn a_task_that_takes_too_long_is_given_back_and_runs_again() {
    let home = home_with_gate();
    let queen = Queen::start(&home, &["--drain-grace", "100ms"]);
    let id = submit(&home);
    queen.stop();
    home.wait_until_quiet();
    home.write("gate", "");

    let queen = Queen::start(&home, &[]);
    let (request, logs) = finish(&home, &id);
    assert_eq!(request["job_state"], "COMPLETED");
    // The attempt that was given back is nobody's fault and does not count.
    assert_eq!(request["execution"]["tasks"][0]["retried"], 0);
    assert!(logs.contains("first | passed\n"), "{logs}");
    queen.stop();
    home.wait_until_quiet();
}

#[test]
fn a_second_signal_does_not_wait() {
    let home = home_with_gate();
    let queen = Queen::start(&home, &["--drain-grace", "1h"]);
    let id = submit(&home);
    queen.signal(Signal::TERM);
    colony_testkit::wait_for(PATIENCE, || match queen.err().contains("queen is ending") {
        true => Ok(()),
        false => Err(queen.err()),
    });
    queen.signal(Signal::INT);
    queen.wait().with_code(0);
    home.wait_until_quiet();
    home.write("gate", "");
    let queen = Queen::start(&home, &[]);
    let (request, _) = finish(&home, &id);
    assert_eq!(request["job_state"], "COMPLETED");
    queen.stop();
}

crate::kit::also_on_postgres! {
    a_task_that_takes_too_long_is_given_back_and_runs_again
}
