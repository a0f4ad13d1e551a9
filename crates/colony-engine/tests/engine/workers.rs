//! Job tasks of method WORKER, done by claimers of the Runs API.

use std::time::Duration;

use colony_core::id::{AttemptRef, RunId, TaskId};
use colony_core::state::{JobState, RunStatus, TaskStatus};
use colony_engine::ledger::{
    ChangeTask, Claim, ClaimedTask, Command, Heartbeat, HeldLease, Ledger, LedgerError,
    LedgerEventKind, OnceKey, Outcome, TaskChange, WriteData,
};
use colony_engine::{DEFAULT_ORGANIZATION, Submit};
use colony_testkit::{block_on, both_databases, wait_for_async};
use serde_json::{Value, json};

use crate::ant::ScriptedAnt;
use crate::kit::{DEADLINE, Kit};

const RESIZE: &str = "
job_type: photos
tasks:
- task_type: thumbs
  method: WORKER
  worker_type: resize
  retry: 1
  delay_between_retries: 1ms
  timeout: 1h
  variables: {size: '{{.wanted}}px', bucket: photos}
  on_completed: publish
  on_failed: repair
- task_type: publish
  method: SHELL
  script: ['publish {{.count}} {{.note}}']
- task_type: repair
  method: SHELL
  script: [repair]
- task_type: cleanup
  method: SHELL
  always_run: true
  script: [clean]
";

/// A worker that claims through the ledger.
struct Worker {
    ledger: Ledger,
}

impl Worker {
    fn of(kit: &Kit) -> Self {
        let ledger = Ledger::of_engine(&kit.engine);
        Self { ledger }
    }

    async fn try_claim(&self, kind: &str, wait: Duration, lease: Duration) -> Vec<ClaimedTask> {
        let claim = Claim {
            org_id: DEFAULT_ORGANIZATION.to_owned(),
            kinds: vec![kind.to_owned()],
            worker_id: "w1".to_owned(),
            limit: 10,
            lease,
            wait,
            key: None,
        };
        self.ledger.claim(claim).await.unwrap()
    }

    /// The one task of that type, once it is there.
    async fn claim(&self, kind: &str) -> ClaimedTask {
        self.claim_for(kind, Duration::from_secs(60)).await
    }

    async fn claim_for(&self, kind: &str, lease: Duration) -> ClaimedTask {
        let mut tasks = self.try_claim(kind, DEADLINE, lease).await;
        assert_eq!(tasks.len(), 1, "one task of type {kind}");
        tasks.remove(0)
    }

    async fn report(&self, task: &ClaimedTask, change: TaskChange) -> Result<(), LedgerError> {
        let item = item(task, Some(lease_of(task)), change);
        let mut changed = self.ledger.change_tasks(vec![item]).await.unwrap();
        changed.remove(0).map(|_| ())
    }

    async fn beat(&self, task: &ClaimedTask) -> HeldLease {
        let beat = Heartbeat {
            org_id: DEFAULT_ORGANIZATION.to_owned(),
            leases: vec![lease_of(task)],
            lease: Duration::from_secs(60),
        };
        self.ledger.heartbeat(beat).await.unwrap().remove(0)
    }

    async fn write(&self, task: &ClaimedTask, key: &str, value: Value) {
        let data = WriteData {
            org_id: DEFAULT_ORGANIZATION.to_owned(),
            run_id: task.row.run_id,
            task_id: task.row.id,
            key: key.to_owned(),
            value: value.to_string().into(),
            tags: Vec::new(),
            metadata: None,
        };
        self.ledger.write_data(data).await.unwrap();
    }

    async fn task(&self, id: TaskId) -> colony_engine::ledger::TaskRow {
        self.ledger.task(DEFAULT_ORGANIZATION, id).await.unwrap()
    }

    async fn run(&self, id: RunId) -> colony_engine::ledger::RunRow {
        self.ledger.run(DEFAULT_ORGANIZATION, id).await.unwrap()
    }
}

fn lease_of(task: &ClaimedTask) -> AttemptRef {
    AttemptRef {
        task_id: task.row.id,
        epoch: task.row.epoch,
    }
}

