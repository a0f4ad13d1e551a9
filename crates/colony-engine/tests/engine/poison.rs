//! Rows that cannot be read or make no sense, among healthy ones: each ends with the reason or is
//! skipped, the others go on, also after a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use colony_core::id::{RequestId, RunId, TaskId};
use colony_core::state::{JobState, TaskStatus};
use colony_engine::EngineSettings;
use colony_engine::ledger::{
    ChangeTask, Claim, ClaimedTask, Command, CreateRun, CreateTasks, Heartbeat, Ledger, LedgerList,
    OnceKey, Outcome, TaskChange, TaskSpec,
};
use colony_store::{Dialect, ListQuery, Store, StoreError};
use colony_testkit::{block_on, both_databases, wait_for_async};
use colony_wire::{AntMessage, Order, StoredObject};

use crate::ant::{ScriptedAnt, report};
use crate::kit::{DEADLINE, Kit};

/// Runs a statement that must change something, about a request or for its run.
async fn run_sql(store: &Store, sql: &str, id: RequestId) {
    let new_id = match store.dialect() {
        Dialect::Sqlite => "randomblob(16)",
        Dialect::Postgres => "gen_random_uuid()",
    };
    let sql = sql
        .replace("{run}", "(SELECT run_id FROM requests WHERE id = $1)")
        .replace(
            "{definition}",
            "(SELECT definition_id FROM requests WHERE id = $1)",
        )
        .replace("{new_id}", new_id);
    let text = sql.clone();
    let done: Result<u64, StoreError> = store.write(move |tx| tx.execute(&sql, &[&id])).await;
    assert!(done.unwrap() > 0, "{text}");
}

fn job(name: &str) -> String {
    format!(
        "job_type: {name}\ntasks:\n- task_type: a\n  method: SHELL\n  script: [x]\n  retry: 1\n  \
         delay_between_retries: 50ms\n"
    )
}

async fn submit(kit: &Kit, name: &str) -> RequestId {
    kit.save(&job(name)).await;
    kit.submit(name).await.parse().unwrap()
}

async fn failed_with_reason(kit: &Kit, id: RequestId, what: &str) {
    let request = wait_for_async(DEADLINE, async || {
        let name = id.to_string();
        match kit.engine.find_request(&kit.caller, &name).await {
            Ok((request, _)) if request.job_state == JobState::Failed => Ok(request),
            Ok((request, _)) => Err(format!("{what}: {}", request.job_state)),
            Err(error) => Err(format!("{what}: {error}")),
        }
    })
    .await;
    assert!(!request.error_message.is_empty(), "{what}");
    assert!(!request.error_code.is_empty(), "{what}");
}

/// Poison of requests that wait and of what they are launched from.
const WAITING: &[&str] = &[
    "UPDATE requests SET params = 'no json' WHERE id = $1",
    "UPDATE requests SET job_state = 'ODD' WHERE id = $1",
    "UPDATE requests SET retried = -1 WHERE id = $1",
    "UPDATE definitions SET raw_yaml = 'tasks: [' WHERE id = {definition}",
    "UPDATE definitions SET raw_yaml = 'job_type: x' WHERE id = {definition}",
    "UPDATE definitions SET max_concurrency = -1 WHERE id = {definition}",
    "UPDATE definitions SET plan = '{' WHERE id = {definition}",
    r#"UPDATE definitions SET raw_yaml = 'job_type: x
tasks: [{task_type: a, method: WORKER}]' WHERE id = {definition}"#,
    r#"UPDATE definitions SET plan = NULL, raw_yaml = 'job_type: x
tasks: [{task_type: "a\0b", method: SHELL, script: [x]}]' WHERE id = {definition}"#,
    r#"UPDATE definitions SET plan = NULL, raw_yaml = 'job_type: x
tasks: [{task_type: a, method: WORKER, worker_type: "a\0b"}]' WHERE id = {definition}"#,
];

