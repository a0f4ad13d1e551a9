//! What web pages of others can make a browser send, and what a page behind a rebound name can.

use colony_server::Auth;
use colony_testkit::{block_on, both_databases};
use serde_json::json;

use crate::http::{Answer, call};
use crate::kit::{Kit, TWO};

const JOBS: &str = "/api/jobs/requests";
const RUNS: &str = "/api/v1/runs";
const KEY: (&str, &str) = ("x-api-key", "fmn_test_acme_secret");

/// A call with exactly these headers; `host` replaces the usual one.
async fn send(kit: &Kit, path: &str, headers: &[(&str, &str)]) -> Answer {
    let body = match path {
        JOBS => json!({"job_type": "two"}),
        _ => json!({"inputData": {}}),
    };
    let mut all = headers.to_vec();
    let bearer = kit.token.as_ref().map(|token| format!("Bearer {token}"));
    match (&bearer, path) {
        (Some(bearer), JOBS) => all.push(("authorization", bearer)),
        (Some(_), _) => all.push(KEY),
        (None, _) => {}
    }
    call(kit.address, "POST", path, &all, body.to_string().as_bytes()).await
}

/// That a refusal of either API is in its own words.
#[track_caller]
fn assert_refused(answer: &Answer, path: &str, status: u16) {
    assert_eq!(answer.status, status, "{path}: {}", answer.text());
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let (text, code) = match path {
        JOBS => (&body["message"], body["code"].as_str()),
        _ => (&body["error"], None),
    };
    assert!(!text.as_str().unwrap().is_empty(), "{path}: {body}");
    let expected = match status {
        403 => "PermissionDenied",
        _ => "InvalidRequest",
    };
    assert!(code.is_none_or(|code| code == expected), "{path}: {body}");
}

const JSON: (&str, &str) = ("content-type", "application/json");

both_databases! {
    fn foreign_pages_change_nothing_with_or_without_a_token(store) {
        block_on(async {
            for auth in [Auth::Off, Auth::On] {
                let kit = Kit::with(&store, auth, |_| {}).await;
                kit.save(TWO).await;
                let own = format!("http://{}", kit.address);
                for path in [JOBS, RUNS] {
                    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
                        let answer = send(&kit, path, &[JSON, ("origin", origin)]).await;
                        assert_refused(&answer, path, 403);
                    }
                    for origin in ["https://app.example", own.as_str()] {
                        let answer = send(&kit, path, &[JSON, ("origin", origin)]).await;
                        assert_eq!(answer.status, 201, "{path} {origin}: {}", answer.text());
                    }
                }
                // A form without fields is a body without bytes.
                let id = kit.submit_id("two").await;
                let cancel = format!("{JOBS}/{id}/cancel");
                let evil = [("origin", "https://evil.example")];
                let answer = kit.call("POST", &cancel, &evil, b"").await;
                assert_eq!(answer.error(), (403, "PermissionDenied".to_owned()));
                let list = kit.get(JOBS).await.expect(200);
                assert!(list.to_string().contains("PENDING"), "{list}");
                kit.stop().await;
            }
        });
    }

    fn without_a_token_pages_cannot_pass_off_their_bodies(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
                for path in [JOBS, RUNS] {
                    assert_refused(&send(&kit, path, &[("content-type", kind)]).await, path, 400);
                }
                let kind = [("content-type", kind)];
                let save = kit.call("POST", "/api/jobs/definitions", &kind, TWO.as_bytes()).await;
                assert_eq!(save.error(), (400, "InvalidRequest".to_owned()));
            }
            assert_eq!(send(&kit, JOBS, &[]).await.status, 201);
            assert_eq!(send(&kit, RUNS, &[]).await.status, 201);
        });
    }

    /// The Jobs API's own rule: the type is not looked at.
    fn with_a_token_clients_may_send_any_type(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            let kind = [("content-type", "application/x-www-form-urlencoded")];
            let save = kit.call("POST", "/api/jobs/definitions", &kind, TWO.as_bytes()).await;
            assert_eq!(save.status, 201, "{}", save.text());
            assert_eq!(send(&kit, JOBS, &kind).await.status, 201);
        });
    }

    fn without_a_token_only_our_own_names_are_answered(store) {
        block_on(async {
            let kit = Kit::with(&store, Auth::Off, |state| {
                state.hosts.push("colony.example".to_owned());
            }).await;
            kit.save(TWO).await;
            for (host, status) in [
                ("evil.example", 403),
                ("10.0.0.5", 403),
                ("localhost:9000", 201),
                ("colony.example", 201),
            ] {
                for path in [JOBS, RUNS] {
                    let answer = with_host(&kit, path, host).await;
                    assert_eq!(answer, status, "{path} {host}");
                }
            }
            let kit = Kit::with_auth(&store).await;
            assert_eq!(with_host(&kit, RUNS, "colony.example").await, 401);
        });
    }

    fn unknown_paths_of_the_runs_api_are_unknown_to_everybody(store) {
        block_on(async {
            for auth in [Auth::On, Auth::Off] {
                let kit = Kit::with(&store, auth, |_| {}).await;
                for path in ["/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/nothing/at/all", "/api/v1//runs"] {
                    for method in ["GET", "POST", "DELETE", "PUT", "BREW"] {
                        for headers in [&[][..], &[KEY], &[("authorization", "Bearer wrong")]] {
                            let answer = call(kit.address, method, path, headers, b"").await;
                            assert_eq!(answer.status, 404, "{method} {path}");
                            assert_eq!(answer.text(), "{\"error\":\"Not found\"}", "{method} {path}");
                        }
                    }
                }
                kit.stop().await;
            }
        });
    }
}

/// The status of a call that names that host.
async fn with_host(kit: &Kit, path: &str, host: &str) -> u16 {
    let body = match path {
        JOBS => "{\"job_type\":\"two\"}",
        _ => "{\"inputData\":{}}",
    };
    let text = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    crate::http::raw(kit.address, text.as_bytes()).await.status
}
