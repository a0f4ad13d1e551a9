//! While the database is away, silent or full: health tells it within a second, calls are answered
//! 503, nothing waits for ever, and all goes on when it is back.

use std::time::{Duration, Instant};

use colony_testkit::{TestProxy, TestStore, Wire, block_on, wait_for_async};
use serde_json::json;

use crate::support::{KEY, Reply, SOON, Server, id};

/// A store whose server is behind a wire that can be cut.
fn wired(name: &str) -> (TestStore, TestProxy) {
    let mut db = TestStore::postgres(name);
    let (proxy, url) = TestProxy::before(db.server().unwrap().url());
    db.config().database = colony_store::Database::Postgres { url };
    db.config().reply_timeout = Duration::from_secs(1);
    db.reopen();
    (db, proxy)
}

async fn health(server: &Server) -> (u16, String, Duration) {
    let start = Instant::now();
    let reply = server.request("GET", "/health").send().await.unwrap();
    let status = reply.status().as_u16();
    (status, reply.text().await.unwrap(), start.elapsed())
}

async fn healthy_again(server: &Server) {
    wait_for_async(SOON, async || match health(server).await {
        (200, ..) => Ok(()),
        (status, body, _) => Err(format!("{status} {body}")),
    })
    .await;
}

async fn goes_on(server: &Server) {
    healthy_again(server).await;
    let run = server.new_run().await;
    server.get(&format!("/runs/{}", id(&run))).await.expect(200);
}

#[test]
fn a_silent_database_is_told_within_a_second() {
    let (db, proxy) = wired("silent_health");
    block_on(async {
        let server = Server::classic(&db).await;
        goes_on(&server).await;
        proxy.set(Wire::Silent);
        let waits = async {
            let reply = server
                .as_key(KEY, "POST", "/runs")
                .json(&json!({ "inputData": {} }));
            reply.send().await.unwrap()
        };
        let (looks, call) = tokio::join!(
            async { [health(&server).await, health(&server).await] },
            waits
        );
        for (status, body, took) in looks {
            assert_eq!(status, 503, "{body}");
            assert!(body.contains("did not answer"), "{body}");
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
        assert_eq!(call.status(), 503);
        assert_eq!(call.headers()["retry-after"], "1");
        proxy.set(Wire::Whole);
        goes_on(&server).await;
    });
}

#[test]
fn calls_are_refused_as_not_available_while_the_database_is_down() {
    let (db, proxy) = wired("down");
    block_on(async {
        let server = Server::classic(&db).await;
        let run = server.new_run().await;
        proxy.set(Wire::Closed);
        proxy.cut();
        let (status, body, took) = health(&server).await;
        assert_eq!(status, 503, "{body}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(!body.contains("127.0.0.1"), "{body}");
        let path = format!("/runs/{}", id(&run));
        let (read, write) = tokio::join!(
            server.get(&path),
            server.post("/runs", json!({ "inputData": {} })),
        );
        for reply in [read, write] {
            reply.refused(503, "Service is not available, try again");
        }
        proxy.set(Wire::Whole);
        goes_on(&server).await;
    });
}

/// A worker that waits for a task outlives the database's absence and gets the task.
#[test]
fn a_waiting_claim_outlives_a_database_that_is_away() {
    let (db, proxy) = wired("claim");
    block_on(async {
        let server = Server::classic(&db).await;
        let claim = json!({ "types": ["late"], "workerId": "w", "waitMs": 30_000 });
        let waiting = server
            .as_key(KEY, "POST", "/tasks/claim")
            .json(&claim)
            .send();
        let waiting = tokio::spawn(waiting);
        let run = server.new_run().await;
        proxy.set(Wire::Closed);
        proxy.cut();
        // This one arrives while it is away.
        let arriving = server
            .as_key(KEY, "POST", "/tasks/claim")
            .json(&claim)
            .send();
        let arriving = tokio::spawn(arriving);
        let at_once = json!({ "types": ["late"], "workerId": "w" });
        let refused = server.post("/tasks/claim", at_once).await;
        refused.refused(503, "Service is not available, try again");
        proxy.set(Wire::Whole);
        healthy_again(&server).await;
        for _ in 0..2 {
            let task = json!({ "type": "late", "runId": id(&run), "inputData": {} });
            server.post("/tasks", task).await.expect(201);
        }
        for claimed in [waiting, arriving] {
            let reply = claimed.await.unwrap().unwrap();
            assert_eq!(reply.status(), 200);
            let body: serde_json::Value = reply.json().await.unwrap();
            assert_eq!(body["tasks"].as_array().unwrap().len(), 1, "{body}");
        }
    });
}

/// A full file: what would write is refused, what reads is answered, health names the cause.
#[test]
fn a_full_database_file_is_named_and_goes_on() {
    let db = TestStore::sqlite();
    block_on(async {
        let server = Server::classic(&db).await;
        let run = server.new_run().await;
        let limit = |pages: i64| {
            let store = colony_store::Store::clone(&db);
            async move {
                let set = store.write(move |tx| {
                    tx.query(&format!("PRAGMA max_page_count = {pages}"), &[])
                        .map(drop)
                });
                set.await.unwrap();
            }
        };
        limit(1).await;
        let big = json!({ "inputData": { "x": "x".repeat(300_000) } });
        let full = server.post("/runs", big.clone()).await;
        full.refused(503, "Service is not available, try again");
        server.get(&format!("/runs/{}", id(&run))).await.expect(200);
        limit(1_000_000).await;
        server.post("/runs", big).await.expect(201);
        goes_on(&server).await;
    });
}

/// A file that was removed under the server takes no writes, and health says why.
#[test]
fn a_database_file_that_is_gone_is_named() {
    let db = TestStore::sqlite();
    block_on(async {
        let server = Server::classic(&db).await;
        let path = db.directory().unwrap().join("colony.db");
        let aside = path.with_extension("aside");
        std::fs::rename(&path, &aside).unwrap();
        let (status, body, _) = health(&server).await;
        assert_eq!(status, 503);
        assert!(body.contains("the database is gone"), "{body}");
        let reply: Reply = server.post("/runs", json!({ "inputData": {} })).await;
        reply.refused(503, "Service is not available, try again");
        std::fs::rename(&aside, &path).unwrap();
        goes_on(&server).await;
    });
}