/// Poison of runs whose task is with an ant.
const RUNNING: &[&str] = &[
    "UPDATE runs SET verdict = '{' WHERE id = {run}",
    "UPDATE runs SET phase = 'odd' WHERE id = {run}",
    "UPDATE runs SET job_state = 'ODD' WHERE id = {run}",
    "UPDATE runs SET definition_id = {new_id} WHERE id = {run}",
    "UPDATE tasks SET job_task = 'nobody' WHERE run_id = {run}",
    "UPDATE runs SET pass = -1 WHERE id = {run}",
    "UPDATE tasks SET job_state = 'ODD' WHERE run_id = {run}",
    "UPDATE tasks SET job_state = 'READY' WHERE run_id = {run}",
    "UPDATE tasks SET control = '[]' WHERE run_id = {run}",
    "UPDATE tasks SET stop = 'odd' WHERE run_id = {run}",
    "UPDATE tasks SET losses = -1 WHERE run_id = {run}",
    "UPDATE tasks SET job_task = NULL WHERE run_id = {run}",
    "UPDATE runs SET request_id = NULL WHERE id = {run}",
    "INSERT INTO attempts (task_id, epoch, run_id, retry, holder, outcome, exit_code, \
     error_message, started_at, ended_at) SELECT task_id, epoch, run_id, 0, '', 'lost', '', '', \
     0, 0 FROM leases WHERE run_id = {run}",
];

/// How many of them an ant has room for beside a healthy one.
const AT_ONCE: usize = 7;

/// A run with an ant.
struct Running {
    id: RequestId,
    order: Order,
}

/// Starts a job for each poison and a healthy one, all with the ant, and poisons them.
async fn start_all(kit: &Kit, ant: &mut ScriptedAnt, poisons: &[&str]) -> (Vec<Running>, Running) {
    let mut all = Vec::new();
    for index in 0..=poisons.len() {
        let id = submit(kit, &format!("job{index}")).await;
        let order = ant.order().await;
        all.push(Running { id, order });
    }
    let good = all.pop().unwrap();
    for (bad, sql) in all.iter().zip(poisons) {
        run_sql(kit.engine.store(), sql, bad.id).await;
    }
    (all, good)
}

/// Nothing of a run that was given up is left to be done, and its slot is free.
async fn nothing_is_left(store: &Store) {
    let counts = store.read(|tx| {
        let mut counts = Vec::new();
        for table in ["leases", "queue", "timers"] {
            let row = tx.query_one(&format!("SELECT COUNT(*) FROM {table}"), &[])?;
            counts.push((table, row.get::<i64>(0)?));
        }
        let row = tx.query_one("SELECT CAST(SUM(taken) AS BIGINT) FROM slots", &[])?;
        counts.push(("slots", row.get::<Option<i64>>(0)?.unwrap_or(0)));
        Ok::<_, StoreError>(counts)
    });
    for (table, count) in counts.await.unwrap() {
        assert_eq!(count, 0, "{table}");
    }
}

/// Waits until the engine rests: no loop goes round and round over a bad row.
async fn rests(store: &Store) {
    let (mut last, mut same) = (0, 0);
    wait_for_async(DEADLINE, async || {
        let closures = store.stats().closures;
        same = if closures == last { same + 1 } else { 0 };
        last = closures;
        if same > 40 {
            Ok(())
        } else {
            Err(format!("{closures} closures"))
        }
    })
    .await;
}

fn task(run_id: RunId, kind: &str) -> TaskSpec {
    TaskSpec {
        run_id,
        parent_task_id: None,
        kind: kind.to_owned(),
        input: "{}".into(),
        metadata: None,
        max_retries: 3,
        priority: 0,
        dedupe_key: None,
        delay: None,
    }
}

/// A task whose status is no word, and a lease and a delay of tasks that are not there.
async fn poison_task(store: &Store, id: TaskId) {
    let poisoned: Result<(), StoreError> = store
        .write(move |tx| {
            let new_id = match tx.dialect() {
                Dialect::Sqlite => "randomblob(16)",
                Dialect::Postgres => "gen_random_uuid()",
            };
            tx.execute("UPDATE tasks SET status = 'odd' WHERE id = $1", &[&id])?;
            let lease = format!(
                "INSERT INTO leases (task_id, epoch, run_id, org_id, of_job, holder_kind, holder, \
                 started_at, expires_at) \
                 VALUES ({new_id}, 1, {new_id}, 'default', FALSE, 'worker', 'w', 0, 1)"
            );
            tx.execute(&lease, &[])?;
            let delayed =
                format!("INSERT INTO timers (kind, subject, detail, due_at) VALUES ('offer_due', {new_id}, '', 1)");
            tx.execute(&delayed, &[]).map(drop)
        })
        .await;
    poisoned.unwrap();
}

struct Worker(Ledger);

