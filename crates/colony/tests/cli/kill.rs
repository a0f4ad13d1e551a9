//! The kill test: a queen that dies ten times at any moment loses nothing and doubles nothing.
//!
//! A caller submits jobs of three tasks while the queen is killed and started again. In the end
//! every acknowledged request is COMPLETED, every task has one accepted outcome, every log is whole,
//! and no process is left. The moments come from a seed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use colony_api::client::{Client, ListRequests, LogsQuery};
use colony_api::jobs::{JobRequest, LogLine, SubmitRequest};
use colony_core::state::JobState;
use colony_store::{Database, Store, StoreConfig, StoreError};
use colony_testkit::{TestPostgres, block_on, wait_for, wait_for_async};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;

use crate::kit::{Home, PATIENCE, Queen};

const JOBS: usize = 200;
const KILLS: usize = 10;
const SEED: u64 = 20_260_105;

/// A life of the queen after it is ready, in milliseconds.
const LIFE_MILLIS: std::ops::Range<u64> = 20..900;

const DEFINITION: &str = "\
job_type: three
max_concurrency: 1000
tasks:
  - task_type: one
    method: SHELL
    script:
      - echo begin; echo \"::set-output name=Made::$Key\"; echo end
    on_completed: two
  - task_type: two
    method: SHELL
    script:
      - echo begin; echo \"{{.Made}}\"; echo end
    on_completed: three
  - task_type: three
    method: SHELL
    script:
      - echo begin; echo \"$Made\"; echo end
";

#[test]
fn sqlite_survives_ten_kills() {
    let home = Home::new();
    let database = Database::Sqlite {
        path: home.data_dir().join("colony.db"),
    };
    survive(&home, database);
}

#[test]
fn postgres_survives_ten_kills() {
    let server = TestPostgres::create("kill");
    let home = Home::new();
    let url = server.url().to_owned();
    survive(&home, Database::Postgres { url });
}

fn survive(home: &Home, database: Database) {
    let url = match &database {
        Database::Sqlite { path } => format!("sqlite:{}", path.display()),
        Database::Postgres { url } => url.clone(),
    };
    let start = || Queen::start(home, &["--ant-capacity", "8", "--database-url", &url]);
    let caller = Caller::default();
    let queen = start();
    block_on(queen.client().save_definition(DEFINITION.to_owned())).unwrap();
    caller.is_at(Some(queen.client()));

    let queen = std::thread::scope(|scope| {
        scope.spawn(|| block_on(caller.submit_all()));
        kill_and_start(queen, &start, &caller)
    });
    let submitted = caller.submitted.into_inner().unwrap();
    assert_eq!(submitted.len(), JOBS);
    let requests = block_on(all_completed(&queen.client()));
    for (key, id) in &submitted {
        assert!(requests.contains_key(id), "{key}: request {id} is lost");
    }
    block_on(logs_are_whole(&queen.client(), &requests));
    queen.stop();
    home.wait_until_quiet();
    outcomes_are_single(database, 3 * requests.len());
}

/// Kills the queen ten times; gives the one that lives.
fn kill_and_start(mut queen: Queen, start: &impl Fn() -> Queen, caller: &Caller) -> Queen {
    let mut random = StdRng::seed_from_u64(SEED);
    for kill in 1..=KILLS {
        caller.allow(JOBS * kill / KILLS);
        let life = Duration::from_millis(random.random_range(LIFE_MILLIS));
        let born = Instant::now();
        wait_for(PATIENCE, || match born.elapsed() >= life {
            true => Ok(()),
            false => Err("it lives"),
        });
        queen.signal(Signal::KILL);
        caller.is_at(None);
        queen.wait();
        queen = start();
        caller.is_at(Some(queen.client()));
    }
    queen
}

/// Submits jobs, again and again until each is acknowledged.
#[derive(Default)]
struct Caller {
    queen: Mutex<Option<Client>>,
    allowed: AtomicUsize,
    submitted: Mutex<BTreeMap<String, String>>,
}

impl Caller {
    fn is_at(&self, client: Option<Client>) {
        *self.queen.lock().unwrap() = client;
    }

    /// Lets it submit that many in all, so that there is work in every life of the queen.
    fn allow(&self, number: usize) {
        self.allowed.store(number, Ordering::SeqCst);
    }

    async fn submit_all(&self) {
        for number in 0..JOBS {
            wait_for_async(PATIENCE, async || {
                match self.allowed.load(Ordering::SeqCst) > number {
                    true => Ok(()),
                    false => Err("may not submit more"),
                }
            })
            .await;
            let key = format!("key-{number}");
            let id = wait_for_async(PATIENCE, async || self.submit(&key).await).await;
            self.submitted.lock().unwrap().insert(key, id);
        }
    }

