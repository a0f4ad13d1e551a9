//! `colony run`: events, logs, being interrupted, and one at a time.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::kit::{Home, PATIENCE, Process};

const ENDLESS: &str = "\
job_type: endless
tasks:
  - task_type: wait
    method: SHELL
    script:
      - echo \"begun in $PWD\"; sleep 3600
    on_completed: never
  - task_type: never
    method: SHELL
    script: [echo never]
  - task_type: tidy
    method: SHELL
    always_run: true
    script: [echo tidied]
";

fn start_endless(home: &Home) -> Process {
    home.write("endless.yaml", ENDLESS);
    let process = home.start(&["run", "endless.yaml"]);
    process.wait_for_out("| begun in ");
    process
}

#[test]
fn events_are_json_lines_and_the_last_one_sums_up() {
    let home = Home::new();
    home.write(
        "job.yaml",
        "job_type: j\ntasks:\n- task_type: one\n  retry: 1\n  delay_between_retries: 10ms\n  \
         script:\n  - echo \"{{.Count}}\"; test \"$TaskRetry\" = 1\n",
    );
    let args = ["run", "job.yaml", "--json", "-p", "Count:=3"];
    let ended = home.colony(&args).with_code(0);
    let events = ended.json_lines();
    let names: Vec<&str> = events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect();
    let of_output = |name: &&str| *name == "output";
    let mut steps = names.clone();
    steps.retain(|name| !of_output(name));
    let expected = [
        "submitted",
        "task_started",
        "task_retries",
        "task_started",
        "task_ended",
        "ended",
        "summary",
    ];
    assert_eq!(steps, expected);
    assert!(names.iter().any(of_output));
    let said = |event: &&Value| event["stream"] == "stdout" && event["text"] == "3";
    assert!(events.iter().any(|event| said(&event)), "{}", ended.out);
    let summary = events.last().unwrap();
    assert_eq!(summary["state"], "COMPLETED");
    let task = &summary["tasks"][0];
    assert_eq!(
        (&task["attempts"], &task["exit_code"]),
        (&json!(2), &json!("0"))
    );
    let log = std::fs::read_to_string(home.path().join(task["log"].as_str().unwrap())).unwrap();
    assert_eq!(
        log.lines().filter(|line| line.ends_with(" 3")).count(),
        2,
        "{log}"
    );
}

#[test]
fn an_interrupt_cancels_the_job_and_leaves_no_process() {
    let home = Home::new();
    let process = start_endless(&home);
    process.signal(Signal::INT);
    let ended = process.wait().with_code(130);
    assert!(ended.out.contains("tidy | tidied\n"), "{}", ended.out);
    assert!(ended.out.contains("endless CANCELLED in "), "{}", ended.out);
    assert!(ended.err.contains("cancelling the job"), "{}", ended.err);
    home.wait_until_quiet();
}

#[test]
fn a_second_interrupt_stops_at_once() {
    let home = Home::new();
    home.write(
        "stubborn.yaml",
        "job_type: stubborn\ntasks:\n- task_type: wait\n  script:\n  \
         - trap '' TERM INT; echo \"begun\"; sleep 3600; sleep 3600\n",
    );
    let process = home.start(&["run", "stubborn.yaml"]);
    process.wait_for_out("wait | begun\n");
    process.signal(Signal::INT);
    colony_testkit::wait_for(PATIENCE, || {
        match process.err().contains("cancelling the job") {
            true => Ok(()),
            false => Err(process.err()),
        }
    });
    process.signal(Signal::INT);
    process.wait().with_code(130);
    home.wait_until_quiet();
}

#[test]
fn a_killed_run_leaves_no_process_and_the_next_run_cancels_it() {
    let home = Home::new();
    let process = start_endless(&home);
    process.signal(Signal::KILL);
    assert_eq!(process.wait().code, None);
    home.wait_until_quiet();

    home.write(
        "quick.yaml",
        "job_type: q\ntasks:\n- task_type: t\n  script: [echo hi]\n",
    );
    let ended = home.colony(&["run", "quick.yaml"]).with_code(0);
    assert!(
        ended.err.contains("cancelled 1 unfinished"),
        "{}",
        ended.err
    );
    let ended = home.colony(&["run", "quick.yaml"]).with_code(0);
    assert!(!ended.err.contains("unfinished"), "{}", ended.err);
}

