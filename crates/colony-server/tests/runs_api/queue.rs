//! The work queue: claims, leases, heartbeats, reports, delays, priorities.

use std::time::Instant;

use colony_testkit::{block_on, both_databases, wait_for_async};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{KEY, NIL, OTHER_KEY, Reply, SOON, Server, id};

async fn claim(server: &Server, body: Value) -> Vec<Value> {
    let claimed = server.post("/tasks/claim", body).await.expect(200);
    claimed["tasks"].as_array().unwrap().clone()
}

/// Waits until the task has that status.
async fn until(server: &Server, task: &Value, status: &str) -> Value {
    let path = format!("/tasks/{}", id(task));
    wait_for_async(SOON, async || {
        let task = server.get(&path).await.expect(200);
        if task["status"] == status {
            Ok(task)
        } else {
            Err(task)
        }
    })
    .await
}

both_databases! {
    fn a_claim_gives_a_lease_and_a_report_ends_it(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let task = server.new_task(&run).await;
            let claimed = claim(&server, json!({ "types": ["t"], "workerId": "w1" })).await;
            assert_eq!(claimed[0]["id"], task["id"]);
            assert_eq!(claimed[0]["status"], "running");
            assert!(claimed[0]["startedAt"].is_string() && claimed[0]["leaseExpiresAt"].is_string());
            assert_eq!(claim(&server, json!({ "types": ["t"] })).await.len(), 0);
            let report = json!({ "status": "completed", "outputData": 7, "leaseToken": claimed[0]["leaseToken"] });
            let done = server.change_task(&task, report.clone()).await;
            assert_eq!((&done["status"], &done["outputData"]), (&json!("completed"), &json!(7)));
            let path = format!("/tasks/{}", id(&task));
            let again = server.patch(&path, report).await.expect(409);
            assert_eq!(again["error"], "Lease is not current");
            assert_eq!(again["task"]["status"], "completed");
            assert_eq!(server.counts(&run).await, (1, 0));
        });
    }

    /// More than one transaction takes, so that some claims are answered by the next one: none
    /// may wait while there are tasks.
    fn large_claims_together_get_all_tasks_at_once(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let task = json!({ "runId": run["id"], "type": "t", "inputData": 1 });
            let batch = json!({ "tasks": vec![task; 1000] });
            for _ in 0..4 {
                server.post("/tasks/batch", batch.clone()).await.expect(201);
            }
            let start = Instant::now();
            let body = json!({ "types": ["t"], "limit": 400, "waitMs": 60_000 });
            let claims = join_all((0..10).map(|_| claim(&server, body.clone()))).await;
            let counts: Vec<usize> = claims.iter().map(Vec::len).collect();
            assert_eq!(counts.iter().sum::<usize>(), 4000, "{counts:?}");
            assert!(start.elapsed().as_secs() < 30);
        });
    }

    /// The end of a wait cuts off no answer that is under way: nothing is taken and put back.
    fn short_waits_of_many_empty_a_queue(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let task = json!({ "runId": run["id"], "type": "t", "inputData": 1 });
            let batch = json!({ "tasks": vec![task; 1000] });
            for _ in 0..2 {
                server.post("/tasks/batch", batch.clone()).await.expect(201);
            }
            let body = json!({ "types": ["t"], "limit": 100, "waitMs": 1 });
            let empty = async || {
                let mut tokens = Vec::new();
                loop {
                    let claimed = claim(&server, body.clone()).await;
                    if claimed.is_empty() {
                        return tokens;
                    }
                    tokens.extend(claimed.iter().map(|task| task["leaseToken"].to_string()));
                }
            };
            let tokens: Vec<String> = join_all((0..16).map(|_| empty())).await.concat();
            assert_eq!(tokens.len(), 2000);
            let first = tokens.iter().filter(|token| token.ends_with(".1\""));
            assert_eq!(first.count(), 2000, "some were given back");
        });
    }

    fn a_token_counts_in_the_header_too(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let task = server.new_task(&server.new_run().await).await;
            let claimed = claim(&server, json!({ "types": ["t"] })).await;
            let token = claimed[0]["leaseToken"].as_str().unwrap();
            let patch = |token: &str| {
                let request = server.as_key(KEY, "PATCH", &format!("/tasks/{}", id(&task)));
                request.header("x-lease-token", token).json(&json!({ "status": "completed" }))
            };
            for wrong in ["nonsense", &format!("{NIL}.1"), &format!("{}.99", id(&task))] {
                Reply::of(patch(wrong)).await.expect(409);
            }
            Reply::of(patch(token)).await.expect(200);
        });
    }

    fn a_waiting_claim_is_answered_when_a_task_is_created(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let start = Instant::now();
            let (claimed, task) = tokio::join!(
                claim(&server, json!({ "types": ["other", "late"], "waitMs": 20_000 })),
                async {
                    // Whichever comes first, the claim gets it.
                    server.new_task_of(&run, "late").await
                },
            );
            assert_eq!(claimed[0]["id"], task["id"]);
            assert!(start.elapsed() < SOON / 2);
            assert!(claim(&server, json!({ "types": ["late"], "waitMs": 50 })).await.is_empty());
        });
    }

    fn sixty_four_waiting_claims_share_what_comes(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let body = json!({ "types": ["t"], "waitMs": 20_000 });
            let claims = join_all((0..64).map(|_| claim(&server, body.clone())));
            let tasks = join_all((0..64).map(|_| server.new_task(&run)));
            let (claims, _) = tokio::join!(claims, tasks);
            let mut ids: Vec<String> = claims.iter().flatten().map(|task| id(task).to_owned()).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), 64);
        });
    }

    fn priorities_age_and_types(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let task = async |kind: &str, priority: i64, n: i64| {
                server.post("/tasks", json!({
                    "runId": run["id"], "type": kind, "inputData": n, "priority": priority,
                })).await.expect(201)
            };
            task("a", 5, 1).await;
            task("b", 1, 2).await;
            task("a", 1, 3).await;
            task("a", 0, 4).await;
            task("c", 0, 5).await;
            let claimed = claim(&server, json!({ "types": ["a", "b"], "limit": 10 })).await;
            let order: Vec<i64> = claimed.iter().map(|task| task["inputData"].as_i64().unwrap()).collect();
            assert_eq!(order, [4, 2, 3, 1]);
        });
    }

    fn other_organizations_claim_nothing(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            server.new_task(&server.new_run().await).await;
            let body = json!({ "types": ["t"] });
            let request = server.as_key(OTHER_KEY, "POST", "/tasks/claim").json(&body);
            assert_eq!(Reply::of(request).await.expect(200)["tasks"], json!([]));
        });
    }

    fn a_lease_that_runs_out_makes_the_task_retry_and_then_fail(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let task = server.post("/tasks", json!({
                "runId": run["id"], "type": "t", "inputData": 1, "maxRetries": 1,
            })).await.expect(201);
            let body = json!({ "types": ["t"], "workerId": "w1", "leaseMs": 100, "waitMs": 20_000 });
            let first = claim(&server, body.clone()).await;
            let second = claim(&server, body).await;
            assert_eq!(second[0]["id"], task["id"]);
            assert_eq!(second[0]["retryCount"], 1);
            assert_ne!(first[0]["leaseToken"], second[0]["leaseToken"]);
            let late = json!({ "status": "completed", "leaseToken": first[0]["leaseToken"] });
            server.patch(&format!("/tasks/{}", id(&task)), late).await.expect(409);
            let failed = until(&server, &task, "failed").await;
            assert_eq!(failed["errorData"]["code"], "LEASE_EXPIRED");
            let message = failed["errorData"]["message"].as_str().unwrap();
            assert!(message.contains("lease expired") && message.contains("w1"), "{message}");
            assert_eq!(server.counts(&run).await, (0, 1));
        });
    }

    fn heartbeats_keep_leases_and_tell_of_a_cancel(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let tasks = [server.new_task(&run).await, server.new_task(&run).await];
            let claimed = claim(&server, json!({ "types": ["t"], "limit": 2, "leaseMs": 2_000 })).await;
            let tokens: Vec<&Value> = claimed.iter().map(|task| &task["leaseToken"]).collect();
            let beat = async || {
                let body = json!({ "leaseTokens": tokens, "leaseMs": 60_000 });
                server.post("/tasks/heartbeat", body).await.expect(200)["leases"].clone()
            };
            let held = beat().await;
            assert_eq!((&held[0]["renewed"], &held[0]["stop"]), (&json!(true), &json!(false)));
            assert!(held[0]["leaseExpiresAt"].as_str() > claimed[0]["leaseExpiresAt"].as_str());
            server.change_task(&tasks[1], json!({ "status": "cancelled" })).await;
            let held = beat().await;
            assert_eq!(held[0]["renewed"], true);
            assert_eq!((&held[1]["renewed"], &held[1]["stop"]), (&json!(false), &json!(true)));
            assert_eq!(held[1]["status"], "cancelled");
            let strange = json!({ "leaseTokens": ["nonsense"] });
            let held = server.post("/tasks/heartbeat", strange).await.expect(200);
            assert_eq!(held["leases"][0]["renewed"], false);
        });
    }

    fn retrying_puts_a_task_back_after_a_delay(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let task = server.new_task(&server.new_run().await).await;
            let claimed = claim(&server, json!({ "types": ["t"] })).await;
            let after = server.change_task(&task, json!({
                "status": "retrying", "delayMs": 150, "leaseToken": claimed[0]["leaseToken"],
            })).await;
            assert_eq!(after["retryCount"], 1);
            assert!(claim(&server, json!({ "types": ["t"] })).await.is_empty());
            let again = claim(&server, json!({ "types": ["t"], "waitMs": 20_000 })).await;
            assert_eq!(again[0]["id"], task["id"]);
        });
    }

    fn a_delayed_task_is_offered_later(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let body = json!({ "runId": run["id"], "type": "t", "inputData": 1, "delayMs": 150 });
            let task = server.post("/tasks", body).await.expect(201);
            assert!(claim(&server, json!({ "types": ["t"] })).await.is_empty());
            let claimed = claim(&server, json!({ "types": ["t"], "waitMs": 20_000 })).await;
            assert_eq!(claimed[0]["id"], task["id"]);
        });
    }

    fn a_key_for_deduplication_makes_one_task(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let (run, other) = (server.new_run().await, server.new_run().await);
            let body = |run: &Value| json!({ "runId": run["id"], "type": "t", "inputData": 1, "dedupeKey": "d" });
            let first = server.post("/tasks", body(&run)).await.expect(201);
            let again = server.post("/tasks", body(&run)).await.expect(200);
            assert_eq!(first["id"], again["id"]);
            server.post("/tasks", body(&other)).await.expect(201);
            let batch = json!({ "tasks": [body(&run), body(&run)] });
            let batch = server.post("/tasks/batch", batch).await.expect(201);
            assert_eq!(batch["tasks"][1]["id"], first["id"]);
            assert_eq!(server.run(&run).await["totalTasks"], 1);
            assert_eq!(claim(&server, json!({ "types": ["t"], "limit": 10 })).await.len(), 2);
        });
    }

    fn workers_of_external_queues_take_tasks_out_of_ours(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            for change in [json!({ "status": "running" }), json!({ "queueJobId": "1", "status": "queued" })] {
                let task = server.new_task(&run).await;
                server.change_task(&task, change).await;
                assert!(claim(&server, json!({ "types": ["t"] })).await.is_empty());
                server.change_task(&task, json!({ "status": "completed" })).await;
            }
            let task = server.new_task(&run).await;
            server.change_task(&task, json!({ "status": "running" })).await;
            server.change_task(&task, json!({ "status": "retrying" })).await;
            assert_eq!(claim(&server, json!({ "types": ["t"] })).await.len(), 1);
        });
    }

    fn a_patch_without_a_token_ends_the_lease(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let task = server.new_task(&server.new_run().await).await;
            let claimed = claim(&server, json!({ "types": ["t"] })).await;
            server.change_task(&task, json!({ "status": "completed" })).await;
            let late = json!({ "status": "failed", "leaseToken": claimed[0]["leaseToken"] });
            server.patch(&format!("/tasks/{}", id(&task)), late).await.expect(409);
        });
    }

    fn batches_are_all_or_none_and_reports_are_one_by_one(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let task = |run: &Value| json!({ "runId": run, "type": "t", "inputData": 1 });
            let bad = json!({ "tasks": [task(&run["id"]), task(&json!(NIL))] });
            server.post("/tasks/batch", bad).await.refused(404, &format!("Run not found: {NIL}"));
            let invalid = json!({ "tasks": [task(&run["id"]), { "type": 1 }] });
            server.post("/tasks/batch", invalid).await.invalid(&[
                json!(["tasks", 1, "runId"]), json!(["tasks", 1, "type"]), json!(["tasks", 1, "inputData"]),
            ]);
            assert_eq!(server.run(&run).await["totalTasks"], 0);
            let many: Vec<Value> = (0..100).map(|_| task(&run["id"])).collect();
            server.post("/tasks/batch", json!({ "tasks": many })).await.expect(201);
            let claimed = claim(&server, json!({ "types": ["t"], "limit": 100 })).await;
            let mut reports: Vec<Value> = claimed.iter().map(|task| json!({
                "taskId": task["id"], "leaseToken": task["leaseToken"], "status": "completed",
            })).collect();
            reports.push(reports[0].clone());
            reports.push(json!({ "taskId": NIL, "status": "completed" }));
            let results = server.post("/tasks/report", json!({ "reports": reports })).await.expect(200);
            let accepted = results["results"].as_array().unwrap().iter().filter(|result| result["accepted"] == true);
            assert_eq!(accepted.count(), 100);
            assert_eq!(results["results"][100]["status"], "completed");
            assert_eq!(results["results"][101]["error"], format!("Task not found: {NIL}"));
            assert_eq!(server.counts(&run).await, (100, 0));
        });
    }

    fn types_have_bounds(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            for types in [json!([]), json!([""]), json!(["t", "x".repeat(256)]), json!("t")] {
                server.post("/tasks/claim", json!({ "types": types })).await.expect(400);
            }
        });
    }

    fn absurd_limits_are_clamped_and_named(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let body = json!({ "types": ["t"], "limit": 1_000_000, "waitMs": -5, "leaseMs": 1e300 });
            let claimed = server.post("/tasks/claim", body).await.expect(200);
            assert_eq!(claimed["clamped"], json!(["limit", "waitMs", "leaseMs"]));
            assert_eq!((&claimed["limit"], &claimed["waitMs"]), (&json!(1000), &json!(0)));
            assert_eq!(claimed["leaseMs"], 3_600_000);
            for bad in [json!({}), json!({ "types": [] }), json!({ "types": "t" }), json!({ "types": ["t"], "limit": "x" })] {
                server.post("/tasks/claim", bad).await.expect(400);
            }
        });
    }

    fn waiting_for_a_task_ends_with_the_task(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let task = server.new_task(&server.new_run().await).await;
            let path = format!("/tasks/{}?waitMs=20000", id(&task));
            let start = Instant::now();
            let (waited, _) = tokio::join!(
                server.get(&path),
                server.change_task(&task, json!({ "status": "completed" })),
            );
            assert_eq!(waited.expect(200)["status"], "completed");
            assert!(start.elapsed() < SOON / 2);
            let other = server.new_task(&server.new_run().await).await;
            let path = format!("/tasks/{}?waitMs=50", id(&other));
            assert_eq!(server.get(&path).await.expect(200)["status"], "pending");
        });
    }

    fn tasks_claimed_for_someone_who_left_are_given_back(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let body = json!({ "types": ["t"], "waitMs": 20_000, "leaseMs": 3_600_000 });
            let request = server.as_key(KEY, "POST", "/tasks/claim").json(&body);
            let gone = tokio::spawn(request.send());
            // Whether the claim has arrived by then or not, the task must come back.
            server.get("/runs?limit=1").await.expect(200);
            gone.abort();
            let task = server.new_task(&run).await;
            let claimed = claim(&server, json!({ "types": ["t"], "waitMs": 20_000 })).await;
            assert_eq!(claimed[0]["id"], task["id"]);
        });
    }

    fn waiting_workers_cost_no_queries(mut db) {
        // As a queen has it.
        db.config().exclusive = true;
        db.reopen();
        block_on(async {
            let server = Server::classic(&db).await;
            let wait = json!({ "types": ["t", "u"], "waitMs": 60_000 });
            let claims = join_all((0..8).map(|_| server.post("/tasks/claim", wait.clone())));
            let idle = async {
                let mut before = db.stats().statements;
                wait_for_async(SOON, async || {
                    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                    let now = db.stats().statements;
                    let more = now - std::mem::replace(&mut before, now);
                    if now > 0 && more == 0 { Ok(()) } else { Err(more) }
                })
                .await;
                // Longer than any look again would take.
                tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
                assert_eq!(db.stats().statements, before);
            };
            tokio::select! {
                _ = claims => panic!("there is nothing to claim"),
                () = idle => {}
            }
        });
    }
}
