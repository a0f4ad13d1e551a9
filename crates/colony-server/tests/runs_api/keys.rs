//! Keys of organizations: made, recognized, revoked, expired.

use colony_core::time::{Clock as _, SystemClock, Timestamp};
use colony_engine::ledger::NewKey;
use colony_server::runs::{DialectSetting, RunsApiSettings};
use colony_testkit::{block_on, both_databases};

use crate::support::{Reply, Server, settings};

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
}
