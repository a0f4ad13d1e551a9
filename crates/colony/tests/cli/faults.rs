//! A queen whose surroundings fail: its database is taken, away or full, its directories vanish.

use std::time::Duration;

use colony_api::client::Client;
use colony_api::jobs::SubmitRequest;
use colony_core::state::JobState;
use colony_testkit::{TestPostgres, TestProxy, Wire, block_on, wait_for};

use rustix::process::Signal;

use crate::kit::{Home, PATIENCE, Queen};

const LONG: &str = "\
job_type: long
tasks:
  - task_type: one
    method: SHELL
    script:
      - sleep 300
";

fn submit(client: &Client, definition: &str, job_type: &str) -> String {
    block_on(async {
        client.save_definition(definition.to_owned()).await.unwrap();
        let request = SubmitRequest {
            job_type: job_type.to_owned(),
            ..SubmitRequest::default()
        };
        client.submit(&request).await.unwrap().id.clone()
    })
}

fn wait_for_state(client: &Client, id: &str, state: JobState) {
    wait_for(PATIENCE, || match block_on(client.job_request(id)) {
        Ok(request) if request.job_state == state => Ok(()),
        Ok(request) => Err(format!("{:?} {}", request.job_state, request.error_message)),
        Err(error) => Err(error.to_string()),
    });
}

/// Another queen takes the database while the first one cannot hold its lock: the first one ends,
/// with an exit code of its own, and so does all that it has started.
#[test]
fn a_queen_that_lost_its_database_to_another_ends() {
    let server = TestPostgres::create("two_queens");
    let (proxy, url) = TestProxy::before(server.url());
    let (home, other_home) = (Home::new(), Home::new());
    let first = Queen::start(&home, &["--database-url", &url]);
    let id = submit(&first.client(), LONG, "long");
    wait_for_state(&first.client(), &id, JobState::Executing);

    proxy.set(Wire::Closed);
    proxy.cut_first();
    let second = Queen::start(&other_home, &["--database-url", server.url()]);
    proxy.set(Wire::Whole);
    let ended = first.wait().with_code(3);
    assert!(
        ended
            .err
            .contains("error: this queen has lost its database"),
        "{}",
        ended.err
    );
    assert!(!home.data_dir().join("address").exists());
    home.wait_until_quiet();
    drop(second);
}

const SHORT: &str = "\
job_type: short
timeout: 60s
tasks:
  - task_type: one
    method: SHELL
    timeout: 4s
    script:
      - echo x >> $starts; sleep 2
";

/// A queen that stands still for a while takes what ended meanwhile as what it is: a command of its
/// own ant that was over before its time was up, and the report of a worker whose lease would have
/// run out. Nothing is started twice.
#[test]
fn what_ended_while_the_queen_was_frozen_counts() {
    let home = Home::new();
    let queen = Queen::start(&home, &[]);
    let key = home.colony(&["key", "create", "--org", "acme", "--env", "test"]);
    let key = key.with_code(0).out.trim().to_owned();
    let ledger = |args: &[&str]| home.start_with(args, &[("COLONY_API_KEY", &*key)], "");
    let told = |args: &[&str]| ledger(args).wait().with_code(0).out.trim().to_owned();
    let run = told(&["runs", "create"]);
    let task = told(&["tasks", "create", &run, "--type", "w", "--max-retries", "0"]);
    let command = "echo x >> worker.starts; sleep 2";
    let worker = ledger(&[
        "worker", "--type", "w", "--lease", "3s", "--once", "--", "sh", "-c", command,
    ]);
    let starts = home.path().join("job.starts");
    let definition = SHORT.replace("$starts", starts.to_str().unwrap());
    let id = submit(&queen.client(), &definition, "short");
    let count = |name: &str| {
        let text = std::fs::read_to_string(home.path().join(name)).unwrap_or_default();
        text.lines().count()
    };
    wait_for(PATIENCE, || {
        match (count("worker.starts"), count("job.starts")) {
            (1, 1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });

    queen.signal(Signal::STOP);
    let frozen = std::time::Instant::now();
    wait_for(PATIENCE, || match frozen.elapsed() {
        long if long > Duration::from_secs(8) => Ok(()),
        short => Err(format!("{short:?}")),
    });
    queen.signal(Signal::CONT);

    wait_for_state(&queen.client(), &id, JobState::Completed);
    worker.wait().with_code(0);
    let row: serde_json::Value =
        serde_json::from_str(&told(&["tasks", "get", &task, "--json"])).unwrap();
    assert_eq!(row["status"], "completed", "{row}");
    assert_eq!((count("worker.starts"), count("job.starts")), (1, 1));
    queen.stop();
}

fn health(client: &Client) -> Result<(), String> {
    match block_on(client.health()) {
        Ok(health) => health.overall_status.health_error.map_or(Ok(()), Err),
        Err(error) => Err(error.to_string()),
    }
}

/// Directories that somebody removes are made again; one that cannot be made is named.
#[test]
fn removed_directories_are_made_again_or_named() {
    let home = Home::new();
    let queen = Queen::start(&home, &[]);
    let client = queen.client();
    health(&client).unwrap();
    let quick = "job_type: quick\ntasks:\n- task_type: a\n  method: SHELL\n  script: ['true']\n";
    for _ in 0..2 {
        std::fs::remove_dir_all(home.data_dir().join("work")).unwrap();
        // Small logs are no objects, so that it is not there for long.
        drop(std::fs::remove_dir_all(home.data_dir().join("objects")));
        let id = submit(&client, quick, "quick");
        wait_for_state(&client, &id, JobState::Completed);
    }
    health(&client).unwrap();

    let work = home.data_dir().join("work");
    std::fs::remove_dir_all(&work).unwrap();
    std::fs::write(&work, "in the way").unwrap();
    let problem = health(&client).unwrap_err();
    assert!(
        problem.contains("the directory `work` cannot be written to"),
        "{problem}"
    );
    assert!(
        !problem.contains(home.path().to_str().unwrap()),
        "{problem}"
    );
    std::fs::remove_file(&work).unwrap();
    health(&client).unwrap();
    let id = submit(&client, quick, "quick");
    wait_for_state(&client, &id, JobState::Completed);
    queen.stop();
}

/// Want of file descriptors shows, and goes away with its cause.
#[test]
fn want_of_descriptors_is_told() {
    let home = Home::new();
    let queen = Queen::start(&home, &["--no-ant"]);
    let client = queen.client();
    health(&client).unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", queen.pid()))
        .unwrap()
        .count();
    let before = limit_descriptors(&queen, u64::try_from(open).unwrap() + 8);
    let problem = health(&client).unwrap_err();
    assert!(problem.contains("file descriptors are left"), "{problem}");
    limit_descriptors(&queen, before);
    health(&client).unwrap();
    queen.stop();
}

fn limit_descriptors(queen: &Queen, soft: u64) -> u64 {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: Some(soft),
        maximum,
    };
    let pid = Pid::from_raw(i32::try_from(queen.pid()).unwrap());
    prlimit(pid, Resource::Nofile, limit)
        .unwrap()
        .current
        .unwrap()
}
