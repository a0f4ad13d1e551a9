//! Every example, run as its header says.

use std::path::PathBuf;

use crate::kit::{Ended, Home};

fn example(home: &Home, name: &str, params: &[&str]) -> Ended {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let file = root.join(name);
    let mut args = vec!["run", file.to_str().unwrap()];
    args.extend(params);
    let ended = home.colony(&args);
    home.wait_until_quiet();
    ended
}

#[test]
fn hello_world_greets_whom_it_is_told_to() {
    let home = Home::new();
    let ended = example(&home, "hello-world.yaml", &[]).with_code(0);
    assert!(
        ended.out.contains("greet | Hello World!\n"),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("wave | Goodbye World.\n"),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("hello-world COMPLETED in "),
        "{}",
        ended.out
    );
    let ended = example(&home, "hello-world.yaml", &["-p", "Name=Ada"]).with_code(0);
    assert!(ended.out.contains("wave | Goodbye Ada.\n"), "{}", ended.out);
}

#[test]
fn etl_reports_what_the_orders_are_worth() {
    let home = Home::new();
    let ended = example(&home, "etl/etl.yaml", &[]).with_code(0);
    let worth = "2958 orders are worth 533290.55; 42 lines were rejected";
    assert!(ended.out.contains(worth), "{}", ended.out);
    assert!(ended.out.contains("artifact of load: "), "{}", ended.out);
}

#[test]
fn branches_follow_the_exit_code() {
    let home = Home::new();
    for (weather, expected, absent) in [
        ("sun", "It is sunny", "umbrella."),
        ("rain", "dry below the umbrella", "It is sunny"),
        ("snow", "No weather for walks (snow)", "umbrella."),
    ] {
        let param = format!("Weather={weather}");
        let ended = example(&home, "branch-by-exit-code.yaml", &["-p", &param]).with_code(0);
        assert!(ended.out.contains(expected), "{}", ended.out);
        assert!(!ended.out.contains(&format!("| {absent}")), "{}", ended.out);
    }
}

#[test]
fn a_flaky_task_is_tried_until_it_succeeds() {
    let home = Home::new();
    let ended = example(&home, "retry-with-backoff.yaml", &[]).with_code(0);
    for attempt in 0..2 {
        let line = format!("no answer at attempt {attempt}\n");
        assert!(ended.out.contains(&line), "{}", ended.out);
    }
    assert!(
        ended.out.contains("answered at attempt 2\n"),
        "{}",
        ended.out
    );
    assert!(ended.err.contains("completed in"), "{}", ended.err);
    assert!(ended.err.contains("at attempt 3"), "{}", ended.err);
}

#[test]
fn cleanup_runs_after_a_failure_and_does_not_hide_it() {
    let home = Home::new();
    let ended = example(&home, "cleanup-always-run.yaml", &[]).with_code(1);
    assert!(
        ended.out.contains("clean-up | removed /tmp/"),
        "{}",
        ended.out
    );
    assert!(!ended.out.contains("never reached\n"), "{}", ended.out);
    assert!(
        ended.out.contains("cleanup-always-run FAILED"),
        "{}",
        ended.out
    );
}

#[test]
fn a_program_is_built_tested_and_tried_out() {
    let home = Home::new();
    let ended = example(&home, "build-and-test/build.yaml", &[]).with_code(0);
    assert!(ended.out.contains("try-out | 2 be\n"), "{}", ended.out);
    assert!(ended.out.contains("artifact of build: "), "{}", ended.out);
}
