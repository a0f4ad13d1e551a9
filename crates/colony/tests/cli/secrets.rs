//! What tasks can see of their queen, and a queen that was killed of itself.

use colony_api::client::Client;
use colony_testkit::{block_on, wait_for};
use rustix::process::Signal;

use crate::kit::{Home, PATIENCE, Process};

/// A secret that no other test has, since each looks into every process of the machine.
fn secret(home: &Home) -> String {
    let name = home.path().file_name().unwrap().to_string_lossy();
    format!("fmn_geheim_{name}")
}

fn job(home: &Home) -> String {
    let secret = secret(home);
    let look = "for f in /proc/[0-9]*/environ; do tr '\\0' '\\n' < $f; done 2>/dev/null";
    let script = format!("{look} | grep -cF {secret} || true");
    let text = format!(
        "job_type: look\ntasks:\n- task_type: look\n  method: SHELL\n  script:\n  - |\n    {script}\n"
    );
    home.write("look.yaml", &text);
    home.path().join("look.yaml").display().to_string()
}

#[test]
fn a_task_of_run_finds_no_secret_in_any_environment() {
    let home = Home::new();
    let (job, secret) = (job(&home), secret(&home));
    let secrets = [
        ("COLONY_TOKEN", secret.as_str()),
        ("COLONY_RUNS_API_STATIC_KEY", &secret),
    ];
    let run = home.start_with(&["run", &job], &secrets, "").wait();
    let run = run.with_code(0);
    assert!(
        run.out.lines().any(|line| line.ends_with(" 0")),
        "{}",
        run.out
    );
    // One that is named for the commands is theirs.
    let named = [
        ("COLONY_TOKEN", secret.as_str()),
        ("COLONY_ANT_ENVIRONMENT", "COLONY_TOKEN"),
    ];
    let run = home.start_with(&["run", &job], &named, "").wait();
    let run = run.with_code(0);
    assert!(
        !run.out.lines().any(|line| line.ends_with(" 0")),
        "{}",
        run.out
    );
}

fn queen(home: &Home, address: &str) -> (Process, String) {
    let secret = secret(home);
    let secrets = [("COLONY_RUNS_API_STATIC_KEY", secret.as_str())];
    let queen = home.start_with(&["queen", "--listen", address], &secrets, "");
    wait_for(PATIENCE, || match queen.err() {
        err if err.contains("queen ready") => Ok(()),
        err => Err(err),
    });
    let address = std::fs::read_to_string(home.data_dir().join("address")).unwrap();
    (queen, address.trim().to_owned())
}

#[test]
fn a_queen_that_was_killed_starts_again_at_once_where_it_was() {
    let home = Home::new();
    let (mut running, address) = queen(&home, "127.0.0.1:0");
    let begun = home.path().join("begun");
    let text = format!(
        "job_type: long\ntasks:\n- task_type: long\n  method: SHELL\n  script:\n  - touch {}; sleep 1000\n",
        begun.display()
    );
    let client = |address: &str| {
        let token = std::fs::read_to_string(home.data_dir().join("admin.token")).unwrap();
        Client::new(&format!("http://{address}"), Some(token.trim())).unwrap()
    };
    block_on(client(&address).save_definition(text)).unwrap();
    home.colony(&["submit", "long"]).with_code(0);
    for _ in 0..5 {
        wait_for(PATIENCE, || match begun.exists() {
            true => Ok(()),
            false => Err("the task does not begin"),
        });
        running.signal(Signal::KILL);
        // Not waited for: it dies while the next one starts.
        std::fs::remove_file(&begun).unwrap();
        let killed = std::mem::replace(&mut running, queen(&home, &address).0);
        killed.wait();
        assert_eq!(environments_with(&secret(&home)), 0);
    }
    running.signal(Signal::KILL);
    running.wait();
    home.wait_until_quiet();
}

fn environments_with(secret: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = processes.filter_map(|it| std::fs::read(it.path().join("environ")).ok());
    let has = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains(secret);
    environments.filter(has).count()
}