fn item(task: &ClaimedTask, lease: Option<AttemptRef>, change: TaskChange) -> ChangeTask {
    ChangeTask {
        org_id: DEFAULT_ORGANIZATION.to_owned(),
        id: task.row.id,
        change,
        lease,
    }
}

fn status(status: TaskStatus) -> TaskChange {
    TaskChange {
        status: Some(status),
        ..TaskChange::default()
    }
}

fn completed(output: &Value) -> TaskChange {
    TaskChange {
        output: Some(Some(output.to_string().into())),
        ..status(TaskStatus::Completed)
    }
}

fn failed(error: &Value) -> TaskChange {
    TaskChange {
        error: Some(Some(error.to_string().into())),
        ..status(TaskStatus::Failed)
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

async fn submit(kit: &Kit) -> String {
    kit.save(RESIZE).await;
    let params = json!({ "wanted": 200 });
    kit.submit_with(Submit {
        job_type: "photos".to_owned(),
        params: params.as_object().unwrap().clone().into_iter().collect(),
        ..Submit::default()
    })
    .await
}

both_databases! {
    fn a_worker_gets_the_rendered_task_and_its_result_drives_the_job(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = submit(&kit).await;
            let task = worker.claim("resize").await;
            assert_eq!(task.row.kind, "resize");
            assert_eq!(task.row.status, TaskStatus::Running);
            let input = json!({ "size": "200px", "bucket": "photos", "wanted": 200 });
            assert_eq!(json_of(&task.row.input), input);
            let metadata = json_of(task.row.metadata.as_deref().unwrap());
            assert_eq!(metadata["jobType"], "photos");
            assert_eq!(metadata["taskType"], "thumbs");
            assert_eq!(metadata["requestId"], id);
            assert_eq!(metadata["version"], 0);

            worker.write(&task, "note", json!("from the worker")).await;
            worker.report(&task, completed(&json!({ "count": 3 }))).await.unwrap();
            let order = ant.order().await;
            assert_eq!(order.phases.script, ["publish 3 from the worker"]);
            assert!(ant.end(&order, 0).await);
            ant.work(1, &[]).await;
            kit.wait(&id, JobState::Completed).await;
            assert_eq!(kit.tasks(&id).await, "thumbs COMPLETED, publish COMPLETED, cleanup COMPLETED");

            let row = worker.task(task.row.id).await;
            assert_eq!(row.status, TaskStatus::Completed);
            assert_eq!(json_of(&row.output.unwrap()), json!({ "count": 3 }));
            let run = worker.run(task.row.run_id).await;
            assert_eq!(run.status, RunStatus::Completed);
            assert_eq!((run.total_tasks, run.completed_tasks), (3, 3));
            assert_eq!(json_of(&run.input), json!({ "wanted": 200 }));
            let output = json_of(&run.output.unwrap());
            assert_eq!(output, json!({ "count": 3, "note": "from the worker" }));
        });
    }

    fn failures_are_retried_and_then_follow_their_route(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = submit(&kit).await;
            let first = worker.claim("resize").await;
            let error = json!({ "code": "ERR_DISK", "message": "disk full", "disk": 3 });
            worker.report(&first, failed(&error)).await.unwrap();
            let second = worker.claim("resize").await;
            assert_eq!(second.row.id, first.row.id);
            assert!(second.row.epoch > first.row.epoch);
            let late = worker.report(&first, completed(&json!(1))).await;
            assert!(matches!(late, Err(LedgerError::LeaseLost(_))), "{late:?}");
            worker.report(&second, failed(&error)).await.unwrap();
            assert_eq!(ant.work(2, &[]).await, ["repair", "cleanup"]);
            let request = kit.wait(&id, JobState::Failed).await;
            assert_eq!((&*request.error_code, &*request.error_message), ("ERR_DISK", "disk full"));
            let row = worker.task(first.row.id).await;
            assert_eq!(json_of(&row.error.unwrap()), error);
            let run = worker.run(first.row.run_id).await;
            assert_eq!(json_of(&run.error.unwrap())["code"], "ERR_DISK");
        });
    }

    fn only_the_holder_of_the_lease_changes_a_job_task(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            let _ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            submit(&kit).await;
            let task = worker.claim("resize").await;
            let without = item(&task, None, status(TaskStatus::Completed));
            let refused = worker.ledger.change_tasks(vec![without]).await.unwrap().remove(0);
            assert!(matches!(refused, Err(LedgerError::OwnedByJob(_))), "{refused:?}");
            let progress = TaskChange {
                metadata: Some(json!({ "progress": 50 }).to_string().into()),
                ..status(TaskStatus::Running)
            };
            worker.report(&task, progress).await.unwrap();
            let row = worker.task(task.row.id).await;
            assert_eq!(row.status, TaskStatus::Running);
            assert_eq!(json_of(&row.metadata.unwrap()), json!({ "progress": 50 }));
            // Put back without blame, it is there again at once.
            worker.report(&task, status(TaskStatus::Queued)).await.unwrap();
            let again = worker.claim("resize").await;
            assert_eq!(again.row.id, task.row.id);
            assert!(matches!(worker.report(&task, completed(&json!(1))).await, Err(LedgerError::LeaseLost(_))));
        });
    }

    fn a_worker_learns_of_a_cancel_in_its_next_heartbeat(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = submit(&kit).await;
            let task = worker.claim("resize").await;
            let before = worker.beat(&task).await;
            assert!(!before.stop);
            kit.engine.cancel(&kit.caller, &id).await.unwrap();
            let after = worker.beat(&task).await;
            assert!(after.stop);
            // What is left of the lease is for the report, and is not renewed.
            assert!(after.expires_at.is_some());
            assert_eq!(worker.beat(&task).await.expires_at, after.expires_at);
            worker.report(&task, status(TaskStatus::Cancelled)).await.unwrap();
            ant.work(1, &[]).await;
            kit.wait(&id, JobState::Cancelled).await;
            assert_eq!(worker.task(task.row.id).await.status, TaskStatus::Cancelled);
            assert!(worker.beat(&task).await.stop);
        });
    }

    fn a_cancel_takes_back_what_nobody_claimed(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = submit(&kit).await;
            let run_id = wait_for_async(DEADLINE, async || {
                let request = kit.request(&id).await;
                let run = request.run_id.ok_or("not launched")?;
                let tasks = worker.ledger.watch_run(DEFAULT_ORGANIZATION, run, None);
                let mut tasks = tasks.await.unwrap();
                loop {
                    match tasks.next().await.unwrap().kind {
                        LedgerEventKind::Task(row) if row.waiting.is_some() => return Ok::<_, String>(run),
                        LedgerEventKind::Task(_) | LedgerEventKind::Run(_) => {}
                    }
                }
            })
            .await;
            kit.engine.cancel(&kit.caller, &id).await.unwrap();
            ant.work(1, &[]).await;
            kit.wait(&id, JobState::Cancelled).await;
            let left = worker.try_claim("resize", Duration::ZERO, Duration::from_secs(1)).await;
            assert!(left.is_empty(), "{left:?}");
            assert_eq!(worker.run(run_id).await.status, RunStatus::Cancelled);
        });
    }

    fn a_lost_worker_is_replaced(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = submit(&kit).await;
            let lost = worker.claim_for("resize", Duration::from_millis(100)).await;
            let task = worker.claim("resize").await;
            assert_eq!(task.row.id, lost.row.id);
            assert!(matches!(worker.report(&lost, completed(&json!(1))).await, Err(LedgerError::LeaseLost(_))));
            assert!(worker.beat(&lost).await.stop);
            worker.report(&task, completed(&json!({ "count": 1, "note": "n" }))).await.unwrap();
            ant.work(2, &[]).await;
            kit.wait(&id, JobState::Completed).await;
        });
    }

    fn a_worker_out_of_time_is_told_to_stop(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            kit.save("
job_type: slow
tasks:
- task_type: work
  method: WORKER
  timeout: 1ms
").await;
            let id = kit.submit("slow").await;
            // Without a worker_type it waits under its own name.
            let task = worker.claim("work").await;
            wait_for_async(DEADLINE, async || {
                match worker.beat(&task).await.stop {
                    true => Ok(()),
                    false => Err("not told to stop"),
                }
            })
            .await;
            worker.report(&task, failed(&json!("stopped"))).await.unwrap();
            let request = kit.wait(&id, JobState::Failed).await;
            assert_eq!(request.error_code, "ERR_TASK_TIMED_OUT");
        });
    }

    fn a_worker_goes_on_over_a_restart_of_the_queen(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            let ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = submit(&kit).await;
            let task = worker.claim("resize").await;
            drop((ant, worker, kit));

            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            assert!(!worker.beat(&task).await.stop);
            worker.report(&task, completed(&json!({ "count": 1, "note": "n" }))).await.unwrap();
            ant.work(2, &[]).await;
            kit.wait(&id, JobState::Completed).await;
        });
    }

    fn templates_decide_about_tasks_of_workers(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            kit.save("
job_type: templated
tasks:
- task_type: never
  method: WORKER
  except: '{{eq .JobRetry 0}}'
  on_completed: chosen
- task_type: chosen
  method: WORKER
  worker_type: 'gpu-{{.TaskType}}'
  on_completed: broken
- task_type: broken
  method: WORKER
  worker_type: '{{index .JobType 99}}'
").await;
            let id = kit.submit("templated").await;
            let task = worker.claim("gpu-chosen").await;
            worker.report(&task, status(TaskStatus::Completed)).await.unwrap();
            let request = kit.wait(&id, JobState::Failed).await;
            assert!(request.error_message.contains("index out of range"), "{}", request.error_message);
            assert_eq!(kit.tasks(&id).await, "never COMPLETED, chosen COMPLETED, broken FAILED");
        });
    }

    fn whoever_follows_the_run_or_task_is_told(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            submit(&kit).await;
            let task = worker.claim("resize").await;
            let run_id = task.row.run_id;
            let mut watch = worker.ledger.watch_run(DEFAULT_ORGANIZATION, run_id, None).await.unwrap();
            let (ledger, id) = (worker.ledger.clone(), task.row.id);
            let wait = tokio::spawn(async move {
                ledger.wait_for_task(DEFAULT_ORGANIZATION, id, DEADLINE).await.unwrap()
            });
            worker.report(&task, completed(&json!({ "count": 1, "note": "n" }))).await.unwrap();
            assert_eq!(wait.await.unwrap().status, TaskStatus::Completed);
            ant.work(2, &[]).await;
            let mut ended = std::collections::BTreeSet::new();
            let run = loop {
                match watch.next().await.unwrap().kind {
                    LedgerEventKind::Task(row) if row.status.is_terminal() => {
                        ended.insert(row.id);
                    }
                    LedgerEventKind::Run(row) if row.status.is_terminal() => break row,
                    LedgerEventKind::Task(_) | LedgerEventKind::Run(_) => {}
                }
            };
            assert_eq!(run.status, RunStatus::Completed);
            assert!(ended.contains(&task.row.id));
        });
    }

    fn a_report_with_an_idempotency_key_counts_once(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let worker = Worker::of(&kit);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = submit(&kit).await;
            let task = worker.claim("resize").await;
            let result = json!({ "count": 1, "note": "n" });
            let report = async || {
                let item = item(&task, Some(lease_of(&task)), completed(&result));
                let once = OnceKey {
                    org_id: DEFAULT_ORGANIZATION.to_owned(),
                    key: "k".to_owned(),
                    request_sha256: "s".to_owned(),
                };
                let render = |outcome: &Outcome| match outcome {
                    Outcome::Reported(results) => (200, format!("{}", results[0].is_ok())),
                    other => panic!("{other:?}"),
                };
                worker.ledger.perform_once(Command::Report(vec![item]), once, render).await.unwrap()
            };
            assert_eq!(report().await, (200, "true".to_owned()));
            assert_eq!(report().await, (200, "true".to_owned()));
            ant.work(2, &[]).await;
            kit.wait(&id, JobState::Completed).await;
        });
    }
}
