//! docs/runs-api.md: its beginning, run data, events, settings.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{JSON, Site, each, says, text};
use crate::http::raw;
use crate::kit::{PATIENCE, also_on_postgres};

also_on_postgres! {
    the_first_call
    run_data
    following_a_run
    organizations_do_not_see_each_other
    settings
    keys_that_only_look_right
}

#[test]
fn the_first_call() {
    let site = Site::start(&["--no-ant"]);
    let run = site
        .runs("POST", "/runs", &json!({ "inputData": { "order": 4711 } }))
        .expect(201);
    says!(
        "the answer to POST /runs",
        run["orgId"] == "acme"
            && run["status"] == "pending"
            && run["inputData"] == json!({ "order": 4711 })
            && run["totalTasks"] == 0
            && text(&run["createdAt"]).ends_with('Z'),
        run
    );
    for kind in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/yaml",
    ] {
        let headers = [("authorization", site.key.as_str()), ("content-type", kind)];
        let answer = site.bare("POST", "/api/v1/runs", &headers, b"{\"inputData\":1}");
        says!(
            "other types than JSON are refused",
            answer.status == 400,
            answer
        );
    }
    let answer = site.bare("POST", "/api/v1/runs", &[JSON], b"{ no JSON");
    says!(
        "401 comes before anything is said about the body",
        answer.status == 401,
        answer
    );
    for method in ["GET", "POST", "DELETE"] {
        let answer = site.bare(method, "/api/v1/nosuch", &[], b"");
        says!(
            "an unknown path is 404 for everybody",
            answer.expect(404) == json!({ "error": "Not found" }),
            answer
        );
    }
    for path in ["/api/docs", "/api/openapi.json"] {
        let answer = site.bare("GET", path, &[], b"");
        says!(
            "the reference is on the server",
            answer.status == 200 && answer.body.len() > 1000,
            path
        );
    }
}

#[test]
fn run_data() {
    let site = Site::start(&["--no-ant"]);
    let run = site.new_run();
    let task = site.new_task(&run, &json!({}));
    let path = format!("/runs/{run}/data");
    for value in [64, 65] {
        let entry = json!({ "key": "image.width", "value": value, "taskId": task["id"], "tags": ["final"] });
        let written = site.runs("POST", &path, &entry).expect(201);
        says!(
            "an entry",
            written["key"] == "image.width"
                && written["value"] == value
                && written["tags"] == json!(["final"])
                && written["metadata"].is_null()
                && written["taskId"] == task["id"],
            written
        );
    }
    let query = |filter: &str| site.get_runs(&format!("{path}?{filter}")).expect(200);
    let latest = query("keyStartsWith=image.&tags=final");
    says!(
        "a query shows the latest one of each key",
        each(&latest["data"], "value") == [65]
            && latest["pagination"] == json!({ "total": 1, "limit": 100, "offset": 0 }),
        latest
    );
    let all = query("keyStartsWith=image.&includeAll=true");
    says!(
        "unless it says includeAll=true",
        all["pagination"]["total"] == 2,
        all
    );
    for (pattern, expected) in [
        ("im*.widt%3F", 1),
        ("im*.wid%3Fh", 1),
        ("im*.wi%3Fh", 0),
        ("image%5C.width", 1),
        ("image%5C*", 0),
    ] {
        let found = query(&format!("keyPattern={pattern}"));
        says!(
            "keyPattern takes *, ? and \\",
            found["pagination"]["total"] == expected,
            (pattern, found)
        );
    }
}

#[test]
fn following_a_run() {
    let site = Site::start(&["--no-ant"]);
    let run = site.new_run();
    let events = |resume: &str| {
        let mut stream = TcpStream::connect(site.queen.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "GET /api/v1/runs/{run}/events HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n{resume}\r\n",
            site.key
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let read_until = |stream: &mut TcpStream, done: &dyn Fn(&str) -> bool| {
        let mut seen = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&seen).into_owned();
            if done(&text) {
                return text;
            }
            let mut more = [0; 4096];
            let read = stream.read(&mut more).unwrap();
            assert!(read > 0, "the stream ended after {text}");
            seen.extend_from_slice(&more[..read]);
        }
    };
    let mut stream = events("");
    let first = read_until(&mut stream, &|text| text.contains("\n\n"));
    says!(
        "the stream begins with the present state",
        first.contains(" 200 ")
            && first.contains("id: ")
            && first.contains("event: run\n")
            && first.contains("\"order\":4711"),
        first
    );
    let task = site.new_task(&run, &json!({}));
    let more = read_until(&mut stream, &|text| {
        text.contains("event: task") && text.contains("\"totalTasks\":1")
    });
    says!(
        "each change of the run and its tasks, whole objects; the run comes last",
        more.find("event: task") < more.rfind("event: run"),
        more
    );
    let id = more.rsplit("id: ").next().unwrap().lines().next().unwrap();
    drop(stream);
    site.runs(
        "PATCH",
        &format!("/tasks/{}", text(&task["id"])),
        &json!({ "status": "completed" }),
    )
    .expect(200);
    let mut stream = events(&format!("last-event-id: {}\r\n", id.trim()));
    let after = read_until(&mut stream, &|text| {
        text.contains("event: task") && text.contains("\"completedTasks\":1")
    });
    says!(
        "what changed since follows",
        after.contains("\"status\":\"completed\""),
        after
    );
}

