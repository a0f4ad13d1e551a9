//! Jumps of the clock, and a database that is away for longer than leases last.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use colony_core::state::{JobState, TaskStatus};
use colony_core::time::{Clock as _, SteadyClock, SystemClock, TimeSource, Timestamp};
use colony_engine::ledger::{
    ChangeTask, Claim, CreateRun, CreateTasks, Ledger, TaskChange, TaskSpec,
};
use colony_engine::{DEFAULT_ORGANIZATION, EngineSettings, Submit};
use colony_store::Database;
use colony_testkit::{TestProxy, TestStore, Wire, block_on, both_databases, wait_for_async};
use colony_wire::{AntMessage, Order};

use crate::ant::ScriptedAnt;
use crate::kit::{DEADLINE, Kit};

const JOBS: [&str; 2] = [
    "
job_type: one
timeout: 60s
tasks:
- task_type: a
  method: SHELL
  timeout: 40s
  script: [one]
",
    "
job_type: again
timeout: 60s
tasks:
- task_type: a
  method: SHELL
  retry: 1
  delay_between_retries: 4s
  script: [again]
",
];

const HOUR_MS: i64 = 3_600_000;

/// A wall clock that a test sets, beside the machine's monotonic one.
#[derive(Clone)]
struct Settable {
    start: Instant,
    set: Arc<AtomicI64>,
}

impl Settable {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            set: Arc::default(),
        }
    }
}

impl TimeSource for Settable {
    fn wall(&self) -> Timestamp {
        let set = self.set.load(Ordering::SeqCst);
        Timestamp::from_millis(SystemClock.now().as_millis() + set)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

fn short_leases() -> EngineSettings {
    EngineSettings {
        lease_duration: Duration::from_secs(3),
        ..EngineSettings::default()
    }
}

fn task(run: &colony_engine::ledger::RunRow, kind: &str, delay: Option<Duration>) -> CreateTasks {
    let spec = TaskSpec {
        run_id: run.id,
        kind: kind.to_owned(),
        delay,
        parent_task_id: None,
        input: "1".into(),
        metadata: None,
        max_retries: 0,
        priority: 0,
        dedupe_key: None,
    };
    CreateTasks {
        org_id: DEFAULT_ORGANIZATION.to_owned(),
        tasks: vec![spec],
    }
}

fn claim(kind: &str, lease: Duration, wait: Duration) -> Claim {
    Claim {
        org_id: DEFAULT_ORGANIZATION.to_owned(),
        kinds: vec![kind.to_owned()],
        worker_id: "w".to_owned(),
        limit: 1,
        lease,
        wait,
        key: None,
    }
}

/// The clock is set while tasks run, a retry waits, and programs hold leases and wait for delays:
/// all of it goes on as if nothing had happened.
async fn survives_a_jump(store: &TestStore, jump: i64) {
    let hands = Settable::new();
    let clock = Arc::new(SteadyClock::of(hands.clone()));
    let kit = Kit::with_clock(store, short_leases(), clock);
    let ledger = Ledger::of_engine(&kit.engine);
    for job in JOBS {
        kit.save(job).await;
    }
    let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], false).await;
    let one = kit.submit("one").await;
    let held = ant.order().await;
    let again = kit.submit("again").await;
    let first = ant.order().await;
    let run = CreateRun {
        org_id: DEFAULT_ORGANIZATION.to_owned(),
        input: "1".into(),
        metadata: None,
    };
    let run = ledger.create_run(run).await.unwrap();
    ledger.create_tasks(task(&run, "held", None)).await.unwrap();
    let lease = Duration::from_secs(20);
    let claimed = ledger.claim(claim("held", lease, DEADLINE)).await.unwrap();
    let delay = Some(Duration::from_secs(4));
    ledger
        .create_tasks(task(&run, "late", delay))
        .await
        .unwrap();
    assert!(ant.end(&first, 1).await);
    let start = Instant::now();

