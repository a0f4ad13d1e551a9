//! The character NUL, which no database text holds: refused in names, kept in values.

use colony_testkit::{block_on, both_databases};
use serde_json::{Value, json};

use crate::support::{KEY, NIL, Reply, Server, id, settings};

/// Members of bodies that are texts, with the path of the problem.
fn texts(run: &Value, task: &Value) -> Vec<(&'static str, String, Value, Value)> {
    let nul = "a\0b";
    let create = |name: &str| {
        let mut body = json!({ "runId": run["id"], "type": "t", "inputData": 1 });
        body[name] = nul.into();
        body
    };
    let data = |name: &str, value: Value| {
        let mut body = json!({ "key": "k", "value": 1, "taskId": task["id"] });
        body[name] = value;
        body
    };
    let (run_data, one) = (
        format!("/runs/{}/data", id(run)),
        format!("/tasks/{}", id(task)),
    );
    let tags = format!("{run_data}/{NIL}/tags");
    vec![
        ("POST", "/tasks".to_owned(), create("type"), json!(["type"])),
        (
            "POST",
            "/tasks".to_owned(),
            create("dedupeKey"),
            json!(["dedupeKey"]),
        ),
        (
            "POST",
            run_data.clone(),
            data("key", nul.into()),
            json!(["key"]),
        ),
        (
            "POST",
            run_data,
            data("tags", json!(["ok", nul])),
            json!(["tags", 1]),
        ),
        ("PATCH", tags, json!({ "add": [nul] }), json!(["add", 0])),
        (
            "PATCH",
            one,
            json!({ "queueJobId": nul }),
            json!(["queueJobId"]),
        ),
        (
            "POST",
            "/tasks/claim".to_owned(),
            json!({ "types": ["t", nul] }),
            json!(["types", 1]),
        ),
        (
            "POST",
            "/tasks/claim".to_owned(),
            json!({ "types": ["t"], "workerId": nul }),
            json!(["workerId"]),
        ),
    ]
}

both_databases! {
    fn nul_is_refused_in_names_with_its_place_and_kept_in_values(db) {
        block_on(async {
            for dialect in crate::support::DIALECTS {
                let server = Server::start(&db, settings(dialect)).await;
                let run = server.new_run().await;
                let task = server.new_task(&run).await;
                for (method, path, body, place) in texts(&run, &task) {
                    let reply = Reply::of(server.as_key(KEY, method, &path).json(&body)).await;
                    reply.invalid(&[place]);
                }
                let data = format!("/runs/{}/data", id(&run));
                for query in ["/runs?status=%00", "/tasks?runId=%00", &format!("{data}?key=a%00"),
                              &format!("{data}?tags=a%00"), &format!("{data}?keyStartsWith=%00")] {
                    server.get(query).await.expect(400);
                }
                for path in ["/runs/%00", "/tasks/a%00b", "/runs/%00/data"] {
                    let status = server.get(path).await.status;
                    assert!([400, 404].contains(&status), "{path}: {status}");
                }
                let value = json!({ "a\0": ["\0", { "b": "\u{1b}\0" }] });
                let body = json!({ "inputData": value, "metadata": value });
                let run = server.post("/runs", body).await.expect(201);
                assert_eq!((&run["inputData"], &run["metadata"]), (&value, &value));
                let body = json!({ "runId": run["id"], "type": "esc\u{1b}\n", "inputData": value });
                let task = server.post("/tasks", body).await.expect(201);
                let ended = json!({ "status": "failed", "outputData": value, "errorData": value });
                let ended = server.change_task(&task, ended).await;
                assert_eq!((&ended["outputData"], &ended["errorData"]), (&value, &value));
                let body = json!({ "key": "k", "value": value, "taskId": task["id"] });
                let path = format!("/runs/{}/data", id(&run));
                assert_eq!(server.post(&path, body).await.expect(201)["value"], value);
                assert_eq!(server.get(&path).await.expect(200)["data"][0]["value"], value);
            }
        });
    }
}
