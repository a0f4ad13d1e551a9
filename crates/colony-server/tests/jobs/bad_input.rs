//! What is refused, with which status and which place.

use colony_testkit::{block_on, both_databases};
use serde_json::{Value, json};

use crate::kit::{Kit, TWO, escaped, one_task};

const LIMIT: usize = 1024 * 1024;

/// A valid definition of exactly that many bytes.
fn definition_of(bytes: usize) -> String {
    let mut text = one_task("large");
    text.push_str("# ");
    text.push_str(&"x".repeat(bytes - text.len()));
    text
}

fn invalid() -> (u16, String) {
    (400, "InvalidRequest".to_owned())
}

both_databases! {
    fn bad_definitions_answer_400_with_a_place(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            for (text, line) in [
                ("job_type: x\ntimeout: 10\ntasks:\n- task_type: a\n  method: SHELL\n", 2),
                ("job_type: x\ntasks:\n- task_type: a\n  method: SHELL\n  on_completed: nope\n", 5),
                ("job_type: x\ntasks:\n- task_type: a\n  method: NOPE\n", 4),
                ("job_type: x\ntasks:\n- task_type: a\n  method: SHELL\n- task_type: a\n  method: SHELL\n", 5),
                ("job_type: x\ntasks: [}\n", 2),
                ("{", 1),
            ] {
                let answer = kit.post_yaml(text).await;
                assert_eq!(answer.error(), invalid(), "{text}");
                let detail = &answer.json()["details"][0];
                assert_eq!(detail["line"], line, "{text}: {detail}");
                assert!(detail["column"].as_u64().unwrap() >= 1, "{detail}");
                assert_eq!(detail["path"], "body");
            }
            for (member, line) in [
                (r#"task_type: "a\0b""#, 3),
                (r#"worker_type: "k\ek""#, 4),
                (r#"working_dir: "d\nd""#, 4),
                (r#"tags: ["t\0"]"#, 4),
                (r#"artifacts: {paths: ["p\0"]}"#, 4),
                (r#"environment: {"E\0": x}"#, 4),
                (r#"variables: {"V\e": x}"#, 4),
                (r#"before_script: ["echo \0"]"#, 4),
                (r#"description: "d\0""#, 4),
            ] {
                let name = if line == 3 { member } else { "task_type: a" };
                let rest = if line == 3 { "" } else { member };
                let text = format!("job_type: x\ntasks:\n- {name}\n  {rest}\n  method: SHELL\n  script: [x]\n");
                let answer = kit.post_yaml(&text).await;
                assert_eq!(answer.error(), invalid(), "{text}");
                let detail = &answer.json()["details"][0];
                assert_eq!(detail["line"], line, "{text}: {detail}");
                assert!(detail["message"].as_str().unwrap().contains("control character U+"), "{detail}");
            }
            for text in ["", "tasks: []", "[]", "\0", "job_type: a\0b\ntasks: []", "null", "7"] {
                let answer = kit.post_yaml(text).await;
                assert_eq!(answer.error(), invalid(), "{text:?}");
            }
            let path = "/api/jobs/definitions";
            let binary = kit.call("POST", path, &[], b"job_type: \xff").await;
            assert_eq!(binary.error(), invalid());
            let list = kit.get(path).await.expect(200);
            assert_eq!(list["TotalRecords"], 0, "nothing was stored");
        });
    }

    fn the_limit_of_a_definition_is_exact(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let fits = kit.post_yaml(&definition_of(LIMIT)).await;
            assert_eq!(fits.status, 201, "{}", fits.text());
            for bytes in [LIMIT + 1, LIMIT * 11 / 10] {
                let answer = kit.post_yaml(&definition_of(bytes)).await;
                assert_eq!(answer.error(), invalid());
                assert!(answer.text().contains("1048576 bytes"), "{}", answer.text());
            }
        });
    }

    fn bad_submissions_answer_400_and_name_the_member(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            let with = |name: &str, value: Value| {
                let mut body = json!({"job_type": "two"});
                body[name] = value;
                body.to_string()
            };
            for body in [
                String::new(),
                "{".to_owned(),
                "[]".to_owned(),
                "null".to_owned(),
                "{\"job_type\":\"two\"} x".to_owned(),
                "{\"job_type\":\"two\",\"job_priority\":1e999}".to_owned(),
                format!("{}1{}", "[".repeat(5000), "]".repeat(5000)),
                json!({}).to_string(),
                json!({"job_type": ""}).to_string(),
                json!({"job_type": 7}).to_string(),
                json!({"job_type": null}).to_string(),
                with("params", json!([])),
                with("params", json!("x")),
                with("params", json!({"a": null})),
                with("params", json!({"a": "x".repeat(1_000_001)})),
                with("params", json!({"a": {"b": ["\0"]}})),
                with("params", json!({"a\0": 1})),
                with("params", json!({"a\u{1b}": 1})),
                with("job_version", json!("1\n2")),
                with("platform", json!("a\u{7f}")),
                with("job_group", json!("a\tb")),
                with("description", json!("a\u{1b}[31m")),
                with("scheduled_at", json!("tomorrow")),
                with("scheduled_at", json!("")),
                with("scheduled_at", json!(5)),
                with("job_priority", json!("high")),
                with("job_priority", json!(1.5)),
                with("timeout", json!("10")),
                with("timeout", json!(-1)),
                with("timeout", json!(true)),
                with("user_key", json!("a\0b")),
                with("description", json!("a\0b")),
                with("parent_id", json!("nobody")),
            ] {
                let path = "/api/jobs/requests";
                let answer = kit.call("POST", path, &[], body.as_bytes()).await;
                let start: String = body.chars().take(80).collect();
                assert_eq!(answer.error(), invalid(), "{start}");
            }
            let body = "{\n \"job_type\": 7\n}";
            let answer = kit.call("POST", "/api/jobs/requests", &[], body.as_bytes()).await.json();
            assert_eq!(answer["details"][0]["line"], 2, "{answer}");
            let list = kit.get("/api/jobs/requests").await.expect(200);
            assert_eq!(list["TotalRecords"], 0, "nothing was stored");
        });
    }

    fn a_body_over_the_limit_answers_413(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let body = vec![b' '; 16 * 1024 * 1024 + 1];
            let answer = kit.call("POST", "/api/jobs/requests", &[], &body).await;
            assert_eq!(answer.error(), (413, "TooLarge".to_owned()));
        });
    }

    /// No text in a path or query reaches a database that cannot hold it, or its SQL.
    fn odd_texts_do_no_harm(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let long = "x".repeat(5000);
            for text in ["\0", "'", "\"; DROP TABLE requests; --", "%", "日本", "..", long.as_str()] {
                let text = escaped(text);
                for path in [
                    format!("/api/jobs/definitions/{text}x"),
                    format!("/api/jobs/definitions/{text}x/yaml"),
                    format!("/api/jobs/definitions/x?version={text}"),
                    format!("/api/jobs/requests/{text}x"),
                    format!("/api/jobs/requests/{text}x/logs"),
                    format!("/api/artifacts/{text}x/download"),
                    format!("/api/jobs/definitions?q={text}"),
                    format!("/api/jobs/requests?q={text}&job_type={text}&id={text}"),
                    format!("/api/artifacts?name:like={text}"),
                    format!("/api/jobs/requests?{text}=1"),
                    format!("/api/jobs/requests?order={text}"),
                    format!("/api/jobs/requests?created_at:%3C={text}"),
                ] {
                    let answer = kit.get(&path).await;
                    let fine = matches!(answer.status, 200 | 400 | 404);
                    assert!(fine, "{} {path}: {}", answer.status, answer.text());
                }
            }
            assert_eq!(kit.get("/api/jobs/requests").await.status, 200);
        });
    }
}