#[test]
fn organizations_do_not_see_each_other() {
    let site = Site::start(&["--no-ant"]);
    let run = site.new_run();
    let other = site.new_key("other");
    let answer = site.with(&other, "GET", &format!("/api/v1/runs/{run}"), &Value::Null);
    says!(
        "rows of other organizations answer 404",
        answer.status == 404,
        answer
    );
    let list = site
        .with(&other, "GET", "/api/v1/runs", &Value::Null)
        .expect(200);
    says!("and are in no list", list["data"] == json!([]), list);
}

/// What `settings.rs` does not look at already.
#[test]
fn settings() {
    let site = Site::with_settings(
        &["--no-ant"],
        "[runs_api]\ndialect = 'auto'\nstatic_key = 'sk-1'\nbody_timeout_ms = 500\n[runs_api.rate_limit]\nrequests = 20\n",
    );
    let post = |shown: &str, more: &[(&str, &str)]| {
        let mut headers = vec![JSON, ("authorization", shown)];
        headers.extend(more);
        site.bare("POST", "/api/v1/runs", &headers, b"{\"inputData\":1}")
    };
    let (classic, current) = (
        post(&site.key, &[]),
        post(&site.key, &[("x-org-id", "acme")]),
    );
    says!(
        "auto: current for requests with x-org-id",
        classic.expect(201)["createdAt"].is_string()
            && current.expect(201)["createdAt"].is_number(),
        current
    );
    let run = post("Bearer sk-1", &[("x-org-id", "house")]).expect(201);
    says!(
        "a configured key; the organization is in x-org-id",
        run["orgId"] == "house",
        run
    );
    let run = post("Bearer sk-1", &[]).expect(201);
    says!(
        "default-org: of callers who name none",
        run["orgId"] == "default-org",
        run
    );
    let other = post(&site.key, &[("x-org-id", "other")]);
    says!(
        "a key acts for its own organization alone",
        other.status == 403,
        other
    );
    let head = format!(
        "POST /api/v1/runs HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\
        content-type: application/json\r\ncontent-length: 9\r\n\r\n{{",
        site.key
    );
    let slow = raw(site.queen.address(), head.as_bytes());
    says!(
        "body_timeout_ms: how long a request may take to arrive",
        slow.status == 408,
        slow
    );
    let over = (0..30)
        .map(|_| site.get_runs("/config"))
        .find(|answer| answer.status == 429);
    let over = over.expect("a limit of 20 calls");
    says!(
        "rate_limit.requests, per key",
        over.header("retry-after").parse::<u32>().is_ok(),
        over
    );
    let stranger = site.bare("GET", "/api/v1/runs", &[], b"");
    says!("else per address", stranger.status == 401, stranger);
}

#[test]
fn keys_that_only_look_right() {
    let trusting = "[runs_api]\ntrust_well_formed_keys = true\n";
    let site = Site::with_settings(&["--no-ant"], trusting);
    let post = |site: &Site, shown: &str| {
        site.with(shown, "POST", "/api/v1/runs", &json!({ "inputData": 1 }))
    };
    let run = post(&site, "Bearer fmn_x_org9_abc").expect(201);
    says!(
        "accepts every fmn_[environment]_[organization]_[random]",
        run["orgId"] == "org9",
        run
    );
    let refused = post(&site, "Bearer fmn_x_org9");
    says!("but nothing else", refused.status == 401, refused);
    let site = Site::start(&["--no-ant"]);
    let refused = post(&site, "Bearer fmn_x_org9_abc");
    says!("default false", refused.status == 401, refused);
}
