//! Keys of organizations: made, recognized, revoked, expired.

use std::time::Duration;

use colony_core::time::{Clock as _, SystemClock, Timestamp};
use colony_engine::ledger::{Claim, ClaimedTask, KeyRow, LedgerError, NewKey, OnceKey};
use colony_server::runs::{DialectSetting, RunsApiSettings};
use colony_testkit::{TestStore, block_on, both_databases};
use serde_json::json;

use crate::support::{Reply, SOON, Server, id, ledger, settings};

fn new_key(org: &str, expires_at: Option<Timestamp>, seed: u8) -> NewKey {
    NewKey {
        org_id: org.to_owned(),
        environment: "prod".to_owned(),
        name: "test".to_owned(),
        expires_at,
        random: [seed; 24],
    }
}

both_databases! {
    fn only_registered_keys_are_accepted(db) {
        block_on(async {
            let server = Server::start(&db, RunsApiSettings {
                trust_well_formed_keys: false,
                ..settings(DialectSetting::Classic)
            }).await;
            let status = async |key: &str| Reply::of(server.as_key(key, "GET", "/runs")).await.status;
            assert!(!server.ledger.has_keys().await.unwrap());
            assert_eq!(status("fmn_prod_acme_x").await, 401);
            let (row, text) = server.ledger.create_key(new_key("acme", None, 1)).await.unwrap();
            assert!(text.starts_with("fmn_prod_acme_"));
            assert_eq!(status(&text).await, 200);
            assert_eq!(status(&format!("{text}x")).await, 401);
            let past = Timestamp::from_millis(SystemClock.now().as_millis() - 1);
            let (_, expired) = server.ledger.create_key(new_key("acme", Some(past), 2)).await.unwrap();
            assert_eq!(status(&expired).await, 401);
            server.ledger.create_key(new_key("other", None, 3)).await.unwrap();
            let listed = server.ledger.list_keys(Some("acme".to_owned())).await.unwrap();
            assert_eq!(listed.len(), 2);
            assert_eq!(server.ledger.list_keys(None).await.unwrap().len(), 3);
            assert!(server.ledger.revoke_key(row.id).await.unwrap());
            assert!(!server.ledger.revoke_key(row.id).await.unwrap());
            assert_eq!(status(&text).await, 401);
        });
    }

    /// Whatever goes on for long ends with the key, whoever revokes it.
    fn a_revoked_key_ends_streams_and_waits(db) {
        block_on(async {
            let server = strict(&db).await;
            let here = server.ledger.clone();
            // As `colony key revoke` does it: a process of its own.
            let elsewhere = ledger(&db);
            for (seed, revoking) in [(1, here), (2, elsewhere)] {
                let (row, key) = server.ledger.create_key(new_key("acme", None, seed)).await.unwrap();
                let run = json!({ "inputData": 1 });
                let run = Reply::of(server.as_key(&key, "POST", "/runs").json(&run)).await.expect(201);
                let task = json!({ "runId": run["id"], "type": "t", "inputData": 1 });
                let task = Reply::of(server.as_key(&key, "POST", "/tasks").json(&task)).await.expect(201);
                let events = format!("/runs/{}/events", id(&run));
                let mut events = server.as_key(&key, "GET", &events).send().await.unwrap();
                assert_eq!(events.status(), 200);
                let mut begun = String::new();
                while !begun.contains("event: run") {
                    let chunk = events.chunk().await.unwrap().expect("the stream goes on");
                    begun.push_str(&String::from_utf8_lossy(&chunk));
                }
                let wait = format!("/tasks/{}?waitMs=60000", id(&task));
                let wait = Reply::of(server.as_key(&key, "GET", &wait));
                let claim = json!({ "types": ["none"], "waitMs": 60_000 });
                let claim = Reply::of(server.as_key(&key, "POST", "/tasks/claim").json(&claim));
                let revoke = async {
                    assert!(revoking.revoke_key(row.id).await.unwrap());
                };
                let all = async { tokio::join!(events.text(), wait, claim, revoke) };
                let (events, wait, claim, ()) = tokio::time::timeout(SOON, all).await
                    .expect("all of it ends soon");
                assert!(events.is_ok());
                wait.refused(401, "Invalid Bearer token");
                claim.refused(401, "Invalid Bearer token");
            }
        });
    }

    /// A task that becomes ready after the revocation is not given to the one who waited for it.
    fn no_waiting_claim_is_answered_after_its_key_is_over(db) {
        block_on(async {
            let server = strict(&db).await;
            let (row, _) = server.ledger.create_key(new_key("acme", None, 1)).await.unwrap();
            let (_, other) = server.ledger.create_key(new_key("acme", None, 2)).await.unwrap();
            let run = json!({ "inputData": 1 });
            let run = Reply::of(server.as_key(&other, "POST", "/runs").json(&run)).await.expect(201);
            let claim = |key: Option<&KeyRow>, wait: Duration| Claim {
                org_id: "acme".to_owned(),
                kinds: vec!["t".to_owned()],
                worker_id: "w".to_owned(),
                limit: 1,
                lease: SOON,
                wait,
                key: key.map(|key| key.id),
            };
            let once = OnceKey {
                org_id: "acme".to_owned(),
                key: "k".to_owned(),
                request_sha256: "x".to_owned(),
            };
            let render = |tasks: Vec<ClaimedTask>| (200, tasks.len().to_string());
            let revoke_and_offer = async {
                // Those before it were looked at by the time that this one is answered.
                assert!(server.ledger.claim(claim(None, Duration::ZERO)).await.unwrap().is_empty());
                assert!(ledger(&db).revoke_key(row.id).await.unwrap());
                let tasks = json!({ "runId": run["id"], "type": "t", "inputData": 1 });
                let tasks = json!({ "tasks": [tasks, tasks] });
                Reply::of(server.as_key(&other, "POST", "/tasks/batch").json(&tasks)).await.expect(201);
            };
            let (plain, stored, ()) = tokio::join!(
                server.ledger.claim(claim(Some(&row), SOON)),
                server.ledger.claim_once(claim(Some(&row), SOON), once, render),
                revoke_and_offer,
            );
            assert!(matches!(plain, Err(LedgerError::KeyRevoked)), "{plain:?}");
            assert!(matches!(stored, Err(LedgerError::KeyRevoked)), "{stored:?}");
            let both = json!({ "types": ["t"], "limit": 2 });
            let both = Reply::of(server.as_key(&other, "POST", "/tasks/claim").json(&both)).await;
            assert_eq!(both.expect(200)["tasks"].as_array().unwrap().len(), 2);
        });
    }
}

async fn strict(db: &TestStore) -> Server {
    let settings = RunsApiSettings {
        trust_well_formed_keys: false,
        ..settings(DialectSetting::Classic)
    };
    Server::start(db, settings).await
}
