//! Lines 27 to 42: tasks.

use colony_testkit::both_databases;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{NIL, Server, id, in_each_dialect, later_than, millis};

both_databases! {
    fn line_27_a_new_task(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            later_than(&run["updatedAt"]).await;
            let task = server.new_task(&run).await;
            assert_eq!(task["status"], "pending");
            assert_eq!(task["maxRetries"], 3);
            assert_eq!(task["retryCount"], 0);
            assert_eq!(task["runId"], run["id"]);
            assert_eq!(task.get("metadata"), Some(&Value::Null));
            for absent in ["parentTaskId", "outputData", "errorData", "queuedAt", "startedAt",
                "completedAt", "durationMs", "queueJobId"] {
                assert!(task.get(absent).is_none(), "{absent}");
            }
            let path = format!("/tasks/{}", id(&task));
            assert_eq!(server.get(&path).await.expect(200), task);
            let after = server.run(&run).await;
            assert_eq!(after["totalTasks"], 1);
            assert!(millis(&after["updatedAt"]) > millis(&run["updatedAt"]));
        });
    }

    fn line_28_max_retries(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            let body = |value: Value| json!({ "runId": run["id"], "type": "t", "inputData": 1, "maxRetries": value });
            for kept in [0, 10] {
                let task = server.post("/tasks", body(json!(kept))).await.expect(201);
                assert_eq!(task["maxRetries"], kept);
            }
            for bad in [json!(11), json!(-1), json!(2.5), json!("3"), Value::Null] {
                server.post("/tasks", body(bad)).await.invalid(&[json!(["maxRetries"])]);
            }
        });
    }

    fn line_29_types(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            let body = |kind: Value| json!({ "runId": run["id"], "type": kind, "inputData": 1 });
            server.post("/tasks", body(json!(""))).await.invalid(&[json!(["type"])]);
            server.post("/tasks", body(json!("x".repeat(255)))).await.expect(201);
            server.post("/tasks", body(json!("x".repeat(256)))).await.invalid(&[json!(["type"])]);
            server.post("/tasks", body(json!(5))).await.invalid(&[json!(["type"])]);
            server.post("/tasks", body(json!("a\0b"))).await.invalid(&[json!(["type"])]);
            server.post("/tasks", body(json!(" "))).await.expect(201);
        });
    }

    fn line_30_runs_of_tasks(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            let foreign = server.foreign_run().await;
            let body = |run: Value| json!({ "runId": run, "type": "t", "inputData": 1 });
            for bad in [json!("nope"), Value::Null, json!(id(&run).replace('-', ""))] {
                server.post("/tasks", body(bad)).await.invalid(&[json!(["runId"])]);
            }
            for missing in [NIL, id(&foreign)] {
                let text = format!("Run not found: {missing}");
                server.post("/tasks", body(json!(missing))).await.refused(404, &text);
            }
        });
    }

    fn line_31_parents(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            let other = server.new_task(&server.new_run().await).await;
            let parent = server.new_task(&run).await;
            let body = |parent: Value| {
                json!({ "runId": run["id"], "type": "t", "inputData": 1, "parentTaskId": parent })
            };
            for missing in [NIL, id(&other)] {
                let text = format!("Parent task not found: {missing}");
                server.post("/tasks", body(json!(missing))).await.refused(404, &text);
            }
            for bad in [Value::Null, json!("x")] {
                server.post("/tasks", body(bad)).await.invalid(&[json!(["parentTaskId"])]);
            }
            let child = server.post("/tasks", body(parent["id"].clone())).await.expect(201);
            assert_eq!(child["parentTaskId"], parent["id"]);
            assert_eq!(server.run(&run).await["totalTasks"], 2);
        });
    }

    fn line_32_members_that_are_missing(db) {
        in_each_dialect(&db, async |server: Server| {
            let reply = server.post("/tasks", json!({ "type": "a" })).await;
            reply.invalid(&[json!(["runId"]), json!(["inputData"])]);
        });
    }

    fn line_33_thirty_tasks_at_once(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            join_all((0..30).map(|_| server.new_task(&run))).await;
            assert_eq!(server.run(&run).await["totalTasks"], 30);
        });
    }

    fn line_34_from_queued_to_completed(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            let task = server.new_task(&run).await;
            let queued = server.change_task(&task, json!({ "status": "queued" })).await;
            let running = server.change_task(&task, json!({ "status": "running" })).await;
            let done = server.change_task(&task, json!({ "status": "completed" })).await;
            assert_eq!(queued["queuedAt"], done["queuedAt"]);
            assert_eq!(running["startedAt"], done["startedAt"]);
            assert!(millis(&done["queuedAt"]) <= millis(&done["startedAt"]));
            assert!(millis(&done["startedAt"]) <= millis(&done["completedAt"]));
            assert_eq!(server.counts(&run).await, (1, 0));
        });
    }

    fn line_35_retrying_and_failing(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            let task = server.new_task(&run).await;
            let first = server.change_task(&task, json!({ "status": "running" })).await;
            later_than(&first["startedAt"]).await;
            for status in ["retrying", "running"] {
                server.change_task(&task, json!({ "status": status })).await;
            }
            let failed = server.change_task(&task, json!({ "status": "failed" })).await;
            assert_eq!(failed["retryCount"], 1);
            assert_eq!(failed["startedAt"], first["startedAt"]);
            assert_eq!(server.counts(&run).await, (0, 1));
        });
    }

    fn line_36_counters_move_once(db) {
        in_each_dialect(&db, async |server: Server| {
            for (statuses, expected) in [
                (["cancelled", "completed"], (0, 0)),
                (["completed", "failed"], (1, 0)),
                (["completed", "completed"], (1, 0)),
            ] {
                let run = server.new_run().await;
                let task = server.new_task(&run).await;
                for status in statuses {
                    server.change_task(&task, json!({ "status": status })).await;
                }
                assert_eq!(server.counts(&run).await, expected, "{statuses:?}");
            }
        });
    }

    fn line_37_failed_and_completed_later(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            let task = server.new_task(&run).await;
            for status in ["failed", "running", "completed"] {
                server.change_task(&task, json!({ "status": status })).await;
            }
            assert_eq!(server.counts(&run).await, (1, 1));
        });
    }

    fn line_38_every_retrying_counts(db) {
        in_each_dialect(&db, async |server: Server| {
            let task = server.new_task(&server.new_run().await).await;
            let mut after = Value::Null;
            for _ in 0..5 {
                after = server.change_task(&task, json!({ "status": "retrying" })).await;
            }
            assert_eq!(after["retryCount"], 5);
        });
    }

    fn line_39_twenty_ends_at_once(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            let task = server.new_task(&run).await;
            let complete = || server.change_task(&task, json!({ "status": "completed" }));
            join_all((0..20).map(|_| complete())).await;
            assert_eq!(server.counts(&run).await, (1, 0));
        });
    }

    fn line_40_ids_of_external_queues(db) {
        in_each_dialect(&db, async |server: Server| {
            let task = server.new_task(&server.new_run().await).await;
            for shown in ["1", ""] {
                let after = server.change_task(&task, json!({ "queueJobId": shown })).await;
                assert_eq!(after["queueJobId"], shown);
            }
            let path = format!("/tasks/{}", id(&task));
            for bad in [Value::Null, json!("x".repeat(256))] {
                server.patch(&path, json!({ "queueJobId": bad })).await.invalid(&[json!(["queueJobId"])]);
            }
        });
    }

    fn line_41_members_that_never_change(db) {
        in_each_dialect(&db, async |server: Server| {
            let task = server.new_task(&server.new_run().await).await;
            let mut after = server.change_task(&task, json!({
                "completedAt": 1, "type": "x", "maxRetries": 9, "inputData": 9, "retryCount": 9,
            })).await;
            after["updatedAt"] = task["updatedAt"].clone();
            assert_eq!(after, task);
        });
    }

    fn line_42_tasks_of_a_run(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            let tasks = [server.new_task(&run).await, server.new_task(&run).await];
            server.new_task(&server.new_run().await).await;
            let page = server.get(&format!("/tasks?runId={}", id(&run))).await.expect(200);
            assert_eq!(server.rows(&page), &vec![tasks[1].clone(), tasks[0].clone()]);
            let none = server.get(&format!("/tasks?runId={NIL}")).await.expect(200);
            assert!(server.rows(&none).is_empty());
            for bad in ["abc", ""] {
                server.get(&format!("/tasks?runId={bad}")).await.invalid(&[json!(["runId"])]);
            }
        });
    }

    fn tasks_that_are_not_there(db) {
        in_each_dialect(&db, async |server: Server| {
            for missing in [NIL, "nope"] {
                let text = format!("Task not found: {missing}");
                server.get(&format!("/tasks/{missing}")).await.refused(404, &text);
                server.patch(&format!("/tasks/{missing}"), json!({})).await.refused(404, &text);
            }
            server.patch(&format!("/tasks/{NIL}"), json!({ "status": "x" })).await.expect(400);
        });
    }
}
