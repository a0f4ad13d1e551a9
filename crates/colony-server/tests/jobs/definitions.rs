//! Saving, reading, disabling and deleting definitions (`formicary-api` 7.1, 8.1, 8.2).

use colony_testkit::{block_on, both_databases};
use serde_json::{Value, json};

use crate::kit::{Kit, TWO, one_task, redacted};

const NIGHTLY: &str = "\
job_type: nightly-report
max_concurrency: 2
timeout: 30m
job_variables:
  Region: eu
tasks:
- task_type: fetch
  method: SHELL
  retry: 2
  environment:
    A: b
  script:
    - ./fetch.sh
  on_completed: publish
- task_type: publish
  method: SHELL
  tags: [Big]
  script:
    - ./publish.sh
";

fn nightly_json() -> Value {
    json!({
        "id": "<id>", "job_type": "nightly-report", "sem_version": "", "url": "", "user_id": "",
        "organization_id": "", "description": "", "platform": "", "cron_trigger": "",
        "timeout": 1_800_000_000_000_i64, "pause_time": 0, "retry": 0,
        "hard_reset_after_retries": 0, "delay_between_retries": 0, "retry_backoff_policy": null,
        "max_concurrency": 2, "retention_days_for_failed": 0, "retention_days_for_completed": 0,
        "retention_days_for_cancelled": 0, "disabled": false, "public_plugin": false,
        "required_params": [], "tags": "big", "methods": "SHELL",
        "tasks": [
            task_json("fetch", json!({
                "retry": 2, "on_completed": "publish", "on_exit_code": {"COMPLETED": "publish"},
                "script": ["./fetch.sh"], "environment": {"A": "b"}
            })),
            task_json("publish", json!({"script": ["./publish.sh"], "tags": ["big"]})),
        ],
        "created_at": "<time>", "updated_at": "<time>", "job_variables": {"Region": "eu"},
        "notify": null, "resources": resources(), "triggers": []
    })
}

fn resources() -> Value {
    json!({
        "resource_type": "", "description": "", "platform": "", "category": "", "tags": [],
        "value": 0, "extract_config": {"properties": [], "context_prefix": ""}
    })
}

fn task_json(task_type: &str, differs: Value) -> Value {
    let mut task = json!({
        "id": "<id>", "job_definition_id": "<id>", "task_type": task_type, "method": "SHELL",
        "description": "", "allow_failure": false, "allow_start_if_completed": false,
        "always_run": false, "timeout": 0, "delay_between_retries": 0, "retry": 0,
        "retry_backoff_policy": null, "webhook": null, "on_exit_code": {}, "on_completed": "",
        "on_failed": "", "approval_policy": null, "created_at": "<time>", "updated_at": "<time>",
        "report_stdout": false, "variables": {}, "headers": {}, "before_script": [], "script": [],
        "after_script": [], "resources": resources(), "tags": [], "except": "", "job_version": ""
    });
    for (name, value) in differs.as_object().unwrap() {
        task[name] = value.clone();
    }
    task
}

fn id(definition: &Value) -> &str {
    definition["id"].as_str().unwrap()
}

