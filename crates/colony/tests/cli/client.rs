//! A queen, and the commands that talk to it.

use std::os::unix::fs::PermissionsExt;

use crate::kit::{Ended, Home, Queen};

const GREET: &str = "\
job_type: greet
tasks:
  - task_type: hello
    method: SHELL
    script:
      - echo \"Hello $Name\"
      - test \"$Name\" != nobody
";

const WAIT: &str = "\
job_type: wait
tasks:
  - task_type: wait
    method: SHELL
    script: [echo begun; sleep 3600]
";

fn home_with_jobs() -> (Home, Queen) {
    let home = Home::new();
    home.write("greet.yaml", GREET);
    home.write("wait.yaml", WAIT);
    let queen = Queen::start(&home, &[]);
    let ended = home
        .colony(&["apply", "greet.yaml", "wait.yaml"])
        .with_code(0);
    assert!(
        ended
            .out
            .contains("greet.yaml: greet is new; at most 3 at once"),
        "{}",
        ended.out
    );
    (home, queen)
}

fn id(ended: &Ended) -> String {
    ended.out.trim().to_owned()
}

#[test]
fn a_queen_says_where_it_is_and_keeps_its_token_to_itself() {
    let home = Home::new();
    let queen = Queen::start(&home, &[]);
    let ready = format!("queen ready at http://{}", queen.address());
    let file = home.data_dir().join("admin.token");
    let token = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let directory = std::fs::metadata(home.data_dir()).unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o700);
    let ended = queen.stop();
    assert!(ended.err.contains(&ready), "{}", ended.err);
    assert!(!ended.err.contains(token.trim()));
    assert!(ended.out.is_empty());
    assert!(!home.data_dir().join("address").exists());
    home.wait_until_quiet();

    let again = Queen::start(&home, &[]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), token);
    home.colony(&["list"]).with_code(0);
    again.stop();
}

#[test]
fn an_open_data_directory_is_made_private() {
    let mode =
        |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let home = Home::new();
    Queen::start(&home, &["--no-ant"]).stop();
    let directory = home.data_dir();
    for name in ["colony.db", "colony.db.lock", "admin.token"] {
        assert_eq!(mode(directory.join(name)), 0o600, "{name}");
    }
    let open =
        |path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    open(directory.clone(), 0o755);
    open(directory.join("admin.token"), 0o644);
    open(directory.join("colony.db"), 0o644);
    let queen = Queen::start(&home, &["--no-ant"]);
    assert_eq!(mode(directory.clone()), 0o700);
    assert_eq!(mode(directory.join("admin.token")), 0o600);
    assert_eq!(mode(directory.join("colony.db")), 0o600);
    assert_eq!(mode(directory.join("colony.db-wal")), 0o600);
    let ended = queen.stop();
    assert!(ended.err.contains("it is private now"), "{}", ended.err);
    // A place that others use as well is none.
    open(home.path().to_owned(), 0o755);
    let ended = home.colony(&["queen", "--listen", "127.0.0.1:0", "--data-dir", "."]);
    let ended = ended.with_code(2);
    assert!(ended.err.contains("chmod 700"), "{}", ended.err);
    assert_eq!(mode(home.path().to_owned()), 0o755);
}

#[test]
fn callers_must_show_the_token_unless_it_is_switched_off() {
    let home = Home::new();
    let queen = Queen::start(&home, &[]);
    let url = format!("http://{}", queen.address());
    let wrong = [("COLONY_TOKEN", "colony_wrong")];
    let ended = home.start_with(&["list"], &wrong, "").wait().with_code(2);
    assert!(ended.err.contains("COLONY_TOKEN"), "{}", ended.err);
    // Without the directory of the queen there is no token to show.
    let args = ["list", "--data-dir", "elsewhere", "--url", &url];
    home.colony(&args).with_code(2);
    home.colony(&["list", "--url", &url]).with_code(0);
    queen.stop();

    let open = Queen::start(&home, &["--auth", "off"]);
    home.start_with(&["list"], &wrong, "").wait().with_code(0);
    open.stop();
}

