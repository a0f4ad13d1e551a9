//! Health, the end of a server, and who sees what.

use colony_engine::{Caller, Submit};
use colony_testkit::{block_on, both_databases};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::kit::{Kit, TWO, redacted};

fn service(name: &str, failures: u32, successes: u32, error: &Value) -> Value {
    let (consecutive_failures, consecutive_success) = match error {
        Value::Null => (0, successes),
        _ => (failures, 0),
    };
    json!({
        "Monitored": {"Name": name}, "ConsecutiveFailures": consecutive_failures,
        "ConsecutiveSuccess": consecutive_success, "TotalFailures": failures,
        "TotalSuccess": successes, "HealthError": error, "LastCheck": "<time>"
    })
}

both_databases! {
    /// Checklist 26.
    fn health_is_that_of_the_database(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            for checks in 1..=2 {
                let health = kit.get("/api/health").await.expect(200);
                let expected = json!({
                    "overall_status": service("Health-Monitor", 0, checks, &Value::Null),
                    "dependent_service_statuses": [service("database", 0, checks, &Value::Null)]
                });
                assert_eq!(redacted(&health), expected);
            }
            break_database(&kit).await;
            let health = kit.get("/api/health").await.expect(503);
            let error = json!("the database cannot be read or written");
            let expected = json!({
                "overall_status": service("Health-Monitor", 1, 2, &error),
                "dependent_service_statuses": [service("database", 1, 2, &error)]
            });
            assert_eq!(redacted(&health), expected);
        });
    }

    /// A fault of ours says nothing about itself.
    fn internal_errors_tell_nothing(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            break_database(&kit).await;
            let answer = kit.get("/api/jobs/requests").await;
            assert_eq!(answer.error(), (500, "Internal".to_owned()));
            assert!(!answer.text().contains("requests"), "{}", answer.text());
        });
    }

    /// A long poll is answered at once, an idle connection closed, and no new one taken.
    fn a_server_that_stops_answers_what_it_has(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            let id = kit.submit_id("two").await;
            let address = kit.address;
            let mut polling = TcpStream::connect(address).await.unwrap();
            let mut following = TcpStream::connect(address).await.unwrap();
            for (stream, path) in [(&mut polling, ""), (&mut following, "/logs")] {
                let head = format!(
                    "GET /api/jobs/requests/{id}{path}?wait_ms=30000 HTTP/1.1\r\nhost: {address}\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await.unwrap();
            }
            // Both calls are being answered: one that came later was.
            kit.get("/api/health").await.expect(200);
            let start = std::time::Instant::now();
            kit.stop().await;
            assert!(start.elapsed().as_secs() < 9, "it did not wait for the polls");
            for mut stream in [polling, following] {
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
            assert!(TcpStream::connect(address).await.is_err());
        });
    }

    /// Rows of another organization are as absent.
    fn nobody_sees_the_rows_of_others(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let other = Caller { org_id: "other".to_owned(), user_id: None };
            let save = colony_engine::SaveDefinition {
                text: TWO.to_owned(),
                format: colony_spec::Format::Yaml,
            };
            let saved = kit.engine.save_definition(&other, save).await.unwrap();
            let submit = Submit { job_type: "two".to_owned(), ..Submit::default() };
            let request = kit.engine.submit(&other, submit).await.unwrap().id;
            let definition = saved.compiled.row.id;
            for (method, path) in [
                ("GET", "/api/jobs/definitions/two".to_owned()),
                ("GET", format!("/api/jobs/definitions/{definition}")),
                ("GET", format!("/api/jobs/definitions/{definition}/yaml")),
                ("DELETE", format!("/api/jobs/definitions/{definition}")),
                ("POST", format!("/api/jobs/definitions/{definition}/disable")),
                ("GET", format!("/api/jobs/requests/{request}")),
                ("GET", format!("/api/jobs/requests/{request}/logs")),
                ("POST", format!("/api/jobs/requests/{request}/cancel")),
                ("POST", format!("/api/jobs/requests/{request}/restart")),
            ] {
                let answer = kit.call(method, &path, &[], b"").await;
                assert_eq!(answer.status, 404, "{method} {path}");
            }
            for path in ["/api/jobs/definitions", "/api/jobs/requests"] {
                assert_eq!(kit.get(path).await.expect(200)["TotalRecords"], 0);
            }
        });
    }

    fn rows_name_the_user_behind_the_token(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            let saved = kit.save(TWO).await;
            assert_eq!(saved["organization_id"], "default");
            assert_eq!(saved["user_id"].as_str().unwrap().len(), 36);
            let request = kit.submit(&json!({"job_type": "two"})).await;
            assert_eq!(request["user_id"], saved["user_id"]);
        });
    }
}

/// Takes away tables that every call needs.
async fn break_database(kit: &Kit) {
    kit.engine
        .store()
        .write(|tx| {
            tx.execute(
                "ALTER TABLE organizations RENAME TO organizations_gone",
                &[],
            )?;
            tx.execute("ALTER TABLE requests RENAME TO requests_gone", &[])?;
            Ok::<_, colony_store::StoreError>(())
        })
        .await
        .unwrap();
}