both_databases! {
    fn a_definition_has_every_member_of_the_specification(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let saved = kit.post_yaml(NIGHTLY).await.expect(201);
            assert_eq!(redacted(&saved), nightly_json());
            assert_eq!(id(&saved).len(), 36);
            let tasks = saved["tasks"].as_array().unwrap();
            assert_ne!(tasks[0]["id"], tasks[1]["id"]);
            assert_eq!(tasks[0]["job_definition_id"], saved["id"]);
            for name in [id(&saved), "nightly-report"] {
                let path = format!("/api/jobs/definitions/{name}");
                assert_eq!(kit.get(&path).await.expect(200), saved);
            }
            let yaml = kit.get("/api/jobs/definitions/nightly-report/yaml").await;
            assert_eq!((yaml.status, yaml.text()), (200, NIGHTLY));
            assert_eq!(yaml.headers["content-type"], "text/plain; charset=UTF-8");
        });
    }

    /// Checklist 1 to 3 and 6 of `formicary-api` 13.
    fn versions_follow_the_text(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let first = kit.post_yaml(TWO).await.expect(201);
            let again = kit.post_yaml(TWO).await.expect(200);
            assert_eq!(again, first, "unchanged: nothing is stored");
            let changed = TWO.replace("[one]", "[other]");
            let second = kit.post_yaml(&changed).await.expect(200);
            assert_ne!(id(&second), id(&first));
            let path = |id: &str| format!("/api/jobs/definitions/{id}");
            let retired = kit.get(&path(id(&first))).await.expect(200);
            assert_eq!(retired["tasks"][0]["script"], json!(["one"]));
            let by_type = kit.get(&path("two")).await.expect(200);
            assert_eq!(id(&by_type), id(&second));
            let list = kit.get("/api/jobs/definitions").await.expect(200);
            assert_eq!(list["TotalRecords"], 1);
            // The member of the new text counts; without one it is inherited.
            let with = format!("max_concurrency: 7\n{TWO}");
            assert_eq!(kit.post_yaml(&with).await.expect(200)["max_concurrency"], 7);
            assert_eq!(kit.post_yaml(TWO).await.expect(200)["max_concurrency"], 7);
        });
    }

    fn a_version_is_found_by_its_name(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let old = kit.save(&format!("sem_version: 1.0\n{TWO}")).await;
            let new = kit.save(&format!("sem_version: 2.0\n{TWO}")).await;
            for (query, expected) in [("", &new), ("?version=1.0", &old), ("?version=2.0", &new)] {
                let found = kit.get(&format!("/api/jobs/definitions/two{query}")).await;
                assert_eq!(id(&found.expect(200)), id(expected), "{query}");
            }
            let missing = kit.get("/api/jobs/definitions/two?version=3.0").await;
            assert_eq!(missing.error(), (404, "NotFound".to_owned()));
        });
    }

    /// Checklist 8.
    fn deleting_hides_a_definition_until_it_is_posted_again(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let saved = kit.save(TWO).await;
            let by_id = format!("/api/jobs/definitions/{}", id(&saved));
            kit.delete(&by_id).await.empty();
            assert_eq!(kit.get("/api/jobs/definitions/two").await.status, 404);
            assert_eq!(kit.get(&by_id).await.status, 200);
            let list = kit.get("/api/jobs/definitions").await.expect(200);
            assert_eq!(list["Records"], json!([]));
            kit.delete(&by_id).await.empty();
            let submitted = kit.post_json("/api/jobs/requests", &json!({"job_type": "two"})).await;
            assert_eq!(submitted.error(), (404, "NotFound".to_owned()));
            let posted = kit.post_yaml(TWO).await.expect(200);
            assert_ne!(id(&posted), id(&saved));
            assert_eq!(kit.get("/api/jobs/definitions/two").await.status, 200);
        });
    }

    fn disabling_is_inherited_and_undone(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let saved = kit.save(TWO).await;
            let path = |what: &str| format!("/api/jobs/definitions/{}/{what}", id(&saved));
            for _ in 0..2 {
                kit.post(&path("disable")).await.empty();
            }
            let seen = kit.get("/api/jobs/definitions/two").await.expect(200);
            assert_eq!(seen["disabled"], true);
            let next = kit.post_yaml(&TWO.replace("[one]", "[other]")).await.expect(200);
            assert_eq!(next["disabled"], true);
            // Submitting is still fine.
            kit.submit(&json!({"job_type": "two"})).await;
            for _ in 0..2 {
                kit.post(&format!("/api/jobs/definitions/{}/enable", id(&next))).await.empty();
            }
            let seen = kit.get("/api/jobs/definitions/two").await.expect(200);
            assert_eq!(seen["disabled"], false);
        });
    }

    /// Only ids, not types, may be changed.
    fn unknown_definitions_answer_404(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            let unknown = "00000000-0000-7000-8000-000000000000";
            for (method, path) in [
                ("GET", "/api/jobs/definitions/nope".to_owned()),
                ("GET", "/api/jobs/definitions/nope/yaml".to_owned()),
                ("GET", "/api/jobs/definitions/tw%00o".to_owned()),
                ("GET", "/api/jobs/definitions/%FF".to_owned()),
                ("GET", format!("/api/jobs/definitions/{unknown}")),
                ("DELETE", format!("/api/jobs/definitions/{unknown}")),
                ("DELETE", "/api/jobs/definitions/two".to_owned()),
                ("POST", "/api/jobs/definitions/two/disable".to_owned()),
                ("POST", "/api/jobs/definitions/two/enable".to_owned()),
                ("POST", format!("/api/jobs/definitions/{unknown}/disable")),
            ] {
                let answer = kit.call(method, &path, &[], b"").await;
                assert_eq!(answer.error(), (404, "NotFound".to_owned()), "{method} {path}");
            }
        });
    }

    /// Checklist 4: YAML with any content type, and JSON.
    fn the_body_may_be_yaml_or_json(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let json = json!({"job_type": "from-json", "timeout": 60_000_000_000_i64, "tasks": [
                {"task_type": "a", "method": "SHELL", "script": ["true"], "timeout": "90s"}
            ]});
            for (content_type, body) in [
                ("application/json", one_task("t1")),
                ("", one_task("t2")),
                ("text/yaml; charset=utf-8", one_task("t3")),
                ("APPLICATION/X-YAML", one_task("t4")),
                ("application/json", json.to_string()),
            ] {
                let headers = [("content-type", content_type)];
                let path = "/api/jobs/definitions";
                let answer = kit.call("POST", path, &headers, body.as_bytes()).await;
                assert_eq!(answer.status, 201, "{content_type}: {}", answer.text());
            }
            let saved = kit.get("/api/jobs/definitions/from-json").await.expect(200);
            assert_eq!(saved["timeout"], 60_000_000_000_i64);
            assert_eq!(saved["tasks"][0]["timeout"], 90_000_000_000_i64);
        });
    }

    /// What a definition shows may be posted again.
    fn an_answer_can_be_posted(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut first = kit.save(NIGHTLY).await;
            first["job_type"] = "copy".into();
            let path = "/api/jobs/definitions";
            let copy = kit.post_json(path, &first).await.expect(201);
            let (mut first, mut copy) = (redacted(&first), redacted(&copy));
            for definition in [&mut first, &mut copy] {
                definition.as_object_mut().unwrap().remove("warnings");
            }
            assert_eq!(copy, first);
        });
    }

    fn warnings_come_with_the_answer(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let text = TWO.replace("  script: [two]\n", "");
            let answer = kit.post_yaml(&text).await;
            let body = answer.expect(201);
            let warnings = body["warnings"].as_array().unwrap();
            assert_eq!(answer.headers["x-colony-warnings"], warnings.len().to_string());
            assert!(warnings[0]["line"].as_u64().unwrap() >= 6, "{body}");
            let read = kit.get("/api/jobs/definitions/two").await.expect(200);
            assert_eq!(read.get("warnings"), None);
        });
    }

    /// Two first versions at once: both are stored, one after the other.
    fn saving_at_the_same_time_works(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let other = TWO.replace("[one]", "[other]");
            let (one, two) = tokio::join!(kit.post_yaml(TWO), kit.post_yaml(&other));
            let mut statuses = [one.status, two.status];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 201], "{} {}", one.text(), two.text());
            let list = kit.get("/api/jobs/definitions").await.expect(200);
            assert_eq!(list["TotalRecords"], 1);
        });
    }
}
