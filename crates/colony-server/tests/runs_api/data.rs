//! Lines 43 to 46 and 48 to 53: run data.

use colony_testkit::both_databases;
use serde_json::{Value, json};

use crate::support::{NIL, Server, id, in_each_dialect, later_than, millis};

/// A run with a task and the path of its data.
async fn place(server: &Server) -> (Value, Value, String) {
    let run = server.new_run().await;
    let task = server.new_task(&run).await;
    let path = format!("/runs/{}/data", id(&run));
    (run, task, path)
}

async fn write(server: &Server, path: &str, task: &Value, key: &str, tags: Value) -> Value {
    let body = json!({ "key": key, "value": 1, "taskId": task["id"], "tags": tags });
    server.post(path, body).await.expect(201)
}

both_databases! {
    fn line_43_new_entries(db) {
        in_each_dialect(&db, async |server: Server| {
            let (_, task, path) = place(&server).await;
            let body = json!({ "key": "k", "value": null, "taskId": task["id"] });
            let first = server.post(&path, body.clone()).await.expect(201);
            assert_eq!(first["tags"], json!([]));
            assert_eq!(first.get("value"), Some(&Value::Null));
            assert_eq!(first["createdAt"], first["updatedAt"]);
            let second = server.post(&path, body).await.expect(201);
            assert_ne!(first["id"], second["id"]);
        });
    }

    fn line_44_keys(db) {
        in_each_dialect(&db, async |server: Server| {
            let (_, task, path) = place(&server).await;
            for (key, status) in [
                (String::new(), 400), ("x".repeat(255), 201), ("x".repeat(256), 400),
                ("😀".repeat(127), 201), ("😀".repeat(128), 400),
            ] {
                let body = json!({ "key": key, "value": 1, "taskId": task["id"] });
                server.post(&path, body).await.expect(status);
            }
        });
    }

    fn line_45_tags(db) {
        in_each_dialect(&db, async |server: Server| {
            let (_, task, path) = place(&server).await;
            let body = |tags: Value| json!({ "key": "k", "value": 1, "taskId": task["id"], "tags": tags });
            server.post(&path, body(json!([1, "b", null]))).await
                .invalid(&[json!(["tags", 0]), json!(["tags", 2])]);
            server.post(&path, body(Value::Null)).await.invalid(&[json!(["tags"])]);
            let verbatim = json!(["b", "a", "b", ""]);
            let entry = server.post(&path, body(verbatim.clone())).await.expect(201);
            assert_eq!(entry["tags"], verbatim);
            let many: Vec<String> = (0..10_000).map(|n| format!("tag-{n}")).collect();
            let entry = server.post(&path, body(json!(many))).await.expect(201);
            assert_eq!(entry["tags"].as_array().unwrap().len(), 10_000);
        });
    }

    fn line_46_runs_and_tasks_that_are_not_there(db) {
        in_each_dialect(&db, async |server: Server| {
            let (_, task, path) = place(&server).await;
            let (_, other, _) = place(&server).await;
            let body = |task: &str| json!({ "key": "k", "value": 1, "taskId": task });
            let text = format!("Run not found: {NIL}");
            server.post(&format!("/runs/{NIL}/data"), body(id(&task))).await.refused(404, &text);
            for missing in [NIL, id(&other)] {
                let text = format!("Task not found: {missing}");
                server.post(&path, body(missing)).await.refused(404, &text);
            }
        });
    }

    fn line_48_the_query_is_checked_before_the_run(db) {
        in_each_dialect(&db, async |server: Server| {
            let path = format!("/runs/{NIL}/data");
            let body = server.get(&format!("{path}?limit=0")).await.invalid(&[json!(["limit"])]);
            assert_eq!(body["error"], "Invalid query parameters");
            server.get(&path).await.refused(404, &format!("Run not found: {NIL}"));
        });
    }

    fn line_49_changing_tags(db) {
        in_each_dialect(&db, async |server: Server| {
            let (_, task, path) = place(&server).await;
            let (_, _, elsewhere) = place(&server).await;
            let entry = write(&server, &path, &task, "k", json!(["cfg", "b"])).await;
            let tags = format!("{path}/{}/tags", id(&entry));
            for (body, expected) in [
                (json!({ "add": ["cfg", "new", "zz"] }), json!(["cfg", "b", "new", "zz"])),
                (json!({ "remove": ["new"], "add": ["new", "tail"] }), json!(["cfg", "b", "zz", "new", "tail"])),
                (json!({}), json!(["cfg", "b", "zz", "new", "tail"])),
            ] {
                let after = server.patch(&tags, body).await.expect(200);
                assert_eq!(after["tags"], expected);
            }
            server.patch(&tags, json!({ "add": "x" })).await.invalid(&[json!(["add"])]);
            let wrong = format!("{elsewhere}/{}/tags", id(&entry));
            server.patch(&wrong, json!({})).await.refused(404, &format!("Run data not found: {}", id(&entry)));
        });
    }

    fn line_50_a_change_of_tags_makes_nothing_newer(db) {
        in_each_dialect(&db, async |server: Server| {
            let (_, task, path) = place(&server).await;
            let first = write(&server, &path, &task, "k", json!([])).await;
            let second = write(&server, &path, &task, "k", json!([])).await;
            later_than(&second["updatedAt"]).await;
            let tags = format!("{path}/{}/tags", id(&first));
            let tagged = server.patch(&tags, json!({ "add": ["x"] })).await.expect(200);
            assert_eq!(tagged["createdAt"], first["createdAt"]);
            assert!(millis(&tagged["updatedAt"]) > millis(&first["updatedAt"]));
            let latest = server.get(&format!("{path}?key=k")).await.expect(200);
            assert_eq!(latest["data"][0]["id"], second["id"]);
        });
    }

    fn line_51_deleting(db) {
        in_each_dialect(&db, async |server: Server| {
            let (_, task, path) = place(&server).await;
            let (_, other_task, other) = place(&server).await;
            for _ in 0..3 {
                write(&server, &path, &task, "config.a", json!([])).await;
            }
            let nothing = "No matching run data found";
            server.delete(&format!("{path}?key=config.*")).await.refused(404, nothing);
            let deleted = server.delete(&format!("{path}?key=config.a")).await.expect(200);
            assert_eq!(deleted, json!({ "deleted": 3 }));
            server.delete(&format!("{path}?key=config.a")).await.refused(404, nothing);
            let entry = write(&server, &path, &task, "x", json!([])).await;
            let foreign = write(&server, &other, &other_task, "x", json!([])).await;
            let deleted = server.delete(&format!("{path}?id={}", id(&entry))).await.expect(200);
            assert_eq!(deleted, json!({ "deleted": 1 }));
            server.delete(&format!("{path}?id={}", id(&foreign))).await.refused(404, nothing);
        });
    }

    fn line_52_deleting_without_saying_what(db) {
        in_each_dialect(&db, async |server: Server| {
            let (_, _, path) = place(&server).await;
            for query in ["", "?key=", "?id=", "?id=abc", "?key=a&key=b"] {
                server.delete(&format!("{path}{query}")).await.expect(400);
            }
        });
    }

    fn line_53_an_id_goes_before_a_key(db) {
        in_each_dialect(&db, async |server: Server| {
            let (_, task, path) = place(&server).await;
            write(&server, &path, &task, "k", json!([])).await;
            let entry = write(&server, &path, &task, "other", json!([])).await;
            let path_both = format!("{path}?key=k&id={}", id(&entry));
            assert_eq!(server.delete(&path_both).await.expect(200), json!({ "deleted": 1 }));
            let left = server.get(&path).await.expect(200);
            assert_eq!(left["data"][0]["key"], "k");
        });
    }
}
