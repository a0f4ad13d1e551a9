//! The real program, driven over HTTP.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use colony_api::client::{Client, ListRequests};
use colony_api::jobs::{JobRequest, SubmitRequest};
use colony_testkit::{block_on, wait_for, wait_for_async};

use crate::bare::{Compared, compare};
use crate::database::Database;
use crate::jobs::{CALLERS, DEADLINE, ONE};
use crate::marks::{Marks, percentile};

/// How many tasks its ant runs at once.
pub(crate) const CAPACITY: usize = 8;

/// A running `colony queen`, stopped at the end.
pub(crate) struct Queen<'d> {
    process: Child,
    database: &'d Database,
    pub(crate) client: Client,
    pub(crate) ready_ms: f64,
}

impl<'d> Queen<'d> {
    pub(crate) fn start(database: &'d Database) -> Self {
        let dir = database.dir.path().join("data");
        let mut command = Command::new(env!("CARGO_BIN_EXE_colony"));
        command
            .args(["queen", "--listen", "127.0.0.1:0", "--ant-capacity"])
            .arg(CAPACITY.to_string())
            .arg("--data-dir")
            .arg(&dir);
        if let Some(url) = database.url() {
            command.args(["--database-url", url]);
        }
        let log = std::fs::File::create(log(database)).expect("room for a log");
        let start = Instant::now();
        let process = command.stderr(log).stdin(Stdio::null()).spawn();
        let process = process.expect("the queen starts");
        let client = wait_for(Duration::from_secs(30), || connect(&dir));
        block_on(wait_for_async(DEADLINE, async || {
            client.health().await.map(drop)
        }));
        let ready_ms = start.elapsed().as_secs_f64() * 1000.0;
        let this = Self {
            process,
            database,
            client,
            ready_ms,
        };
        this.save(ONE.to_owned());
        this
    }

    pub(crate) fn save(&self, definition: String) {
        let saved = block_on(self.client.save_definition(definition));
        saved.expect("the definition is valid");
    }

    pub(crate) fn throughput(&self, jobs: usize) -> Compared {
        compare(self.database, self.process.id(), jobs, || {
            self.run_jobs(jobs);
        })
    }

    /// Submits jobs and waits until all are done.
    pub(crate) fn run_jobs(&self, jobs: usize) {
        block_on(async {
            let before = self.count("DONE").await;
            self.submit_many("one", jobs).await;
            wait_for_async(DEADLINE, async || {
                // Counting is work, too.
                tokio::time::sleep(Duration::from_millis(100)).await;
                let done = self.count("DONE").await - before;
                if done >= jobs as u64 {
                    Ok(())
                } else {
                    Err(format!("{done} of {jobs} done"))
                }
            })
            .await;
        });
    }

