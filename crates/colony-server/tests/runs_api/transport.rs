//! Lines 1 to 10, 56 and 57: transport, keys, bodies, rate limit, configuration.

use colony_server::runs::{DialectSetting, RateLimitSettings, RunsApiSettings, StaticKey};
use colony_testkit::{block_on, both_databases};
use serde_json::{Value, json};

use crate::support::{KEY, OTHER_KEY, Reply, Server, id, in_each_dialect, settings};

const NO_KEY: &str = "Bearer token required but not provided";
const BAD_KEY: &str = "Invalid Bearer token";

async fn with(server: &Server, name: &str, value: &str) -> Reply {
    Reply::of(server.request("GET", "/api/v1/runs").header(name, value)).await
}

both_databases! {
    fn line_1_health(db) {
        in_each_dialect(&db, async |server: Server| {
            let body = Reply::of(server.request("GET", "/health")).await.expect(200);
            assert_eq!(body["status"], "healthy");
            assert_eq!(body["services"]["database"], "connected");
            assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
        });
    }

    fn line_2_unknown_routes(db) {
        in_each_dialect(&db, async |server: Server| {
            Reply::of(server.request("GET", "/api/v1/nope")).await.refused(404, "Not found");
            Reply::of(server.as_key(KEY, "PUT", "/runs")).await.refused(404, "Not found");
            Reply::of(server.request("PUT", "/api/v1/runs")).await.refused(401, NO_KEY);
            let run = server.new_run().await;
            server.get(&format!("/runs/{}/zzz", id(&run))).await.refused(404, "Not found");
            server.get("/runs/").await.expect(200);
            server.get(&format!("/runs/{}/", id(&run))).await.expect(200);
            server.get("/runs/%zz").await.expect(400);
            let head = server.as_key(KEY, "HEAD", "/runs").send().await.unwrap();
            assert_eq!(head.status(), 200);
            assert!(head.text().await.unwrap().is_empty());
        });
    }

    fn line_3_ways_to_present_a_key(db) {
        in_each_dialect(&db, async |server: Server| {
            Reply::of(server.request("GET", "/api/v1/runs")).await.refused(401, NO_KEY);
            with(&server, "authorization", "Basic x").await.refused(401, NO_KEY);
            with(&server, "authorization", "Bearer").await.refused(401, NO_KEY);
            with(&server, "authorization", "Bearer wrong-token").await.refused(401, BAD_KEY);
            with(&server, "authorization", &format!("bearer {KEY}")).await.expect(200);
            with(&server, "x-api-key", KEY).await.expect(200);
        });
    }

    fn line_4_forms_of_keys(db) {
        in_each_dialect(&db, async |server: Server| {
            for bad in ["fmn_prod_acme", "fmn_prod__x", "fmn_prod_acme_", "FMN_prod_acme_x"] {
                let reply = Reply::of(server.as_key(bad, "GET", "/runs")).await;
                assert_eq!(reply.headers["www-authenticate"], "Bearer");
                reply.refused(401, BAD_KEY);
            }
            Reply::of(server.as_key("fmn_prod_acme_a_b", "GET", "/runs")).await.expect(200);
        });
    }

    fn line_5_a_bearer_token_goes_before_an_api_key(db) {
        in_each_dialect(&db, async |server: Server| {
            let request = server.as_key(KEY, "GET", "/runs").header("x-api-key", "bad");
            Reply::of(request).await.expect(200);
        });
    }

    fn line_6_a_static_key_names_the_organization(db) {
        block_on(async {
            let server = Server::start(&db, RunsApiSettings {
                static_key: Some(StaticKey("s3cret".into())),
                ..settings(DialectSetting::Classic)
            }).await;
            let as_org = |method: &str, path: &str, org: &str| {
                server.as_key("s3cret", method, path).header("x-org-id", org)
            };
            let body = json!({ "inputData": {} });
            let run = Reply::of(as_org("POST", "/runs", "a").json(&body)).await.expect(201);
            assert_eq!(run["orgId"], "a");
            let path = format!("/runs/{}", id(&run));
            let unknown = format!("Run not found: {}", id(&run));
            Reply::of(as_org("GET", &path, "a")).await.expect(200);
            Reply::of(as_org("GET", &path, "b")).await.refused(404, &unknown);
            Reply::of(server.as_key("s3cret", "GET", &path)).await.refused(404, &unknown);
            let long = "x".repeat(256);
            Reply::of(as_org("GET", &path, &long)).await.expect(400);
        });
    }

    fn line_7_a_key_of_another_organization(db) {
        in_each_dialect(&db, async |server: Server| {
            let request = |org: &str| server.as_key(KEY, "GET", "/runs").header("x-org-id", org);
            let text = "Key does not belong to this organization";
            Reply::of(request("other")).await.refused(403, text);
            Reply::of(request("acme")).await.expect(200);
            Reply::of(request("")).await.expect(200);
        });
    }

    /// Other than the line says: a stranger is answered from the head alone.
    fn line_8_malformed_json_is_refused_behind_the_key(db) {
        in_each_dialect(&db, async |server: Server| {
            let request = server.request("POST", "/api/v1/runs").body("{");
            Reply::of(request).await.refused(401, NO_KEY);
            let request = server.as_key(KEY, "POST", "/runs").body("{");
            Reply::of(request).await.refused(400, "Invalid JSON in request body");
        });
    }

    fn line_9_bodies_that_are_no_object(db) {
        in_each_dialect(&db, async |server: Server| {
            let post = |body: &'static str, kind: &str| {
                server.as_key(KEY, "POST", "/runs").header("content-type", kind).body(body)
            };
            for bad in ["null", "5", "\"x\""] {
                let reply = Reply::of(post(bad, "application/json")).await;
                reply.refused(400, "Invalid JSON in request body");
            }
            Reply::of(post("[1]", "application/json")).await.invalid(&[json!([])]);
            Reply::of(post("", "application/json")).await.invalid(&[json!(["inputData"])]);
            Reply::of(post("{}", "text/plain")).await.expect(400);
        });
    }

    fn line_10_a_body_that_is_too_large(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let body = format!("{{\"inputData\":\"{}\"}}", "x".repeat(11 * 1024 * 1024));
            let request = server.as_key(KEY, "POST", "/runs").body(body);
            // This server closes before it has read everything; the answer is all the same.
            if let Ok(response) = request.send().await {
                assert_eq!(response.status(), 413);
            }
            let body = format!("{{\"inputData\":\"{}\"}}", "x".repeat(9 * 1024 * 1024));
            Reply::of(server.as_key(KEY, "POST", "/runs").body(body)).await.expect(201);
        });
    }

    fn line_56_rate_limit(db) {
        block_on(async {
            let server = Server::start(&db, RunsApiSettings {
                rate_limit: RateLimitSettings { requests: 3, window_ms: 60_000 },
                ..settings(DialectSetting::Classic)
            }).await;
            for left in ["2", "1", "0"] {
                let reply = server.get("/runs").await;
                assert_eq!(reply.headers["x-ratelimit-remaining"], left);
                assert_eq!(reply.headers["x-ratelimit-limit"], "3");
                reply.expect(200);
            }
            let reply = server.get("/runs").await;
            assert!(reply.headers.contains_key("retry-after"));
            assert!(reply.headers.contains_key("x-ratelimit-reset"));
            reply.refused(429, "Too many requests from this IP, please try again later.");
            // What has no body that can be used does not count, whoever sends it.
            let bad = Reply::of(server.as_key(OTHER_KEY, "POST", "/runs").body("{")).await;
            assert!(!bad.headers.contains_key("x-ratelimit-remaining"));
            bad.expect(400);
            // Others have counts of their own, and health is not counted.
            let other = Reply::of(server.as_key(OTHER_KEY, "GET", "/runs")).await;
            assert_eq!(other.headers["x-ratelimit-remaining"], "2");
            other.expect(200);
            Reply::of(server.request("GET", "/health")).await.expect(200);
        });
    }

    /// A program that calls without a pause is far from it.
    fn the_rate_limit_is_not_met_by_one_program(db) {
        block_on(async {
            let server = Server::start(&db, RunsApiSettings {
                rate_limit: RateLimitSettings::default(),
                ..settings(DialectSetting::Classic)
            }).await;
            let reply = server.get("/runs").await;
            assert_eq!(reply.headers["x-ratelimit-limit"], "6000000");
            assert_eq!(reply.headers["x-ratelimit-remaining"], "5999999");
            let reset: i64 = reply.headers["x-ratelimit-reset"].to_str().unwrap().parse().unwrap();
            let now = colony_core::time::Clock::now(&colony_core::time::SystemClock).as_millis() / 1000;
            assert!((now..=now + 61).contains(&reset), "{reset} is not within a minute of {now}");
        });
    }

    fn line_57_configuration(db) {
        in_each_dialect(&db, async |server: Server| {
            for path in ["/config", "/config/redis", "/config/queues"] {
                Reply::of(server.request("GET", &format!("/api/v1{path}"))).await.refused(401, NO_KEY);
            }
            let whole = server.get("/config").await.expect(200);
            assert!(whole["version"].is_string() && whole["environment"].is_string());
            let redis = server.get("/config/redis").await.expect(200);
            assert_eq!(redis, json!({ "host": "localhost", "port": 6379 }));
            assert_eq!(whole["redis"], redis);
            let queues = server.get("/config/queues").await.expect(200);
            assert_eq!(queues, json!({ "taskQueue": "foreman-tasks", "resultQueue": "foreman-results" }));
            assert_eq!(whole["queues"], queues);
        });
    }

    fn hostile_json_is_refused_or_kept(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let post = |body: String| server.as_key(KEY, "POST", "/runs").body(body);
            let deep = |depth: usize| format!("{{\"inputData\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            let run = server.request("POST", "/api/v1/runs").header("x-api-key", KEY).body(deep(400));
            let response = run.send().await.unwrap();
            assert_eq!(response.status(), 201);
            let text = response.text().await.unwrap();
            assert!(text.contains(&"[".repeat(400)), "deep values come back");
            Reply::of(post(deep(513))).await.expect(400);
            Reply::of(post(deep(2_000_000))).await.expect(400);
            Reply::of(post(r#"{"inputData":"\ud800"}"#.to_owned())).await.expect(400);
            let kept = Reply::of(post(r#"{"inputData":"a\u0000b"}"#.to_owned())).await.expect(201);
            assert_eq!(kept["inputData"], "a\0b");
            let twice = Reply::of(post(r#"{"inputData":1,"inputData":2}"#.to_owned())).await.expect(201);
            assert_eq!(twice["inputData"], 2);
            let big = Reply::of(post(r#"{"inputData":[9223372036854775807,18446744073709551615,1.5]}"#.to_owned())).await;
            assert_eq!(big.expect(201)["inputData"], json!([i64::MAX, u64::MAX, 1.5]));
        });
    }

    fn a_body_that_arrives_too_slowly_is_refused(db) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        block_on(async {
            let server = Server::start(&db, RunsApiSettings {
                body_timeout_ms: 50,
                ..settings(DialectSetting::Classic)
            }).await;
            let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
            let head = format!("POST /api/v1/runs HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-length: 100\r\n\r\n{{");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = vec![0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, b"HTTP/1.1 408");
        });
    }

    fn callers_without_authentication(db) {
        block_on(async {
            let server = Server::start(&db, RunsApiSettings {
                auth: colony_server::runs::AuthMode::Off,
                ..settings(DialectSetting::Classic)
            }).await;
            let post = server.request("POST", "/api/v1/runs");
            let run = Reply::of(post.json(&json!({ "inputData": Value::Null }))).await.expect(201);
            assert_eq!(run["orgId"], "default-org");
        });
    }

    fn browsers_of_listed_origins_may_call(db) {
        block_on(async {
            let listed = "https://app.example";
            let server = Server::start(&db, RunsApiSettings {
                cors_origins: vec![listed.to_owned()],
                ..settings(DialectSetting::Classic)
            }).await;
            let from = |method: &str, origin: &str| {
                let request = server.request(method, "/api/v1/runs").header("origin", origin);
                request.header("access-control-request-headers", "authorization,x-org-id")
            };
            // A preflight needs no key.
            let preflight = from("OPTIONS", listed).send().await.unwrap();
            assert_eq!(preflight.status(), 204);
            for (name, value) in [
                ("access-control-allow-origin", listed),
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE"),
                ("access-control-allow-headers", "authorization,x-org-id"),
                ("vary", "Origin"),
            ] {
                assert_eq!(preflight.headers()[name], value);
            }
            assert!(preflight.text().await.unwrap().is_empty());
            // Refusals can be read too.
            for (key, status) in [(KEY, 200), ("nonsense", 401)] {
                let reply = Reply::of(from("GET", listed).header("x-api-key", key)).await;
                assert_eq!(reply.headers["access-control-allow-origin"], listed);
                assert_eq!(reply.headers["access-control-allow-credentials"], "true");
                reply.expect(status);
            }
            let stranger = Reply::of(from("GET", "https://evil.example").header("x-api-key", KEY)).await;
            assert!(!stranger.headers.contains_key("access-control-allow-origin"));
            let stranger = from("OPTIONS", "https://evil.example").send().await.unwrap();
            assert!(!stranger.headers().contains_key("access-control-allow-origin"));
        });
    }

    fn without_listed_origins_browsers_may_not_call(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let request = server.as_key(KEY, "GET", "/runs").header("origin", "https://app.example");
            let reply = Reply::of(request).await;
            assert!(!reply.headers.contains_key("access-control-allow-origin"));
            reply.expect(200);
            let preflight = server.request("OPTIONS", "/api/v1/runs").header("origin", "https://app.example");
            Reply::of(preflight).await.refused(401, NO_KEY);
        });
    }
}