    hands.set.store(jump, Ordering::SeqCst);
    let late = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.claim(claim("late", lease, DEADLINE)).await.unwrap() }
    });
    let second = beat_until_the_next_order(&mut ant, &held).await;
    assert!(
        start.elapsed() > Duration::from_secs(3),
        "the delay was not cut short"
    );
    assert_eq!(second.attempt.task_id, first.attempt.task_id);
    assert_eq!(late.await.unwrap().len(), 1);
    let off = kit
        .engine
        .now()
        .as_millis()
        .abs_diff(hands.wall().as_millis());
    assert!(off < 3000, "rows get the new wall time: {off} ms off");

    assert!(ant.end(&held, 0).await, "its lease was kept");
    assert!(ant.end(&second, 0).await);
    let report = ChangeTask {
        org_id: DEFAULT_ORGANIZATION.to_owned(),
        id: claimed[0].row.id,
        lease: Some(claimed[0].attempt()),
        change: TaskChange {
            status: Some(TaskStatus::Completed),
            ..TaskChange::default()
        },
    };
    let done = ledger
        .change_tasks(vec![report])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert!(
        done.marks.duration_ms.unwrap() < 60_000,
        "{:?}",
        done.marks.duration_ms
    );
    for id in [one, again] {
        kit.wait(&id, JobState::Completed).await;
    }
}

async fn beat_until_the_next_order(ant: &mut ScriptedAnt, held: &Order) -> Order {
    let start = Instant::now();
    loop {
        let running = vec![held.attempt];
        ant.say(AntMessage::Heartbeat { running }).await;
        let order = tokio::time::timeout(Duration::from_millis(200), ant.order()).await;
        match order {
            Ok(order) => return order,
            Err(_) => assert!(start.elapsed() < DEADLINE, "the retry never starts"),
        }
    }
}

both_databases! {
    fn a_clock_that_is_set_forward_changes_nothing(store) {
        block_on(survives_a_jump(&store, HOUR_MS));
    }

    fn a_clock_that_is_set_back_changes_nothing(store) {
        block_on(survives_a_jump(&store, -HOUR_MS));
    }

    /// A request for a time that its user named starts by the new wall clock.
    fn a_named_time_is_by_the_wall_clock(store) {
        block_on(async {
            let hands = Settable::new();
            let clock = Arc::new(SteadyClock::of(hands.clone()));
            let kit = Kit::with_clock(&store, short_leases(), clock);
            kit.save(JOBS[0]).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], false).await;
            let in_half_an_hour = hands.wall().after(Duration::from_secs(1800));
            let id = kit.submit_with(Submit {
                job_type: "one".to_owned(),
                scheduled_at: Some(in_half_an_hour),
                ..Submit::default()
            }).await;
            hands.set.store(HOUR_MS, Ordering::SeqCst);
            // Somebody tells, or a loop sees it within seconds.
            kit.engine.follow_clock().await;
            let order = ant.order().await;
            assert!(ant.end(&order, 0).await);
            kit.wait(&id, JobState::Completed).await;
        });
    }
}

/// The database is away for longer than a lease lasts: nobody could renew it, so nobody loses it.
#[test]
fn leases_outlive_a_database_that_is_away() {
    let mut store = TestStore::postgres("away");
    let (proxy, url) = TestProxy::before(store.server().unwrap().url());
    store.config().database = Database::Postgres { url };
    store.reopen();
    block_on(async {
        let kit = Kit::with(&store, short_leases());
        kit.save(JOBS[0]).await;
        let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], false).await;
        let id = kit.submit("one").await;
        let order = ant.order().await;
        proxy.set(Wire::Closed);
        proxy.cut();
        let start = Instant::now();
        wait_for_async(DEADLINE, async || {
            let elapsed = start.elapsed();
            if elapsed > Duration::from_secs(7) {
                Ok(())
            } else {
                Err(format!("{elapsed:?}"))
            }
        })
        .await;
        proxy.set(Wire::Whole);
        // The loop has looked at leases since the database is back.
        wait_for_async(DEADLINE, async || {
            let sql = "SELECT expires_at FROM leases";
            let looked = kit.engine.store().read(move |tx| {
                let row = tx.query_opt(sql, &[])?;
                row.map(|row| row.get::<Timestamp>(0)).transpose()
            });
            match looked.await {
                Ok(Some(expires_at)) if expires_at > kit.engine.now() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        assert!(ant.end(&order, 0).await, "its lease was kept");
        let request = kit.wait(&id, JobState::Completed).await;
        assert_eq!(request.error_code, "");
        assert_eq!(order.attempt.epoch.0, 1);
    });
}
