//! `Idempotency-Key`: sending a POST again does nothing twice.

use colony_server::runs::DialectSetting;
use colony_testkit::{block_on, both_databases};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{KEY, OTHER_KEY, Reply, Server, id, settings};

async fn post(server: &Server, key: &str, path: &str, once: &str, body: &Value) -> Reply {
    let request = server
        .as_key(key, "POST", path)
        .header("idempotency-key", once);
    Reply::of(request.json(body)).await
}

both_databases! {
    fn the_same_request_gets_the_same_answer(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let body = json!({ "inputData": 1 });
            let first = post(&server, KEY, "/runs", "k1", &body).await.expect(201);
            let again = post(&server, KEY, "/runs", "k1", &body).await.expect(201);
            assert_eq!(first, again);
            let other = post(&server, KEY, "/runs", "k1", &json!({ "inputData": 2 })).await;
            other.refused(409, "Idempotency-Key was used for another request");
            let elsewhere = json!({ "runId": first["id"], "type": "t", "inputData": 1 });
            post(&server, KEY, "/tasks", "k1", &elsewhere).await.expect(409);
            // Keys of other organizations are other keys.
            let foreign = post(&server, OTHER_KEY, "/runs", "k1", &body).await.expect(201);
            assert_ne!(foreign["id"], first["id"]);
        });
    }

    fn every_post_takes_a_key(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let task = json!({ "runId": run["id"], "type": "t", "inputData": 1 });
            let made = post(&server, KEY, "/tasks", "t1", &task).await.expect(201);
            assert_eq!(post(&server, KEY, "/tasks", "t1", &task).await.expect(201), made);
            let batch = json!({ "tasks": [task, task] });
            let batched = post(&server, KEY, "/tasks/batch", "b1", &batch).await.expect(201);
            assert_eq!(post(&server, KEY, "/tasks/batch", "b1", &batch).await.expect(201), batched);
            assert_eq!(server.run(&run).await["totalTasks"], 3);
            let data = format!("/runs/{}/data", id(&run));
            let entry = json!({ "key": "k", "value": 1, "taskId": made["id"] });
            let written = post(&server, KEY, &data, "d1", &entry).await.expect(201);
            assert_eq!(post(&server, KEY, &data, "d1", &entry).await.expect(201), written);
            let claim = json!({ "types": ["t"], "limit": 2 });
            let claimed = post(&server, KEY, "/tasks/claim", "c1", &claim).await.expect(200);
            assert_eq!(claimed["tasks"].as_array().unwrap().len(), 2);
            assert_eq!(post(&server, KEY, "/tasks/claim", "c1", &claim).await.expect(200), claimed);
            let token = &claimed["tasks"][0]["leaseToken"];
            let beat = json!({ "leaseTokens": [token] });
            let held = post(&server, KEY, "/tasks/heartbeat", "h1", &beat).await.expect(200);
            assert_eq!(post(&server, KEY, "/tasks/heartbeat", "h1", &beat).await.expect(200), held);
            let report = json!({ "reports": [
                { "taskId": claimed["tasks"][0]["id"], "leaseToken": token, "status": "completed" },
            ] });
            let reported = post(&server, KEY, "/tasks/report", "r1", &report).await.expect(200);
            assert_eq!(reported["results"][0]["accepted"], true);
            assert_eq!(post(&server, KEY, "/tasks/report", "r1", &report).await.expect(200), reported);
        });
    }

    fn sent_ten_times_at_once_it_happens_once(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let body = json!({ "runId": run["id"], "type": "t", "inputData": 1 });
            let replies = join_all((0..10).map(|_| post(&server, KEY, "/tasks", "same", &body))).await;
            let first = replies[0].body.clone();
            assert!(replies.into_iter().all(|reply| reply.expect(201) == first));
            assert_eq!(server.run(&run).await["totalTasks"], 1);
        });
    }

    fn a_claim_and_its_answer_are_stored_together(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            for _ in 0..9 {
                server.new_task(&run).await;
            }
            let body = json!({ "types": ["t"], "limit": 2 });
            let claims = (0..10).map(|_| post(&server, KEY, "/tasks/claim", "same", &body));
            let replies = join_all(claims).await;
            let first = replies[0].body.clone();
            assert_eq!(first["tasks"].as_array().unwrap().len(), 2);
            assert!(replies.into_iter().all(|reply| reply.expect(200) == first));
            // Nothing is kept outside of the database: another server gives the same answer.
            drop(server);
            let server = Server::classic(&db).await;
            assert_eq!(post(&server, KEY, "/tasks/claim", "same", &body).await.expect(200), first);
            let other = json!({ "types": ["t"], "limit": 3 });
            let other = post(&server, KEY, "/tasks/claim", "same", &other).await;
            other.refused(409, "Idempotency-Key was used for another request");
            let list = server.get("/tasks?status=running").await.expect(200);
            assert_eq!(server.rows(&list).len(), 2);
        });
    }

    fn a_claim_that_got_nothing_says_so_again(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let body = json!({ "types": ["t"], "waitMs": 20 });
            let empty = post(&server, KEY, "/tasks/claim", "k", &body).await.expect(200);
            assert_eq!(empty["tasks"], json!([]));
            server.new_task(&server.new_run().await).await;
            assert_eq!(post(&server, KEY, "/tasks/claim", "k", &body).await.expect(200), empty);
        });
    }

    fn a_claim_whose_caller_went_away_is_answered_when_it_asks_again(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let body = json!({ "types": ["t"], "waitMs": 20_000 });
            // Breaks the connection while the claim waits.
            let impatient = server.as_key(KEY, "POST", "/tasks/claim").header("idempotency-key", "k");
            let impatient = impatient.timeout(std::time::Duration::from_millis(50)).json(&body);
            impatient.send().await.unwrap_err();
            let task = server.new_task(&run).await;
            let claimed = post(&server, KEY, "/tasks/claim", "k", &body).await.expect(200);
            assert_eq!(claimed["tasks"][0]["id"], task["id"]);
            let report = json!({ "status": "completed", "leaseToken": claimed["tasks"][0]["leaseToken"] });
            assert_eq!(server.change_task(&task, report).await["status"], "completed");
        });
    }

    fn a_refusal_is_not_kept(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let missing = json!({ "runId": crate::support::NIL, "type": "t", "inputData": 1 });
            post(&server, KEY, "/tasks", "k", &missing).await.expect(404);
            let run = server.new_run().await;
            let body = json!({ "runId": run["id"], "type": "t", "inputData": 1 });
            post(&server, KEY, "/tasks", "k", &body).await.expect(201);
        });
    }

    /// What was answered is answered again, also to one who would be told in other words now.
    fn a_replay_keeps_the_dialect_of_the_first_request(db) {
        block_on(async {
            let server = Server::start(&db, settings(DialectSetting::Auto)).await;
            let body = json!({ "inputData": 1 });
            let ask = async |org: Option<&str>| {
                let mut request = server.as_key(KEY, "POST", "/runs").header("idempotency-key", "k");
                if let Some(org) = org {
                    request = request.header("x-org-id", org);
                }
                Reply::of(request.json(&body)).await.expect(201)
            };
            let first = ask(Some("acme")).await;
            assert!(first["createdAt"].is_i64(), "{first}");
            assert_eq!(ask(None).await, first);
        });
    }
}