#[test]
fn a_lost_hash_is_committed_again_from_the_file() {
    // As after a crash between the token's file and its hash: the file is there, the database new.
    let home = Home::new();
    Queen::start(&home, &[]).stop();
    let token = std::fs::read(home.data_dir().join("admin.token")).unwrap();
    std::fs::remove_file(home.data_dir().join("colony.db")).unwrap();
    let queen = Queen::start(&home, &[]);
    home.colony(&["list"]).with_code(0);
    assert_eq!(
        std::fs::read(home.data_dir().join("admin.token")).unwrap(),
        token
    );
    queen.stop();
}

#[test]
fn submit_waits_and_tells_how_it_ended() {
    let (home, queen) = home_with_jobs();
    let submit = |name: &str| home.colony(&["submit", "greet", "--wait", "-p", name]);
    let ended = submit("Name=Ada").with_code(0);
    assert!(ended.err.contains("greet COMPLETED"), "{}", ended.err);
    let id = id(&ended);
    let logs = home.colony(&["logs", &id]).with_code(0);
    assert!(logs.out.contains("hello | Hello Ada\n"), "{}", logs.out);
    let logs = home
        .colony(&["logs", &id, "--task", "hello", "--timestamps"])
        .with_code(0);
    assert!(logs.out.contains("Z Hello Ada\n"), "{}", logs.out);

    let failed = submit("Name=nobody").with_code(1);
    assert!(failed.err.contains("greet FAILED"), "{}", failed.err);
    let shown = home.colony(&["get", failed.out.trim()]).with_code(0);
    assert!(shown.out.contains("ERR_TASK_EXECUTE"), "{}", shown.out);
    let raw = home
        .colony(&["get", "--json", failed.out.trim()])
        .with_code(0);
    assert_eq!(raw.json_lines()[0]["job_state"], "FAILED");

    let listed = home
        .colony(&["list", "--state", "failed", "--json"])
        .with_code(0);
    assert_eq!(listed.json_lines()[0].as_array().unwrap().len(), 1);
    let listed = home
        .colony(&["list", "--type", "greet", "--limit", "1"])
        .with_code(0);
    assert_eq!(listed.out.lines().count(), 2, "{}", listed.out);
    assert!(listed.err.contains("1 of 2"), "{}", listed.err);

    home.colony(&["restart", &id, "--hard"]).with_code(0);
    let logs = home.colony(&["logs", "-f", &id]).with_code(0);
    assert!(logs.out.contains("Hello Ada"), "{}", logs.out);
    queen.stop();
}

#[test]
fn output_is_followed_until_the_request_is_cancelled() {
    let (home, queen) = home_with_jobs();
    let follower = home.start(&["submit", "wait", "--follow"]);
    follower.wait_for_out("wait | begun\n");
    let listed = home.colony(&["list", "--json"]).with_code(0);
    let id = listed.json_lines()[0][0]["id"].as_str().unwrap().to_owned();
    home.colony(&["cancel", &id]).with_code(0);
    let ended = follower.wait().with_code(130);
    assert!(ended.err.contains("wait CANCELLED"), "{}", ended.err);
    // Again: nothing happens.
    home.colony(&["cancel", &id]).with_code(0);
    queen.stop();
    home.wait_until_quiet();
}

#[test]
fn what_is_not_there_is_said_so() {
    let (home, queen) = home_with_jobs();
    let nobody = "0190b5c0-aa6a-7d0e-9c59-2f8a6b7c8d9e";
    for args in [
        &["get", nobody][..],
        &["get", "nonsense"],
        &["logs", nobody],
        &["cancel", nobody],
        &["restart", nobody],
        &["submit", "nothing"],
    ] {
        let ended = home.colony(args).with_code(2);
        assert!(
            ended.err.starts_with("error: the queen says: "),
            "{}",
            ended.err
        );
    }
    home.write(
        "bad.yaml",
        "job_type: b\ntasks:\n- task_type: a\n  method: X\n",
    );
    let ended = home
        .colony(&["apply", "bad.yaml", "greet.yaml"])
        .with_code(2);
    assert!(ended.err.contains("bad.yaml:4:"), "{}", ended.err);
    assert!(
        ended.out.contains("greet.yaml: greet is up to date"),
        "{}",
        ended.out
    );
    queen.stop();
    let ended = home.colony(&["list"]).with_code(2);
    assert!(ended.err.contains("colony queen"), "{}", ended.err);
}