impl Worker {
    async fn claim(&self, kind: &str, wait: Duration, lease: Duration) -> Vec<ClaimedTask> {
        let claim = Claim {
            org_id: colony_engine::DEFAULT_ORGANIZATION.to_owned(),
            kinds: vec![kind.to_owned()],
            worker_id: "w1".to_owned(),
            limit: 1,
            lease,
            wait,
            key: None,
        };
        self.0.claim(claim).await.unwrap()
    }
}

fn whole_list() -> ListQuery {
    ListQuery {
        page_size: 100,
        ..ListQuery::default()
    }
}

both_databases! {
    fn bad_requests_and_definitions_end_and_others_are_launched(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let mut bad = Vec::new();
            for (index, sql) in WAITING.iter().enumerate() {
                bad.push((submit(&kit, &format!("job{index}")).await, *sql));
            }
            let good = submit(&kit, "job-good").await;
            let last = submit(&kit, "last").await;
            for (id, sql) in &bad {
                run_sql(&store, sql, *id).await;
            }
            // It has ended, and waits to be launched all the same.
            let ended = submit(&kit, "job-ended").await;
            let sql = "UPDATE requests SET job_state = 'COMPLETED', ended_at = 1 WHERE id = $1";
            run_sql(&store, sql, ended).await;
            let slots = "INSERT INTO slots (schedule_key, taken) \
                         SELECT schedule_key, -5 FROM requests WHERE id = $1";
            run_sql(&store, slots, last).await;
            drop(kit);
            let kit = Kit::new(&store);
            let listed = kit.engine.list_requests(&kit.caller, whole_list()).await.unwrap();
            assert!(listed.rows.len() > 2);
            let listed = kit.engine.list_definitions(&kit.caller, whole_list()).await.unwrap();
            assert!(listed.rows.len() > 2);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            ant.work(2, &[]).await;
            for id in [good, last] {
                kit.wait(&id.to_string(), JobState::Completed).await;
            }
            for (id, sql) in &bad {
                failed_with_reason(&kit, *id, sql).await;
            }
            rests(&store).await;
            kit.wait(&ended.to_string(), JobState::Completed).await;
        });
    }

    fn a_report_for_a_bad_run_ends_it_once_with_the_reason(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            for poisons in RUNNING.chunks(AT_ONCE) {
                let (bad, good) = start_all(&kit, &mut ant, poisons).await;
                for bad in &bad {
                    ant.end(&bad.order, 0).await;
                }
                assert!(ant.end(&good.order, 0).await);
                kit.wait(&good.id.to_string(), JobState::Completed).await;
                for (bad, sql) in bad.iter().zip(poisons) {
                    failed_with_reason(&kit, bad.id, sql).await;
                    assert!(!ant.end(&bad.order, 0).await, "only once: {sql}");
                }
            }
            nothing_is_left(&store).await;
            rests(&store).await;
        });
    }

    fn a_report_that_cannot_be_stored_fails_its_task_once(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            kit.save("
job_type: two
tasks:
- task_type: a
  method: SHELL
  script: [x]
  retry: 3
  on_failed: mend
- task_type: mend
  method: SHELL
  script: [x]
").await;
            let mut reports = Vec::new();
            for _ in 0..2 {
                let id = kit.submit("two").await;
                let order = ant.order().await;
                let mut report = report(order.attempt, 0);
                report.artifacts = Some(StoredObject {
                    // The same for both: the second one breaks a rule of the schema.
                    artifact_id: "00000000-0000-0000-0000-000000000007".parse().unwrap(),
                    object_key: "k".to_owned(),
                    name: "a\0.zip".to_owned(),
                    content_type: String::new(),
                    size_bytes: 1,
                    sha256: String::new(),
                });
                report.outputs = BTreeMap::from([("a\0b".to_owned(), "c\0d".to_owned())]);
                reports.push((id, report));
            }
            for (_, report) in &reports {
                ant.say(AntMessage::Report(Box::new(report.clone()))).await;
                assert!(ant.acknowledged(report.attempt).await);
            }
            kit.wait(&reports[0].0, JobState::Completed).await;
            let warnings = &kit.execution(&reports[0].0).await.tasks[0].row.warnings;
            assert!(warnings[0].contains("control characters"), "{warnings:?}");
            // The job goes on where failures lead.
            assert_eq!(ant.work(1, &[]).await, ["mend"]);
            let failed = kit.wait(&reports[1].0, JobState::Failed).await;
            assert!(failed.error_message.contains("its report cannot be stored"), "{failed:?}");
        });
    }

    fn bad_runs_end_when_a_queen_starts_again(store) {
        block_on(async {
            for poisons in RUNNING.chunks(AT_ONCE) {
                let kit = Kit::new(&store);
                let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
                let (bad, good) = start_all(&kit, &mut ant, poisons).await;
                drop((kit, ant));
                // The ant comes back with nothing of it running, as after a restart.
                let kit = Kit::new(&store);
                let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
                let order = ant.order().await;
                assert_eq!(order.request_id, good.id);
                assert!(ant.end(&order, 0).await);
                kit.wait(&good.id.to_string(), JobState::Completed).await;
                for (bad, sql) in bad.iter().zip(poisons) {
                    failed_with_reason(&kit, bad.id, sql).await;
                }
                nothing_is_left(&store).await;
                rests(&store).await;
            }
        });
    }

    fn a_bad_run_ends_when_its_lease_runs_out_or_it_is_cancelled(store) {
        block_on(async {
            let settings = EngineSettings {
                lease_duration: Duration::from_secs(1),
                ..EngineSettings::default()
            };
            let kit = Kit::with(&store, settings);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], false).await;
            for (cancelled, sql) in [(false, RUNNING[0]), (true, RUNNING[0])] {
                let (bad, good) = start_all(&kit, &mut ant, &[sql]).await;
                if cancelled {
                    let id = bad[0].id.to_string();
                    kit.engine.cancel(&kit.caller, &id).await.unwrap();
                }
                assert!(ant.end(&good.order, 0).await);
                failed_with_reason(&kit, bad[0].id, sql).await;
            }
            nothing_is_left(&store).await;
        });
    }

    fn bad_timers_end_their_run(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let mut bad = Vec::new();
            for (index, sql) in [
                "UPDATE timers SET kind = 'odd' WHERE subject = {run}",
                "UPDATE tasks SET job_state = 'ODD' WHERE run_id = {run}",
                "UPDATE runs SET definition_id = {new_id} WHERE id = {run}",
            ].into_iter().enumerate() {
                let name = format!("bad{index}");
                kit.save(&job(&name).replace("50ms", "1s")).await;
                let id: RequestId = kit.submit(&name).await.parse().unwrap();
                let order = ant.order().await;
                assert!(ant.end(&order, 1).await);
                run_sql(&store, sql, id).await;
                bad.push((id, sql));
            }
            let good = submit(&kit, "good").await;
            ant.work(2, &[("a", &[1, 0])]).await;
            kit.wait(&good.to_string(), JobState::Completed).await;
            for (id, sql) in bad {
                failed_with_reason(&kit, id, sql).await;
            }
            nothing_is_left(&store).await;
            rests(&store).await;
        });
    }

    fn a_bad_place_in_a_queue_of_workers_stops_no_claim(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker(Ledger::of_engine(&kit.engine));
            kit.save("job_type: w\ntasks: [{task_type: a, method: WORKER, worker_type: k}]\n").await;
            let offered = async |count: i64| wait_for_async(DEADLINE, async || {
                let row = store.read(|tx| tx.query_one("SELECT COUNT(*) FROM queue WHERE key = 'worker:default/k'", &[]));
                let found: i64 = row.await.unwrap().get(0).unwrap();
                if found == count { Ok(()) } else { Err(found) }
            }).await;
            let mut ids: Vec<RequestId> = Vec::new();
            for count in 1..=3 {
                ids.push(kit.submit("w").await.parse().unwrap());
                offered(count).await;
            }
            run_sql(&store, "INSERT INTO leases (task_id, epoch, run_id, org_id, of_job, holder_kind, holder, \
                 started_at, expires_at) SELECT id, 1, run_id, org_id, TRUE, 'ant', 'x', 1, \
                 9000000000000 FROM tasks WHERE run_id = {run}", ids[0]).await;
            run_sql(&store, "UPDATE tasks SET job_task = NULL WHERE run_id = {run}", ids[1]).await;
            run_sql(&store, "INSERT INTO queue (key, rank, flow, task_id, run_id) \
                 SELECT 'worker:default/k', -100, '', {new_id}, {new_id} FROM requests WHERE id = $1", ids[0]).await;
            let claimed = worker.claim("k", DEADLINE, Duration::from_secs(60)).await;
            assert_eq!(claimed.len(), 1);
            failed_with_reason(&kit, ids[0], "leased twice").await;
            assert_eq!(kit.request(&ids[2].to_string()).await.run_id, Some(claimed[0].row.run_id));
        });
    }

    fn one_bad_row_among_reports_and_leases_fails_alone(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker(Ledger::of_engine(&kit.engine));
            let org_id = colony_engine::DEFAULT_ORGANIZATION.to_owned();
            for keyed in [false, true] {
                let run = CreateRun { org_id: org_id.clone(), input: "{}".into(), metadata: None };
                let run_id: RunId = worker.0.create_run(run).await.unwrap().id;
                let tasks = ["bad", "good"].map(|kind| task(run_id, kind)).to_vec();
                let new = CreateTasks { org_id: org_id.clone(), tasks };
                worker.0.create_tasks(new).await.unwrap();
                let long = Duration::from_secs(60);
                let mut items = Vec::new();
                let mut leases = Vec::new();
                for kind in ["bad", "good"] {
                    let claimed = worker.claim(kind, DEADLINE, long).await.remove(0);
                    let change = TaskChange { status: Some(TaskStatus::Completed), ..TaskChange::default() };
                    let (id, lease) = (claimed.row.id, Some(claimed.attempt()));
                    leases.push(claimed.attempt());
                    items.push(ChangeTask { org_id: org_id.clone(), id, change, lease });
                }
                poison_task(&store, items[0].id).await;
                let beat = Heartbeat { org_id: org_id.clone(), leases, lease: long };
                let held = worker.0.heartbeat(beat).await.unwrap();
                assert_eq!(held.iter().map(|held| held.stop).collect::<Vec<_>>(), [false, false]);
                let accepted = if keyed {
                    let once = OnceKey { org_id: org_id.clone(), key: "k".to_owned(), request_sha256: "h".to_owned() };
                    let render = |outcome: &Outcome| match outcome {
                        Outcome::Reported(changed) => {
                            let accepted: Vec<bool> = changed.iter().map(Result::is_ok).collect();
                            (200, format!("{accepted:?}"))
                        }
                        other => panic!("{other:?}"),
                    };
                    let first = worker.0.perform_once(Command::Report(items.clone()), once.clone(), render).await;
                    let again = worker.0.perform_once(Command::Report(items), once, render).await;
                    assert_eq!(first.as_ref().unwrap(), &again.unwrap());
                    first.unwrap().1
                } else {
                    let changed = worker.0.change_tasks(items).await.unwrap();
                    format!("{:?}", changed.iter().map(Result::is_ok).collect::<Vec<_>>())
                };
                assert_eq!(accepted, "[false, true]");
            }
        });
    }

    fn bad_rows_of_programs_stop_no_upkeep_and_no_list(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker(Ledger::of_engine(&kit.engine));
            let org_id = colony_engine::DEFAULT_ORGANIZATION.to_owned();
            let run = CreateRun { org_id: org_id.clone(), input: "{}".into(), metadata: None };
            let run_id: RunId = worker.0.create_run(run).await.unwrap().id;
            let tasks = ["bad", "good"].map(|kind| task(run_id, kind)).to_vec();
            let new = CreateTasks { org_id: org_id.clone(), tasks };
            let id = worker.0.create_tasks(new).await.unwrap()[0].row.id;
            let short = Duration::from_secs(1);
            assert_eq!(worker.claim("bad", DEADLINE, short).await.len(), 1);
            poison_task(&store, id).await;
            assert_eq!(worker.claim("good", DEADLINE, short).await.len(), 1);
            let list = LedgerList { org_id, limit: 10, ..LedgerList::default() };
            assert_eq!(worker.0.list_tasks(list).await.unwrap().rows.len(), 1);
            wait_for_async(DEADLINE, async || {
                let row = store.read(move |tx| {
                    tx.query_one("SELECT status, COALESCE(error, '') FROM tasks WHERE id = $1", &[&id])
                });
                let row = row.await.unwrap();
                let (status, error): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
                if status == "failed" && error.contains("cannot go on") { Ok(()) } else { Err(status) }
            }).await;
            // The healthy one is offered again.
            assert_eq!(worker.claim("good", DEADLINE, Duration::from_secs(60)).await.len(), 1);
        });
    }
}
