//! What a request shows once it runs (`formicary-api` 6.5, 6.6).

use std::collections::BTreeMap;

use colony_testkit::{block_on, both_databases};
use serde_json::{Value, json};

use crate::ant::{Ant, End, line};
use crate::kit::{Kit, TWO, redacted};

fn context(name: &str, kind: &str, value: &str, owner: &str) -> Value {
    json!({
        "name": name, "kind": kind, "value": value, "secret": false, "id": "<id>",
        owner: "<id>", "created_at": "<time>"
    })
}

fn log_artifact(task: &str, length: usize) -> Value {
    json!({
        "id": "<id>", "bucket": "", "name": "<name>", "artifact_group": "", "etag": "",
        "organization_id": "", "user_id": "", "kind": "LOGS", "artifact_order": 1,
        "permissions": 0, "job_request_id": "<id>", "job_execution_id": "<id>",
        "task_execution_id": "<id>", "task_type": task, "sha256": "<sha256>",
        "content_type": "<type>", "content_length": length, "expires_at": "<time>",
        "created_at": "<time>", "updated_at": "<time>", "metadata": {}, "tags": {},
        "url": "<url>"
    })
}

fn task(task_type: &str, order: u32, differs: &Value) -> Value {
    let mut task = json!({
        "id": "<id>", "job_execution_id": "<id>", "task_type": task_type, "method": "SHELL",
        "task_state": "COMPLETED", "allow_failure": false, "exit_code": "0", "exit_message": "",
        "error_code": "", "error_message": "", "failed_command": "", "comments": "",
        "ant_id": "ant-1", "ant_host": "test", "retried": 0, "contexts": [], "artifacts": [],
        "task_order": order, "count_services": 0, "cost_factor": 1.0, "started_at": "<time>",
        "ended_at": "<time>", "updated_at": "<time>", "stdout": null
    });
    for (name, value) in differs.as_object().unwrap() {
        task[name] = value.clone();
    }
    task
}

/// The execution with ids and times, and texts that other crates choose, replaced.
fn comparable(execution: &Value) -> Value {
    let mut execution = redacted(execution);
    for task in execution["tasks"].as_array_mut().unwrap() {
        for artifact in task["artifacts"].as_array_mut().unwrap() {
            artifact["name"] = "<name>".into();
            artifact["content_type"] = "<type>".into();
            artifact["url"] = "<url>".into();
        }
    }
    execution
}

