//! Lines 54 and 55, and the finer settings. The other lines are run in every dialect.

use colony_server::runs::{
    DataTotal, DialectSetting, ListEnvelope, RunsApiSettings, TimestampsSetting,
};
use colony_testkit::{block_on, both_databases};

use crate::support::{KEY, Reply, Server, id, settings};

both_databases! {
    fn line_54_the_current_dialect(db) {
        block_on(async {
            let server = Server::start(&db, settings(DialectSetting::Current)).await;
            let run = server.new_run().await;
            assert!(run["createdAt"].is_i64());
            let task = server.new_task(&run).await;
            assert!(task["createdAt"].is_i64());
            for list in ["/runs", "/tasks"] {
                let list = server.get(list).await.expect(200);
                let members: Vec<&String> = list.as_object().unwrap().keys().collect();
                assert_eq!(members, ["data", "pagination"]);
            }
        });
    }

    fn line_55_auto_decides_per_request(db) {
        block_on(async {
            let server = Server::start(&db, settings(DialectSetting::Auto)).await;
            let run = server.new_run().await;
            assert!(run["createdAt"].is_string());
            let path = format!("/runs/{}", id(&run));
            let with = server.as_key(KEY, "GET", &path).header("x-org-id", "acme");
            assert!(Reply::of(with).await.expect(200)["createdAt"].is_i64());
            let empty = server.as_key(KEY, "GET", &path).header("x-org-id", "");
            assert!(Reply::of(empty).await.expect(200)["createdAt"].is_string());
        });
    }

    fn finer_settings_override_the_dialect(db) {
        block_on(async {
            let server = Server::start(&db, RunsApiSettings {
                timestamps: Some(TimestampsSetting::Ms),
                list_envelope: Some(ListEnvelope::Items),
                data_total: Some(DataTotal::Page),
                ..settings(DialectSetting::Classic)
            }).await;
            let run = server.new_run().await;
            assert!(run["createdAt"].is_i64());
            let list = server.get("/runs").await.expect(200);
            let members: Vec<&String> = list.as_object().unwrap().keys().collect();
            assert_eq!(members, ["items", "limit", "offset", "total"]);
        });
    }
}
