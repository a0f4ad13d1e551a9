//! The engine and its ant inside this process: the same work without HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use colony_ant::{Ant, AntConfig, DirectObjects, Link, ReaperCommand, Shutdown};
use colony_core::id::MonotonicIds;
use colony_core::time::SystemClock;
use colony_engine::{AntLink, Caller, Engine, EngineParts, EngineSettings, SaveDefinition, Submit};
use colony_store::{ListQuery, Store, StoreConfig};
use colony_testkit::{block_on, wait_for_async};
use object_store::local::LocalFileSystem;
use tokio::sync::mpsc;

use crate::bare::{Compared, compare};
use crate::queen::{DEFINITION, Database};

const DEADLINE: Duration = Duration::from_secs(600);
const CALLERS: usize = 16;

pub(crate) struct Inside;

impl Inside {
    pub(crate) fn measure(database: &Database, jobs: usize) -> Compared {
        let dir = tempfile::tempdir().expect("room for a directory");
        let config = match database {
            Database::Sqlite => StoreConfig::sqlite(dir.path().join("colony.db")),
            Database::Postgres(server) => StoreConfig::postgres(server.url()),
        };
        let store = Store::open(&config).expect("the database opens");
        block_on(async {
            let engine = engine(&store, dir.path());
            let loops = engine.start();
            let shutdown = embed_ant(&engine, dir.path());
            let caller = Caller::anonymous();
            let text = DEFINITION.to_owned();
            let save = SaveDefinition {
                text,
                format: colony_spec::Format::Yaml,
            };
            engine
                .save_definition(&caller, save)
                .await
                .expect("the definition is valid");
            let before = store.stats();
            let mut compared = tokio::task::block_in_place(|| {
                compare(jobs, || {
                    tokio::runtime::Handle::current().block_on(run_jobs(&engine, &caller, jobs));
                    String::new()
                })
            });
            let after = store.stats();
            let per_job = (after.statements - before.statements) as f64 / jobs as f64;
            let per_commit = jobs as f64 / (after.commits - before.commits).max(1) as f64;
            let (cpu, bare) = (compared.cpu_ms, compared.bare_cpu_ms);
            compared.note = format!(
                "; {per_job:.0} statements and {cpu:.2} ms of processor time a job (bare: \
                 {bare:.2} ms), {per_commit:.1} jobs a commit"
            );
            shutdown.now();
            drop(loops);
            compared
        })
    }
}

fn engine(store: &Store, dir: &std::path::Path) -> Engine {
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

fn embed_ant(engine: &Engine, dir: &std::path::Path) -> Shutdown {
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

async fn run_jobs(engine: &Engine, caller: &Caller, jobs: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (engine, caller, next) = (engine.clone(), caller.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let submit = Submit {
                    job_type: "one".to_owned(),
                    ..Submit::default()
                };
                while next.fetch_add(1, Ordering::Relaxed) < jobs {
                    engine
                        .submit(&caller, submit.clone())
                        .await
                        .expect("the job is known");
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
    wait_for_async(DEADLINE, async || {
        // Counting is work, too.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let page = engine
            .list_requests(caller, open.clone())
            .await
            .expect("the list of requests");
        if page.total == 0 {
            Ok(())
        } else {
            Err(format!("{} open", page.total))
        }
    })
    .await;
}
