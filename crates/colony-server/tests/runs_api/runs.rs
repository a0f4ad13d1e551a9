//! Lines 11 to 26: runs.

use colony_testkit::both_databases;
use serde_json::{Value, json};

use crate::support::{NIL, OTHER_KEY, Reply, Server, id, in_each_dialect, later_than, millis};

async fn patch(server: &Server, run: &Value, body: Value) -> Value {
    let path = format!("/runs/{}", id(run));
    server.patch(&path, body).await.expect(200)
}

/// An organization of its own for lists.
async fn in_org(server: &Server, key: &str, method: &str, path: &str, body: Value) -> Value {
    let request = server.as_key(key, method, path);
    let request = if method == "GET" {
        request
    } else {
        request.json(&body)
    };
    let reply = Reply::of(request).await;
    assert!(reply.status < 300, "{reply:?}");
    reply.body
}

both_databases! {
    fn line_11_a_new_run(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.post("/runs", json!({ "inputData": { "type": "t" } })).await.expect(201);
            assert_eq!(run["status"], "pending");
            for counter in ["totalTasks", "completedTasks", "failedTasks"] {
                assert_eq!(run[counter], 0);
            }
            assert_eq!(run.get("metadata"), Some(&Value::Null));
            for absent in ["outputData", "errorData", "startedAt", "completedAt", "durationMs"] {
                assert!(run.get(absent).is_none(), "{absent}");
            }
            assert_eq!(run["createdAt"], run["updatedAt"]);
            if let Some(text) = run["createdAt"].as_str() {
                assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
            }
            assert_eq!(server.run(&run).await, run);
        });
    }

    fn line_12_any_json_comes_back(db) {
        in_each_dialect(&db, async |server: Server| {
            for value in [
                json!(5), json!("x"), json!(true), Value::Null, json!([]), json!([1, "a", {}]),
                json!("{\"a\":1}"), json!("a \"quoted\"\nline 😀"),
            ] {
                let run = server.post("/runs", json!({ "inputData": value })).await.expect(201);
                assert_eq!(server.run(&run).await["inputData"], value);
            }
        });
    }

    fn line_13_bodies_that_break_rules(db) {
        in_each_dialect(&db, async |server: Server| {
            server.post("/runs", json!({})).await.invalid(&[json!(["inputData"])]);
            for bad in [Value::Null, json!([1]), json!("s")] {
                let body = json!({ "inputData": 1, "metadata": bad });
                server.post("/runs", body).await.invalid(&[json!(["metadata"])]);
            }
            let both = server.post("/runs", json!({ "metadata": 1 })).await;
            let body = both.invalid(&[json!(["inputData"]), json!(["metadata"])]);
            assert_eq!(body["error"], "Invalid request");
            assert_eq!(body["details"][0], json!({
                "code": "invalid_type", "expected": "any", "received": "undefined",
                "path": ["inputData"], "message": "Required",
            }));
        });
    }

    fn line_14_members_that_the_server_sets_are_ignored(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.post("/runs", json!({
                "inputData": 1, "id": NIL, "status": "failed", "orgId": "x", "totalTasks": 7,
            })).await.expect(201);
            assert_ne!(run["id"], NIL);
            assert_eq!(run["status"], "pending");
            assert_eq!(run["orgId"], "acme");
            assert_eq!(run["totalTasks"], 0);
        });
    }

    fn line_15_runs_that_are_not_there(db) {
        in_each_dialect(&db, async |server: Server| {
            let foreign = server.foreign_run().await;
            for missing in [NIL, "non-existent-id", id(&foreign)] {
                let text = format!("Run not found: {missing}");
                let path = format!("/runs/{missing}");
                server.get(&path).await.refused(404, &text);
                server.patch(&path, json!({})).await.refused(404, &text);
            }
            let run = server.new_run().await;
            server.get(&format!("/runs/{}", id(&run).to_uppercase())).await.expect(200);
        });
    }

    fn line_16_a_patch_that_changes_nothing(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            for body in [json!({}), json!({ "unknown": 1, "inputData": 9, "totalTasks": 9 })] {
                let before = server.run(&run).await;
                later_than(&before["updatedAt"]).await;
                let mut after = patch(&server, &run, body).await;
                assert!(millis(&after["updatedAt"]) > millis(&before["updatedAt"]));
                after["updatedAt"] = before["updatedAt"].clone();
                assert_eq!(after, before);
            }
        });
    }

    fn line_17_statuses_that_are_none(db) {
        in_each_dialect(&db, async |server: Server| {
            let path = format!("/runs/{}", id(&server.new_run().await));
            let bad = server.patch(&path, json!({ "status": "queued" })).await;
            let body = bad.invalid(&[json!(["status"])]);
            assert_eq!(body["details"][0]["code"], "invalid_enum_value");
            assert_eq!(body["details"][0]["options"].as_array().unwrap().len(), 5);
            let null = server.patch(&path, json!({ "status": null })).await;
            let body = null.invalid(&[json!(["status"])]);
            assert_eq!(body["details"][0]["message"],
                "Expected 'pending' | 'running' | 'completed' | 'failed' | 'cancelled', received null");
            server.patch(&format!("/runs/{NIL}"), json!({ "status": "x" })).await.expect(400);
        });
    }

    fn line_18_metadata_is_replaced(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            for metadata in [json!({ "a": 1 }), json!({ "b": 2 }), json!({})] {
                let after = patch(&server, &run, json!({ "metadata": metadata })).await;
                assert_eq!(after["metadata"], metadata);
            }
        });
    }

    fn line_19_output_is_any_json_and_null_clears(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            for output in [json!({}), json!([1]), json!("s")] {
                let after = patch(&server, &run, json!({ "outputData": output })).await;
                assert_eq!(after["outputData"], output);
            }
            let after = patch(&server, &run, json!({ "outputData": null })).await;
            assert!(after.get("outputData").is_none());
        });
    }

    fn line_20_the_first_start_stays(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            let first = patch(&server, &run, json!({ "status": "running" })).await;
            later_than(&first["updatedAt"]).await;
            let second = patch(&server, &run, json!({ "status": "running" })).await;
            assert_eq!(first["startedAt"], second["startedAt"]);
        });
    }

    fn line_21_completed_without_a_start(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            later_than(&run["createdAt"]).await;
            let after = patch(&server, &run, json!({ "status": "completed" })).await;
            assert!(after.get("startedAt").is_none());
            let took = millis(&after["completedAt"]) - millis(&after["createdAt"]);
            assert_eq!(after["durationMs"], took);
        });
    }

    fn line_22_a_second_end_and_what_comes_after(db) {
        in_each_dialect(&db, async |server: Server| {
            let run = server.new_run().await;
            let first = patch(&server, &run, json!({ "status": "completed" })).await;
            later_than(&first["completedAt"]).await;
            let second = patch(&server, &run, json!({ "status": "completed" })).await;
            assert!(millis(&second["completedAt"]) > millis(&first["completedAt"]));
            for status in ["running", "pending"] {
                let after = patch(&server, &run, json!({ "status": status })).await;
                assert_eq!(after["status"], status);
                assert_eq!(after["completedAt"], second["completedAt"]);
                assert_eq!(after["durationMs"], second["durationMs"]);
            }
        });
    }

    fn line_23_pages(db) {
        in_each_dialect(&db, async |server: Server| {
            let key = format!("fmn_test_pages-{}_x", server.address.port());
            for n in 0..3 {
                in_org(&server, &key, "POST", "/runs", json!({ "inputData": n })).await;
            }
            for (query, rows) in [("limit=2", vec![2, 1]), ("offset=1", vec![1, 0]), ("offset=99", vec![])] {
                let page = in_org(&server, &key, "GET", &format!("/runs?{query}"), json!(0)).await;
                assert_eq!(page["pagination"]["total"], 3);
                let found: Vec<i64> = server.rows(&page).iter().map(|run| run["inputData"].as_i64().unwrap()).collect();
                assert_eq!(found, rows, "{query}");
            }
        });
    }

    fn line_24_unset_times_when_sorting(db) {
        in_each_dialect(&db, async |server: Server| {
            let key = format!("fmn_test_sorts-{}_x", server.address.port());
            let mut started = Value::Null;
            for n in 0..3 {
                let run = in_org(&server, &key, "POST", "/runs", json!({ "inputData": n })).await;
                if n == 1 {
                    let path = format!("/runs/{}", id(&run));
                    started = in_org(&server, &key, "PATCH", &path, json!({ "status": "running" })).await;
                }
            }
            for (order, expected) in [("desc", [2, 0, 1]), ("asc", [1, 0, 2])] {
                let path = format!("/runs?sortBy=started_at&sortOrder={order}");
                let page = in_org(&server, &key, "GET", &path, json!(0)).await;
                let found: Vec<i64> = server.rows(&page).iter().map(|run| run["inputData"].as_i64().unwrap()).collect();
                assert_eq!(found, expected, "{order}");
            }
            assert_eq!(started["status"], "running");
        });
    }

    fn line_25_filters_by_status(db) {
        in_each_dialect(&db, async |server: Server| {
            let key = format!("fmn_test_filters-{}_x", server.address.port());
            for n in 0..2 {
                let run = in_org(&server, &key, "POST", "/runs", json!({ "inputData": n })).await;
                if n == 1 {
                    let path = format!("/runs/{}", id(&run));
                    in_org(&server, &key, "PATCH", &path, json!({ "status": "running" })).await;
                }
            }
            for (filter, count) in [("running", 1), ("", 2), ("nonsense", 0), ("pending,running", 0)] {
                let page = in_org(&server, &key, "GET", &format!("/runs?status={filter}"), json!(0)).await;
                assert_eq!(server.rows(&page).len(), count, "{filter}");
                assert_eq!(page["pagination"]["total"], count);
            }
        });
    }

    fn line_26_parameters_that_break_rules(db) {
        in_each_dialect(&db, async |server: Server| {
            for (query, name) in [
                ("limit=0", "limit"), ("limit=101", "limit"), ("limit=abc", "limit"),
                ("limit=", "limit"), ("limit=1.5", "limit"), ("limit=1&limit=2", "limit"),
                ("offset=-1", "offset"), ("sortBy=createdAt", "sortBy"), ("sortOrder=ASC", "sortOrder"),
            ] {
                for list in ["/runs", "/tasks"] {
                    let body = server.get(&format!("{list}?{query}")).await.invalid(&[json!([name])]);
                    assert_eq!(body["error"], "Invalid request");
                }
            }
            server.get("/runs?offset=&limit=+5+&unknown=1").await.expect(200);
        });
    }

    fn runs_of_others_are_not_listed(db) {
        in_each_dialect(&db, async |server: Server| {
            server.new_run().await;
            let page = Reply::of(server.as_key(OTHER_KEY, "GET", "/runs?limit=100")).await.expect(200);
            assert!(server.rows(&page).iter().all(|run| run["orgId"] == "other"));
        });
    }
}