    /// One try. A try whose answer was lost may have been stored: then an unfinished request holds
    /// the key, or a finished one is doubled, which is what the caller of an API has to expect.
    async fn submit(&self, key: &str) -> Result<String, String> {
        let client = self.queen.lock().unwrap().clone();
        let client = client.ok_or("the queen is dead")?;
        let request = SubmitRequest {
            job_type: "three".to_owned(),
            params: Some([("Key".to_owned(), key.into())].into_iter().collect()),
            user_key: Some(key.to_owned()),
            ..SubmitRequest::default()
        };
        match client.submit(&request).await {
            Ok(request) => Ok(request.id),
            Err(error) if error.status() == Some(409) => held_by(&client, key).await,
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The request that holds a key.
async fn held_by(client: &Client, key: &str) -> Result<String, String> {
    let query = ListRequests {
        filters: vec![("user_key".to_owned(), key.to_owned())],
        page_size: 10,
        ..ListRequests::default()
    };
    let page = client
        .job_requests(&query)
        .await
        .map_err(|error| error.to_string())?;
    let held = page.records.first().map(|request| request.id.clone());
    held.ok_or_else(|| "nobody holds the key".to_owned())
}

/// Waits until every request is COMPLETED; gives them by id.
async fn all_completed(client: &Client) -> BTreeMap<String, JobRequest> {
    let query = ListRequests {
        page_size: 1000,
        ..ListRequests::default()
    };
    let records = wait_for_async(PATIENCE, async || {
        let page = client
            .job_requests(&query)
            .await
            .map_err(|error| error.to_string())?;
        let mut states = BTreeMap::<&str, usize>::new();
        for request in &page.records {
            *states.entry(request.job_state.as_str()).or_default() += 1;
        }
        match page
            .records
            .iter()
            .all(|request| request.job_state.is_terminal())
        {
            true => Ok(page.records),
            false => Err(format!("{states:?}")),
        }
    })
    .await;
    for request in &records {
        assert_eq!(request.job_state, JobState::Completed, "{request:?}");
    }
    records
        .into_iter()
        .map(|request| (request.id.clone(), request))
        .collect()
}

/// The log of every task has each line of its accepted attempt once and in order.
async fn logs_are_whole(client: &Client, requests: &BTreeMap<String, JobRequest>) {
    for (id, request) in requests {
        let key = request.params["Key"].as_str().unwrap();
        let lines = whole_log(client, id).await;
        let of = |task: &str| -> Vec<String> {
            let lines = lines
                .iter()
                .filter(|line| line.task == task && line.stream == "stdout");
            lines.map(|line| line.text.clone()).collect()
        };
        let exported = format!("::set-output name=Made::{key}");
        assert_eq!(of("one"), ["begin", &exported, "end"], "{id}");
        assert_eq!(of("two"), ["begin", key, "end"], "{id}");
        assert_eq!(of("three"), ["begin", key, "end"], "{id}");
    }
}

async fn whole_log(client: &Client, id: &str) -> Vec<LogLine> {
    let mut lines = Vec::new();
    let mut query = LogsQuery::default();
    loop {
        let page = client.log_page(id, &query).await.unwrap();
        lines.extend(page.lines);
        if page.done {
            return lines;
        }
        query.cursor = page.cursor;
    }
}

/// Each task has one attempt that completed, whatever became of its others, and no lease is left.
fn outcomes_are_single(database: Database, tasks: usize) {
    let store = Store::open(&StoreConfig::new(database)).unwrap();
    let count = |sql: &'static str| -> usize {
        let rows = store
            .read_blocking(move |tx| tx.query_one(sql, &[])?.get::<i64>(0))
            .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        usize::try_from(rows).unwrap()
    };
    assert_eq!(
        count("SELECT COUNT(*) FROM tasks WHERE job_task IS NOT NULL"),
        tasks
    );
    let accepted = "SELECT COUNT(*) FROM attempts WHERE outcome NOT IN ('given_back', 'lost')";
    assert_eq!(count(accepted), tasks);
    let completed = "SELECT COUNT(DISTINCT task_id) FROM attempts WHERE outcome = 'completed'";
    assert_eq!(count(completed), tasks);
    assert_eq!(count("SELECT COUNT(*) FROM leases"), 0);
    assert_eq!(count("SELECT COUNT(*) FROM queue"), 0);
    let interrupted = count("SELECT COUNT(*) FROM attempts WHERE outcome = 'given_back'");
    assert!(interrupted > 0, "no kill hit a task");
    say(&format!(
        "{JOBS} jobs survived {KILLS} kills: {tasks} tasks with one accepted outcome each, \
         {interrupted} attempts were interrupted and repeated"
    ));
}

#[expect(
    clippy::print_stderr,
    reason = "shown with --nocapture, to see how hard the kills hit"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