#[test]
fn a_second_queen_on_the_same_data_is_refused() {
    let (home, queen) = home_with_jobs();
    let ended = home
        .colony(&["queen", "--listen", "127.0.0.1:0"])
        .with_code(2);
    assert!(ended.err.contains("in use by process"), "{}", ended.err);
    // The first one is not disturbed.
    home.colony(&["submit", "greet", "--wait"]).with_code(0);
    queen.stop();
}

#[test]
fn without_an_ant_requests_wait_and_say_why() {
    let home = Home::new();
    home.write("greet.yaml", GREET);
    let queen = Queen::start(&home, &["--no-ant"]);
    home.colony(&["apply", "greet.yaml"]).with_code(0);
    let submitted = home.colony(&["submit", "greet"]).with_code(0);
    let id = submitted.out.trim();
    colony_testkit::wait_for(crate::kit::PATIENCE, || {
        let shown = home.colony(&["get", id]).with_code(0).out;
        match shown.contains("no ant offers SHELL") {
            true => Ok(()),
            false => Err(shown),
        }
    });
    queen.stop();
    let queen = Queen::start(&home, &[]);
    home.colony(&["logs", "-f", id]).with_code(0);
    queen.stop();
}

const FAST: &str = "\
job_type: fast
tasks:
  - task_type: write
    method: SHELL
    script: [seq 200000]
";

/// Whoever follows a task that writes fast misses nothing of it, nor does who comes later.
#[test]
fn a_fast_log_is_followed_line_by_line() {
    let (home, queen) = home_with_jobs();
    home.write("fast.yaml", FAST);
    home.colony(&["apply", "fast.yaml"]).with_code(0);
    let submitted = home.start(&["submit", "fast", "--follow"]);
    let submitted = submitted.wait().with_code(0);
    numbered(&submitted.out);
    let id = id(&home.colony(&["submit", "fast"]).with_code(0));
    numbered(&home.colony(&["logs", "-f", &id]).with_code(0).out);
    numbered(&home.colony(&["logs", &id]).with_code(0).out);
    queen.stop();
}

/// Every number is there once, in order.
#[track_caller]
fn numbered(out: &str) {
    let last_word = |line: &str| line.rsplit(' ').next().and_then(|word| word.parse().ok());
    let numbers: Vec<u32> = out.lines().filter_map(last_word).collect();
    let numbers: Vec<u32> = numbers.into_iter().skip_while(|n| *n != 1).collect();
    assert!(numbers.into_iter().eq(1..=200_000), "{}", out.len());
}

/// Until there is a key nobody can use the Runs API: the queen says how to make one.
#[test]
fn a_queen_without_keys_says_how_to_make_one() {
    let home = Home::new();
    let hint = "colony key create --org";
    let ended = Queen::start(&home, &["--no-ant"]).stop();
    assert!(ended.err.contains(hint), "{}", ended.err);
    home.colony(&["key", "create", "--org", "acme", "--env", "dev"])
        .with_code(0);
    let ended = Queen::start(&home, &["--no-ant"]).stop();
    assert!(!ended.err.contains(hint), "{}", ended.err);
}

crate::kit::also_on_postgres! {
    callers_must_show_the_token_unless_it_is_switched_off
    submit_waits_and_tells_how_it_ended
    output_is_followed_until_the_request_is_cancelled
    what_is_not_there_is_said_so
    without_an_ant_requests_wait_and_say_why
    a_fast_log_is_followed_line_by_line
    a_queen_without_keys_says_how_to_make_one
}