    /// Submits jobs by many callers.
    pub(crate) async fn submit_many(&self, job_type: &'static str, jobs: usize) {
        let next = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (client, next) = (self.client.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    while next.fetch_add(1, Ordering::Relaxed) < jobs {
                        submit(&client, job_type, None).await;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.expect("callers do not panic");
        }
    }

    /// How many requests are in a state.
    pub(crate) async fn count(&self, state: &str) -> u64 {
        let list = ListRequests {
            job_state: Some(state.to_owned()),
            page_size: 1,
            ..ListRequests::default()
        };
        let page = self.client.job_requests(&list).await;
        page.expect("the list of requests").total_records
    }

    /// From just before the call of submit to the first command, one at a time on an idle queen.
    pub(crate) fn latency(&self) -> String {
        let mut marks = Marks::listen(self.database.dir.path());
        self.save(marks.definition("mark", ""));
        let mut millis: Vec<f64> = block_on(async {
            let mut millis = Vec::new();
            for number in 0..200 {
                let (request, ms) = self.mark(&mut marks, "mark", number, DEADLINE).await;
                millis.push(ms.expect("an idle queen starts a job"));
                let wait = Duration::from_secs(30);
                let ended = self.client.wait_for_request(&request.id, wait).await;
                ended.expect("the request is known");
            }
            millis
        });
        millis.sort_by(f64::total_cmp);
        let [p50, p99] = [50, 99].map(|percent| percentile(&millis, percent));
        format!("p50 {p50:.1} ms, p99 {p99:.1} ms")
    }

    /// Submits a job that tells when it runs. Milliseconds from before the call until it does;
    /// none when that takes too long.
    pub(crate) async fn mark(
        &self,
        marks: &mut Marks,
        job_type: &str,
        number: usize,
        patience: Duration,
    ) -> (JobRequest, Option<f64>) {
        let start = Instant::now();
        let request = submit(&self.client, job_type, Some(number)).await;
        let heard = marks.next(patience).await;
        let millis = heard.map(|(heard, at)| {
            assert_eq!(heard, number, "nothing else tells");
            at.duration_since(start).as_secs_f64() * 1000.0
        });
        (request, millis)
    }

    /// Resident memory in MB.
    pub(crate) fn memory_mb(&self) -> f64 {
        let status = std::fs::read_to_string(self.proc().join("status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    }

    pub(crate) fn memory(&self) -> String {
        format!("{:.0} MB", self.memory_mb())
    }

    /// What all its threads did in five seconds without requests. A query wakes a thread at least
    /// twice.
    pub(crate) fn at_rest(&self) -> String {
        let quiet = Duration::from_secs(5);
        let before = self.switches();
        std::thread::sleep(quiet);
        format!("{} wake-ups of its threads", self.switches() - before)
    }

    fn switches(&self) -> u64 {
        let threads = std::fs::read_dir(self.proc().join("task")).expect("the queen runs");
        let of_thread = |path: PathBuf| -> u64 {
            let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
            let line = status
                .lines()
                .find(|line| line.starts_with("voluntary_ctxt_switches:"));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
                .unwrap_or(0)
        };
        threads
            .flatten()
            .map(|thread| of_thread(thread.path()))
            .sum()
    }

    /// Warnings and errors in its log, and what its database server complains about.
    pub(crate) fn complaints(&self) -> String {
        let log = std::fs::read_to_string(log(self.database)).unwrap_or_default();
        let bad = |line: &&str| line.contains("ERROR") || line.contains("WARN");
        let lines: Vec<&str> = log.lines().filter(bad).collect();
        let first = lines
            .first()
            .map_or(String::new(), |line| format!(", first: {line}"));
        let deadlocks = self.database.deadlocks();
        let deadlocks = deadlocks.map_or(String::new(), |count| format!(", {count} deadlocks"));
        format!("{} in its log{first}{deadlocks}", lines.len())
    }

    fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.process.id()))
    }
}

impl Drop for Queen<'_> {
    fn drop(&mut self) {
        // It is measured, not asked to end in good order.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn log(database: &Database) -> PathBuf {
    database.dir.path().join("log")
}

fn connect(dir: &Path) -> Result<Client, String> {
    let read = |name: &str| {
        let text = std::fs::read_to_string(dir.join(name)).map_err(|error| error.to_string())?;
        Ok::<_, String>(text.trim().to_owned())
    };
    let address = read("address")?;
    let url = if address.starts_with("http") {
        address
    } else {
        format!("http://{address}")
    };
    Client::new(&url, Some(&read("admin.token")?)).map_err(|error| error.to_string())
}

/// Submits a job, with the parameter `N` when there is a number.
pub(crate) async fn submit(client: &Client, job_type: &str, number: Option<usize>) -> JobRequest {
    let params = number.map(|number| ("N".to_owned(), number.into()));
    let submit = SubmitRequest {
        job_type: job_type.to_owned(),
        params: params.map(|param| [param].into_iter().collect()),
        ..SubmitRequest::default()
    };
    client.submit(&submit).await.expect("the job is known")
}
