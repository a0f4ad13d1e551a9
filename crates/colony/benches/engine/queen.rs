//! The real program, driven over HTTP.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use colony_api::client::{Client, ListRequests};
use colony_api::jobs::SubmitRequest;
use colony_testkit::{TestPostgres, block_on, wait_for, wait_for_async};
use tempfile::TempDir;

use crate::bare::{Compared, compare};

const DEADLINE: Duration = Duration::from_secs(600);
const CALLERS: usize = 16;
/// What every job runs.
pub(crate) const DEFINITION: &str = "
job_type: one
max_concurrency: 10000
tasks:
- task_type: a
  method: SHELL
  script: ['true']
";

/// Which database to measure on.
pub(crate) enum Database {
    Sqlite,
    Postgres(TestPostgres),
}

/// SQLite, and PostgreSQL when there is a server, or those of them that are named.
pub(crate) fn databases(named: &[String]) -> Vec<Database> {
    let mut databases = vec![Database::Sqlite];
    if std::env::var_os("COLONY_TEST_POSTGRES_URL").is_some() {
        databases.push(Database::Postgres(TestPostgres::create("bench")));
    }
    databases.retain(|database| {
        let name = database.name().to_lowercase();
        named.is_empty() || named.contains(&name)
    });
    databases
}

impl Database {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }
}

/// A running `colony queen`, stopped at the end.
pub(crate) struct Queen {
    process: Child,
    dir: TempDir,
    client: Client,
    pub(crate) ready_ms: f64,
}

impl Queen {
    pub(crate) fn start(database: &Database) -> Self {
        let dir = tempfile::tempdir().expect("room for a directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_colony"));
        command
            .args(["queen", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path());
        if let Database::Postgres(server) = database {
            command.args(["--database-url", server.url()]);
        }
        let start = Instant::now();
        let process = command.stderr(Stdio::null()).stdin(Stdio::null()).spawn();
        let process = process.expect("the queen starts");
        let client = wait_for(DEADLINE, || connect(dir.path()));
        block_on(wait_for_async(DEADLINE, async || {
            client.health().await.map(drop)
        }));
        let ready_ms = start.elapsed().as_secs_f64() * 1000.0;
        let saved = block_on(client.save_definition(DEFINITION.to_owned()));
        saved.expect("the definition is valid");
        Self {
            process,
            dir,
            client,
            ready_ms,
        }
    }

    pub(crate) fn throughput(&self, jobs: usize) -> Compared {
        compare(jobs, || {
            self.run_jobs(jobs);
            String::new()
        })
    }

    /// Submits jobs and waits until all are done.
    pub(crate) fn run_jobs(&self, jobs: usize) {
        block_on(async {
            let before = self.completed().await;
            let next = Arc::new(AtomicUsize::new(0));
            let callers: Vec<_> = (0..CALLERS)
                .map(|_| tokio::spawn(submit_many(self.client.clone(), Arc::clone(&next), jobs)))
                .collect();
            for caller in callers {
                caller.await.expect("callers do not panic");
            }
            wait_for_async(DEADLINE, async || {
                // Counting is work, too.
                tokio::time::sleep(Duration::from_millis(100)).await;
                let done = self.completed().await - before;
                if done >= jobs as u64 {
                    Ok(())
                } else {
                    Err(format!("{done} of {jobs} done"))
                }
            })
            .await;
        });
    }

    async fn completed(&self) -> u64 {
        let list = ListRequests {
            job_state: Some("COMPLETED".to_owned()),
            page_size: 1,
            ..ListRequests::default()
        };
        let page = self
            .client
            .job_requests(&list)
            .await
            .expect("the list of requests");
        page.total_records
    }

    /// From just before the call of submit to the first instruction of the task's shell, which
    /// makes a file; one at a time on an idle queen.
    pub(crate) fn latency(&self) -> String {
        let marks = self.dir.path().join("marks");
        std::fs::create_dir(&marks).expect("room for a directory");
        let definition = format!(
            "job_type: mark\ntasks:\n- task_type: a\n  method: SHELL\n  script: [': > {}/{{{{.N}}}}']\n",
            marks.display()
        );
        let mut millis: Vec<f64> = block_on(async {
            self.client
                .save_definition(definition)
                .await
                .expect("the definition is valid");
            let mut millis = Vec::new();
            for number in 0..200 {
                millis.push(self.one_mark(&marks.join(number.to_string()), number).await);
            }
            millis
        });
        millis.sort_by(f64::total_cmp);
        let at = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
        format!("p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99))
    }

    /// Milliseconds from before the submission until the command opens a pipe that is waited on.
    /// Times of files would not do: the kernel rounds them to its tick.
    async fn one_mark(&self, mark: &Path, number: i64) -> f64 {
        let mut submit = SubmitRequest {
            job_type: "mark".to_owned(),
            ..SubmitRequest::default()
        };
        submit
            .params
            .get_or_insert_default()
            .insert("N".to_owned(), number.into());
        let made = Command::new("mkfifo").arg(mark).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo works");
        let pipe = mark.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            std::fs::File::open(pipe).expect("the pipe is there");
            Instant::now()
        });
        let start = Instant::now();
        let request = self.client.submit(&submit).await.expect("the job is known");
        let wait = Duration::from_secs(30);
        self.client
            .wait_for_request(&request.id, wait)
            .await
            .expect("the request is known");
        let opened = opened.await.expect("the pipe can be opened");
        opened.duration_since(start).as_secs_f64() * 1000.0
    }

    /// Resident memory.
    pub(crate) fn memory(&self) -> String {
        let status = std::fs::read_to_string(self.proc().join("status")).unwrap_or_default();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap_or_default();
        let kib: f64 = line
            .split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .unwrap_or(0.0);
        format!("{:.0} MB", kib / 1024.0)
    }

    /// What all its threads did in five seconds without requests. A query wakes a thread at least
    /// twice.
    pub(crate) fn at_rest(&self) -> String {
        let quiet = Duration::from_secs(5);
        let before = self.switches();
        let start = Instant::now();
        while start.elapsed() < quiet {
            std::thread::park_timeout(quiet.saturating_sub(start.elapsed()));
        }
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

    fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.process.id()))
    }
}

impl Drop for Queen {
    fn drop(&mut self) {
        // It is measured, not asked to end in good order.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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

async fn submit_many(client: Client, next: Arc<AtomicUsize>, jobs: usize) {
    let submit = SubmitRequest {
        job_type: "one".to_owned(),
        ..SubmitRequest::default()
    };
    while next.fetch_add(1, Ordering::Relaxed) < jobs {
        client.submit(&submit).await.expect("the job is known");
    }
}