both_databases! {
    /// Checklist 15.
    fn an_execution_has_every_member_of_the_specification(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            kit.save(&format!("sem_version: 1.2\n{TWO}")).await;
            let id = kit.submit_id("two").await;
            let log = line("hello");
            let outputs = BTreeMap::from([("Count".to_owned(), "5".to_owned())]);
            ant.work(End { log: log.clone(), outputs, ..End::default() }).await;
            ant.work(End { log: log.clone(), ..End::default() }).await;
            let request = kit.wait(&id, "COMPLETED").await;
            let execution = &request["execution"];
            assert_eq!(execution["id"], request["job_execution_id"]);
            assert_eq!(execution["job_request_id"], request["id"]);
            assert_eq!(execution["tasks"][0]["job_execution_id"], execution["id"]);
            let logs = |name: &str| json!([log_artifact(name, log.len())]);
            let count = &execution["contexts"][0];
            assert_eq!((&count["name"], &count["value"]), (&json!("Count"), &json!("5")));
            let own = context("Count", count["kind"].as_str().unwrap(), "5", "task_execution_id");
            let with = context("AntID", "string", "ant-1", "task_execution_id");
            let url = |task: usize| {
                let sha256 = execution["tasks"][task]["artifacts"][0]["sha256"].as_str().unwrap();
                format!("/api/artifacts/{sha256}/download")
            };
            let job_definition_id = &execution["contexts"][1]["value"];
            assert_eq!(*job_definition_id, request["job_definition_id"]);
            let expected = json!({
                "id": "<id>", "job_request_id": "<id>", "job_type": "two", "job_version": "1.2",
                "job_state": "COMPLETED", "organization_id": "", "user_id": "",
                "current_task": "", "exit_code": "0", "exit_message": "", "error_code": "",
                "error_message": "",
                "contexts": [
                    context("Count", count["kind"].as_str().unwrap(), "5", "job_execution_id"),
                    context("JobDefinitionID", "string", "<id>", "job_execution_id"),
                    context("WorkflowInternalVersion", "int64", "0", "job_execution_id"),
                    context("WorkflowVersion", "string", "1.2", "job_execution_id"),
                    context("a-status", "string", "COMPLETED", "job_execution_id"),
                    context("a_ArtifactURL_1", "string", &url(0), "job_execution_id"),
                    context("b-status", "string", "COMPLETED", "job_execution_id"),
                    context("b_ArtifactURL_1", "string", &url(1), "job_execution_id"),
                ],
                "tasks": [
                    task("a", 0, &json!({"contexts": [with, own], "artifacts": logs("a")})),
                    task("b", 1, &json!({"contexts": [with], "artifacts": logs("b")})),
                ],
                "started_at": "<time>", "ended_at": "<time>", "updated_at": "<time>",
                "cpu_secs": execution["cpu_secs"]
            });
            assert_eq!(comparable(execution), expected);
            // Lists do not carry executions.
            let list = kit.get("/api/jobs/requests").await.expect(200);
            assert_eq!(list["Records"][0]["execution"], Value::Null);
        });
    }

    fn contexts_show_what_became_of_tasks_and_job_retry_counts(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            kit.save("
job_type: again
retry: 1
delay_between_retries: 1ms
tasks:
- task_type: a
  method: SHELL
  environment: {TRY: '{{.JobRetry}}'}
  script: [x]
  on_exit_code: {4: COMPLETED}
  on_completed: b
- task_type: b
  method: SHELL
  script: ['b {{.JobRetry}} {{index . \"a-status\"}} {{.a_ArtifactURL_1}}']
").await;
            let id = kit.submit_id("again").await;
            let order = ant.order().await;
            assert_eq!((&*order.environment["JobRetry"], &*order.environment["TRY"]), ("0", "0"));
            ant.end(&order, End { exit_code: 4, ..End::default() }).await;
            let order = ant.order().await;
            assert!(order.phases.script[0].starts_with("b 0 COMPLETED /api/artifacts/"), "{order:?}");
            ant.end(&order, End { exit_code: 1, ..End::default() }).await;
            // The second attempt of the job skips what completed.
            let order = ant.order().await;
            assert_eq!((&*order.task_type, &*order.environment["JobRetry"]), ("b", "1"));
            assert!(order.phases.script[0].starts_with("b 1 COMPLETED"), "{order:?}");
            ant.end(&order, End::default()).await;
            let request = kit.wait(&id, "COMPLETED").await;
            assert_eq!(request["retried"], 1);
            let contexts = |owner: &Value| -> BTreeMap<String, Value> {
                let list = owner["contexts"].as_array().unwrap();
                let pair = |one: &Value| (one["name"].as_str().unwrap().to_owned(), one["value"].clone());
                list.iter().map(pair).collect()
            };
            let execution = &request["execution"];
            assert_eq!(contexts(execution)["b-status"], "COMPLETED");
            assert!(contexts(execution)["b_ArtifactURL_2"].as_str().unwrap().ends_with("/download"));
            let task = contexts(&execution["tasks"][0]);
            assert_eq!((&task["OldStatus"], &task["AntID"]), (&json!("FAILED"), &json!("ant-1")));
        });
    }

    fn the_second_attempt_of_a_job_sees_what_the_first_one_exported(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            kit.save("
job_type: alone
retry: 1
delay_between_retries: 1ms
tasks:
- task_type: a
  method: SHELL
  script: ['x {{.JobRetry}} {{.Count}}']
").await;
            let id = kit.submit_id("alone").await;
            let outputs = BTreeMap::from([("Count".to_owned(), "7".to_owned())]);
            ant.work(End { exit_code: 1, outputs, ..End::default() }).await;
            let order = ant.order().await;
            assert_eq!(order.phases.script[0], "x 1 7");
            ant.end(&order, End::default()).await;
            kit.wait(&id, "COMPLETED").await;
        });
    }

    fn a_running_and_a_failed_execution_say_where_they_are(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            kit.save(TWO).await;
            let id = kit.submit_id("two").await;
            let order = ant.order().await;
            let running = kit.wait(&id, "EXECUTING").await;
            let execution = &running["execution"];
            assert_eq!(execution["job_state"], "EXECUTING");
            assert_eq!(execution["current_task"], "a");
            assert_eq!(execution["ended_at"], Value::Null);
            assert_eq!(execution["tasks"].as_array().unwrap().len(), 1);
            ant.end(&order, End { exit_code: 3, ..End::default() }).await;
            let failed = kit.wait(&id, "FAILED").await;
            let execution = &failed["execution"];
            assert_eq!(execution["exit_code"], "3");
            assert_eq!(failed["error_code"], execution["error_code"]);
            assert_ne!(failed["error_code"], "");
            let task = &execution["tasks"][0];
            assert_eq!((&task["task_state"], &task["exit_code"]), (&json!("FAILED"), &json!("3")));
            assert_eq!(task["failed_command"], "false");
        });
    }
}
