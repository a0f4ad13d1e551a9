//! What is decided from a task as rendered for its request: fan-outs, tags, and how long artifacts
//! are kept.

use std::time::Duration;

use colony_core::id::{ArtifactId, IdSource as _, MonotonicIds};
use colony_core::state::JobState;
use colony_core::time::SystemClock;
use colony_engine::Submit;
use colony_testkit::{block_on, both_databases, wait_for_async};
use colony_wire::StoredObject;
use serde_json::{Map, Value};

use crate::ant::{ScriptedAnt, report};
use crate::kit::{DEADLINE, Kit};

fn job(members: &str) -> String {
    format!(
        "job_type: j\nmax_concurrency: 9\ntasks:\n- task_type: t\n  method: SHELL\n  script: [x]\n{members}"
    )
}

fn with(name: &str, value: &str) -> Submit {
    let mut params = Map::new();
    params.insert(name.to_owned(), Value::from(value));
    Submit {
        job_type: "j".to_owned(),
        params,
        ..Submit::default()
    }
}

async fn waits_for(kit: &Kit, id: &str, reason: &str) {
    wait_for_async(DEADLINE, async || {
        match kit.request(id).await.error_message {
            said if said.contains(reason) => Ok(()),
            said => Err(said),
        }
    })
    .await;
}

both_databases! {
    fn a_fan_out_is_refused_rather_than_run_once(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let fan_out = "  retry: 3\n  fan_out: {source: l, item_var: i}\n  on_completed: after\n\
                           - task_type: after\n  method: SHELL\n  script: [y]\n\
                           - task_type: tidy\n  method: SHELL\n  always_run: true\n  script: [z]\n";
            for (script, method) in [("x", "SHELL"), ("x{{.JobType}}", "SHELL"), ("x", "WORKER")] {
                let text = job(fan_out).replacen("[x]", &format!("['{script}']"), 1);
                kit.save(&text.replacen("SHELL", method, 1)).await;
                let id = kit.submit("j").await;
                // Clean-up runs, the task itself never does.
                assert_eq!(ant.work(1, &[]).await, ["tidy"]);
                let request = kit.wait(&id, JobState::Failed).await;
                assert_eq!(request.error_code, "ERR_VALIDATION");
                assert!(request.error_message.contains("fan_out"), "{}", request.error_message);
                assert_eq!(kit.execution(&id).await.tasks[0].row.retries, 0);
            }
        });
    }

    fn tags_are_rendered_with_the_parameters(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &["small"], true).await;
            for (tags, kind) in [
                ("['{{.Kind}}', small]", "SMALL"),
                ("{{.Kind}}", "[SMALL]"),
                ("\n  - {{.Kind}}\n  - small", "Small"),
            ] {
                kit.save(&job(&format!("  tags: {tags}\n"))).await;
                let id = kit.submit_with(with("Kind", kind)).await;
                assert_eq!(ant.work(1, &[]).await, ["t"], "{tags}");
                kit.wait(&id, JobState::Completed).await;
            }
        });
    }

    fn a_request_waits_for_its_own_tags_and_holds_up_no_other(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(&job("  tags: ['{{.Kind}}']\n")).await;
            let mut small = ScriptedAnt::connect(&kit.engine, "one", &["small"], false).await;
            let first = kit.submit_with(with("Kind", "gpu")).await;
            waits_for(&kit, &first, "no ant offers SHELL with tags gpu, which task t needs").await;
            let second = kit.submit_with(with("Kind", "small")).await;
            assert_eq!(small.work(1, &[]).await, ["t"]);
            kit.wait(&second, JobState::Completed).await;
            let mut gpu = ScriptedAnt::connect(&kit.engine, "two", &["GPU"], false).await;
            assert_eq!(gpu.work(1, &[]).await, ["t"]);
            kit.wait(&first, JobState::Completed).await;
        });
    }

    fn tags_may_come_from_an_earlier_task(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let next = "  on_completed: next\n- task_type: next\n  method: SHELL\n  tags: ['{{.Kind}}']\n  script: [y]\n";
            kit.save(&job(next)).await;
            let mut small = ScriptedAnt::connect(&kit.engine, "one", &[], false).await;
            let id = kit.submit("j").await;
            let order = small.order().await;
            let mut gpu = ScriptedAnt::connect(&kit.engine, "two", &["gpu"], false).await;
            let mut ended = report(order.attempt, 0);
            ended.outputs.insert("Kind".to_owned(), "gpu".to_owned());
            small.say(colony_wire::AntMessage::Report(Box::new(ended))).await;
            assert_eq!(gpu.work(1, &[]).await, ["next"]);
            kit.wait(&id, JobState::Completed).await;
        });
    }

    fn a_tag_without_a_value_is_refused(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let _ant = ScriptedAnt::connect(&kit.engine, "ant", &["small"], true).await;
            kit.save(&job("  tags: ['{{.Kind}}']\n")).await;
            let id = kit.submit("j").await;
            let request = kit.wait(&id, JobState::Failed).await;
            assert_eq!(request.error_code, "ERR_VALIDATION");
            assert!(request.error_message.contains("has no value"), "{}", request.error_message);
            // One that is empty asks for nothing.
            kit.save(&job("  tags: ['{{if .Kind}}gpu{{end}}']\n")).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "any", &[], true).await;
            let id = kit.submit("j").await;
            assert_eq!(ant.work(1, &[]).await, ["t"]);
            kit.wait(&id, JobState::Completed).await;
        });
    }

    fn artifacts_are_kept_as_long_as_the_definition_says(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
            for (expiry, expected) in [
                ("", days(1000)),
                (", expires_after: 48h", days(2)),
                (", expire_after: 24h", days(1)),
                (", expires_after: '{{.Kept}}'", days(3)),
            ] {
                kit.save(&job(&format!("  artifacts: {{paths: [a]{expiry}}}\n"))).await;
                let id = kit.submit_with(with("Kept", "72h")).await;
                let order = ant.order().await;
                let mut ended = report(order.attempt, 0);
                ended.artifacts = Some(StoredObject {
                    artifact_id: ArtifactId::new(MonotonicIds::new(SystemClock).next_uuid()),
                    object_key: id.clone(),
                    name: "a.zip".to_owned(),
                    content_type: "application/zip".to_owned(),
                    size_bytes: 1,
                    sha256: "00".to_owned(),
                });
                ant.say(colony_wire::AntMessage::Report(Box::new(ended))).await;
                kit.wait(&id, JobState::Completed).await;
                let task = kit.execution(&id).await.tasks.remove(0);
                let kept = |kind: &str| {
                    let row = task.artifacts.iter().find(|row| row.kind == kind).unwrap();
                    row.expires_at.since(row.created_at)
                };
                assert_eq!(kept("TASK_ARTIFACTS"), expected, "{expiry}");
                assert_eq!(kept("LOGS"), days(1000), "{expiry}");
            }
        });
    }
}
