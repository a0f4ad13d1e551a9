//! The engine and its ant inside this process: the same work without HTTP.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use colony_ant::{Ant, AntConfig, DirectObjects, Link, ReaperCommand, Shutdown};
use colony_core::id::MonotonicIds;
use colony_core::time::SystemClock;
use colony_engine::{
    AntLink, Caller, Engine, EngineParts, EngineSettings, RunEventKind, SaveDefinition, Submit,
};
use colony_store::{ListQuery, Store};
use colony_testkit::wait_for_async;
use object_store::local::LocalFileSystem;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bare::{Compared, compare};
use crate::database::Database;
use crate::jobs::{CALLERS, CHAIN_TASKS, DEADLINE, ONE, chain};

/// An engine with its ant.
pub(crate) struct Inside<'d> {
    database: &'d Database,
    store: Store,
    engine: Engine,
    ant: Shutdown,
    loops: JoinSet<()>,
    runtime: Runtime,
}

impl<'d> Inside<'d> {
    pub(crate) fn start(database: &'d Database) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("room for a runtime");
        let store = database.open();
        let _entered = runtime.enter();
        let engine = engine(&store, database.dir.path());
        let this = Self {
            database,
            store,
            loops: engine.start(),
            ant: embed_ant(&engine, database.dir.path()),
            engine,
            runtime,
        };
        this.save(ONE.to_owned());
        this.save(chain("true"));
        this
    }

    fn save(&self, text: String) {
        let format = colony_spec::Format::Yaml;
        let save = SaveDefinition { text, format };
        let caller = Caller::anonymous();
        let saved = self
            .runtime
            .block_on(self.engine.save_definition(&caller, save));
        saved.expect("the definition is valid");
    }

    /// As many jobs as possible at once.
    pub(crate) fn throughput(&self, jobs: usize) -> (Compared, String) {
        let before = self.database.costs(&self.store);
        let compared = compare(self.database, std::process::id(), jobs, || {
            self.runtime.block_on(run_jobs(&self.engine, jobs));
        });
        let after = self.database.costs(&self.store);
        (compared, before.each(&after, jobs))
    }

    /// One job after the other.
    pub(crate) fn alone(&self, jobs: usize) -> String {
        self.one_by_one("one", jobs, jobs)
    }

    /// One chain of tasks after the other.
    pub(crate) fn chains(&self, jobs: usize) -> String {
        self.one_by_one("chain", jobs, jobs * CHAIN_TASKS)
    }

    /// Milliseconds and costs of each of the `parts` of the jobs.
    fn one_by_one(&self, job_type: &str, jobs: usize, parts: usize) -> String {
        let before = self.database.costs(&self.store);
        let start = Instant::now();
        for _ in 0..jobs {
            self.runtime.block_on(run_job(&self.engine, job_type));
        }
        let ms = start.elapsed().as_secs_f64() * 1000.0 / parts as f64;
        let after = self.database.costs(&self.store);
        format!("{ms:.2} ms each; {}", before.each(&after, parts))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.ant.now();
        self.loops.abort_all();
    }
}

fn engine(store: &Store, dir: &Path) -> Engine {
    let objects = LocalFileSystem::new_with_prefix(dir).expect("the directory is there");
    Engine::new(EngineParts {
        store: store.clone(),
        objects: Arc::new(objects),
        clock: Arc::new(SystemClock),
        ids: Arc::new(MonotonicIds::new(SystemClock)),
        seed: 1,
        settings: EngineSettings::default(),
    })
}

fn embed_ant(engine: &Engine, dir: &Path) -> Shutdown {
    let (to_queen, from_ant) = mpsc::channel(1024);
    let (to_ant, from_queen) = mpsc::channel(1024);
    let objects = LocalFileSystem::new_with_prefix(dir).expect("the directory is there");
    let reaper = ReaperCommand {
        // The loop that it is compared with has children of its own.
        adopts: false,
        ..ReaperCommand::of_this_program()
    };
    let ant = Ant::new(
        AntConfig {
            capacity: 8,
            ..AntConfig::new("embedded", dir.join("work"), reaper)
        },
        Link {
            to_queen,
            from_queen,
        },
        Arc::new(DirectObjects::new(Arc::new(objects))),
        Arc::new(SystemClock),
        Arc::new(MonotonicIds::new(SystemClock)),
    );
    let shutdown = Shutdown::new();
    tokio::spawn(ant.run(shutdown.clone()));
    let engine = engine.clone();
    tokio::spawn(async move {
        engine
            .serve_ant(AntLink {
                from_ant,
                to_ant,
                embedded: true,
            })
            .await
    });
    shutdown
}

/// Runs one job to its end.
async fn run_job(engine: &Engine, job_type: &str) {
    let mut events = engine.watch();
    submit(engine, job_type).await;
    let ended = async {
        while let Ok(event) = events.recv().await {
            if matches!(event.kind, RunEventKind::RunEnded { .. }) {
                return;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
    ended.expect("a job on an idle engine ends");
}

async fn submit(engine: &Engine, job_type: &str) {
    let submit = Submit {
        job_type: job_type.to_owned(),
        ..Submit::default()
    };
    let submitted = engine.submit(&Caller::anonymous(), submit).await;
    submitted.expect("the job is known");
}

/// Submits jobs and waits until all are done.
async fn run_jobs(engine: &Engine, jobs: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (engine, next) = (engine.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < jobs {
                    submit(&engine, "one").await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("callers do not panic");
    }
    let open = ListQuery {
        filters: vec![colony_store::Filter {
            field: "job_state".to_owned(),
            compare: colony_store::Compare::OneOf,
            value: "PENDING,EXECUTING".to_owned(),
        }],
        page_size: 1,
        ..ListQuery::default()
    };
    let caller = Caller::anonymous();
    wait_for_async(DEADLINE, async || {
        // Counting is work, too.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let page = engine.list_requests(&caller, open.clone()).await;
        let page = page.expect("the list of requests");
        if page.total == 0 {
            Ok(())
        } else {
            Err(format!("{} open", page.total))
        }
    })
    .await;
}