#[test]
fn two_runs_in_one_directory_do_not_mix() {
    let home = Home::new();
    let process = start_endless(&home);
    home.write(
        "quick.yaml",
        "job_type: q\ntasks:\n- task_type: t\n  script: [echo hi]\n",
    );
    let ended = home.colony(&["run", "quick.yaml"]).with_code(2);
    assert!(ended.err.contains("in use by process"), "{}", ended.err);
    assert!(ended.err.contains("colony.db"), "{}", ended.err);
    home.colony(&["run", "quick.yaml", "--data-dir", "other"])
        .with_code(0);
    process.signal(Signal::TERM);
    process.wait().with_code(130);
}

#[test]
fn a_job_that_nobody_here_can_do_is_refused() {
    let home = Home::new();
    home.write(
        "job.yaml",
        "job_type: j\ntasks:\n- task_type: t\n  container: {image: alpine}\n  script: [ls]\n",
    );
    let ended = home.colony(&["run", "job.yaml"]).with_code(2);
    assert!(
        ended.err.contains("`colony run` can do SHELL"),
        "{}",
        ended.err
    );
    assert!(!home.data_dir().exists());
}

/// Directories of attempts, whether they left something or not, are gone with them.
#[test]
fn finished_work_leaves_no_directory() {
    let home = Home::new();
    home.write(
        "job.yaml",
        "job_type: j\ntasks:\n- task_type: a\n  script: ['true']\n  on_completed: b\n\
         - task_type: b\n  script: [echo b > file]\n  artifacts: {paths: [file]}\n",
    );
    home.colony(&["run", "job.yaml"]).with_code(0);
    let left = std::fs::read_dir(home.data_dir().join("work")).unwrap();
    let left: Vec<_> = left
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn tags_are_satisfied_by_the_only_ant_that_there_is() {
    let home = Home::new();
    home.write(
        "job.yaml",
        "job_type: j\ntasks:\n- task_type: t\n  tags: [Big, gpu]\n  script: [echo tagged]\n",
    );
    let ended = home.colony(&["run", "job.yaml"]).with_code(0);
    assert!(ended.out.contains("t | tagged\n"), "{}", ended.out);
    home.write(
        "job.yaml",
        "job_type: j\ntasks:\n- task_type: t\n  tags: ['{{.Kind}}']\n  script: [echo rendered]\n",
    );
    let args = ["run", "job.yaml", "-p", "Kind=gpu"];
    let ended = home.colony(&args).with_code(0);
    assert!(ended.out.contains("t | rendered\n"), "{}", ended.out);
}

crate::kit::also_on_postgres! {
    events_are_json_lines_and_the_last_one_sums_up
    an_interrupt_cancels_the_job_and_leaves_no_process
    a_killed_run_leaves_no_process_and_the_next_run_cancels_it
}

/// The colony opens as many files as it may; commands are left with what it was started with.
#[test]
fn commands_do_not_get_the_raised_limit_of_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum.map(|limit| limit - 1).or(Some(4096));
    // Inherited by what this test starts, and by others, for whom it changes nothing.
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    let home = Home::new();
    let expected = current.unwrap();
    // Its parent is a reaper, and that one's the colony.
    let script = format!(
        "test \"$(ulimit -Sn)\" = {expected} || exit 1; \
         read -r _ _ _ colony _ < /proc/$PPID/stat; \
         echo \"of the colony: $(grep 'Max open files' /proc/$colony/limits)\""
    );
    let job = format!(
        "job_type: j\ntasks:\n- task_type: one\n  timeout: 60s\n  script: ['{}']\n",
        script.replace('\'', "''")
    );
    home.write("job.yaml", &job);
    let ended = home.colony(&["run", "job.yaml"]).with_code(0);
    let raised = match maximum {
        Some(limit) => limit.to_string(),
        None => "unlimited".to_owned(),
    };
    let line = ended
        .out
        .lines()
        .find(|line| line.contains("| of the colony"))
        .unwrap();
    let soft = line
        .split("Max open files")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next();
    assert_eq!(soft, Some(raised.as_str()), "{line}");
}
