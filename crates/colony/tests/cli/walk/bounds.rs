//! docs/runs-api.md, "Bounds": each bound is reached, and passed by one.

use serde_json::{Value, json};

use super::{JSON, Site, says, text};
use crate::http::Answer;
use crate::kit::also_on_postgres;

also_on_postgres! {
    bodies
    texts
    the_character_nul
    numbers_of_things
    times
}

/// The path and the code of the first problem.
fn problem(answer: &Answer) -> (Value, Value) {
    let details = answer.expect(400)["details"].clone();
    (details[0]["path"].clone(), details[0]["code"].clone())
}

#[test]
fn bodies() {
    let site = Site::start(&["--no-ant"]);
    let headers = [JSON, ("authorization", site.key.as_str())];
    let post = |body: &str| site.bare("POST", "/api/v1/runs", &headers, body.as_bytes());
    let sized = |bytes: usize| format!("{{\"inputData\":\"{}\"}}", "x".repeat(bytes - 16));
    says!(
        "10 MiB",
        post(&sized(10 << 20)).status == 201,
        "a body of 10 MiB"
    );
    says!(
        "10 MiB",
        post(&sized((10 << 20) + 1)).status == 413,
        "a byte more"
    );
    let deep = |depth: usize| {
        format!(
            "{{\"inputData\":{}{}}}",
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        )
    };
    says!(
        "512 levels deep",
        post(&deep(512)).status == 201,
        post(&deep(512))
    );
    says!(
        "512 levels deep",
        post(&deep(513)).status == 400,
        post(&deep(513))
    );
}

#[test]
fn texts() {
    let site = Site::start(&["--no-ant"]);
    let run = site.new_run();
    let task = text(&site.new_task(&run, &json!({}))["id"]);
    // Each of these has two UTF-16 code units.
    let long = |units: usize| format!("{}{}", "😀".repeat(units / 2), "x".repeat(units % 2));
    let check = |send: &dyn Fn(&str) -> Answer, what: &str| {
        let (fits, over) = (send(&long(255)), send(&long(256)));
        assert!(fits.status < 300, "{what} of 255 units: {fits:?}");
        assert_eq!(over.status, 400, "{what} of 256 units: {over:?}");
    };
    let with_type = |kind: &str| {
        site.runs(
            "POST",
            "/tasks",
            &json!({ "runId": run, "type": kind, "inputData": 1 }),
        )
    };
    check(&with_type, "a type");
    check(
        &|key| {
            site.runs(
                "POST",
                &format!("/runs/{run}/data"),
                &json!({ "key": key, "value": 1, "taskId": task }),
            )
        },
        "a key",
    );
    check(
        &|id| {
            site.runs(
                "POST",
                "/tasks/claim",
                &json!({ "types": ["x"], "workerId": id }),
            )
        },
        "a worker id",
    );
    check(
        &|kind| site.runs("POST", "/tasks/claim", &json!({ "types": [kind] })),
        "a type of a claim",
    );
    check(
        &|key| {
            site.runs(
                "POST",
                "/tasks",
                &json!({ "runId": run, "type": "t", "inputData": 1, "dedupeKey": key }),
            )
        },
        "a key",
    );
    for (length, expected) in [(255, 201), (256, 400)] {
        let key = "k".repeat(length);
        let headers = [
            JSON,
            ("authorization", site.key.as_str()),
            ("idempotency-key", key.as_str()),
        ];
        let answer = site.bare("POST", "/api/v1/runs", &headers, b"{\"inputData\":1}");
        assert_eq!(answer.status, expected, "an idempotency key of {length}");
    }
    says!(
        "types have at least one",
        with_type("").status == 400,
        with_type("")
    );
}

#[test]
fn the_character_nul() {
    let site = Site::start(&["--no-ant"]);
    let run = site.new_run();
    let task = text(&site.new_task(&run, &json!({}))["id"]);
    let data = format!("/runs/{run}/data");
    let entry = |member: &str, value: Value| {
        let mut entry = json!({ "key": "k", "value": "a\0b", "taskId": task });
        entry[member] = value;
        site.runs("POST", &data, &entry)
    };
    for (answer, path) in [
        (
            site.runs(
                "POST",
                "/tasks",
                &json!({ "runId": run, "type": "a\0", "inputData": 1 }),
            ),
            json!(["type"]),
        ),
        (entry("key", json!("a\0")), json!(["key"])),
        (entry("tags", json!(["fine", "a\0"])), json!(["tags", 1])),
        (entry("taskId", json!("a\0")), json!(["taskId"])),
        (
            site.runs("POST", "/tasks/claim", &json!({ "types": ["a\0"] })),
            json!(["types", 0]),
        ),
    ] {
        assert_eq!(problem(&answer).0, path, "{answer:?}");
    }
    let answer = site.get_runs(&format!("{data}?key=a%00"));
    says!("400 in query strings", answer.status == 400, answer);
    let kept = entry("metadata", json!({ "a\0": "\0" }));
    says!(
        "JSON values may hold it",
        kept.expect(201)["value"] == "a\0b" && kept.json()["metadata"] == json!({ "a\0": "\0" }),
        kept
    );
}

#[test]
fn numbers_of_things() {
    let site = Site::start(&["--no-ant"]);
    let run = site.new_run();
    let task = text(&site.new_task(&run, &json!({}))["id"]);
    let post = |path: &str, body: Value| site.runs("POST", path, &body);
    let item = json!({ "runId": run, "type": "b", "inputData": 1 });
    let report = json!({ "taskId": task, "leaseToken": "x", "status": "completed" });
    for (count, fits) in [(1000, true), (1001, false)] {
        let answers = [
            (
                "tasks in one call",
                post("/tasks/batch", json!({ "tasks": vec![&item; count] })),
            ),
            (
                "reports in one call",
                post("/tasks/report", json!({ "reports": vec![&report; count] })),
            ),
            (
                "tokens in a heartbeat",
                post(
                    "/tasks/heartbeat",
                    json!({ "leaseTokens": vec!["t"; count] }),
                ),
            ),
        ];
        for (what, answer) in answers {
            assert_eq!(
                answer.status < 300,
                fits,
                "{count} {what}: {}",
                answer.status
            );
        }
    }
    for (count, expected) in [(100, 200), (101, 400)] {
        let answer = post("/tasks/claim", json!({ "types": vec!["x"; count] }));
        assert_eq!(answer.status, expected, "{count} types in a claim");
    }
    let data = format!("/runs/{run}/data");
    let entry =
        |tags: usize| json!({ "key": "k", "value": 1, "taskId": task, "tags": vec!["t"; tags] });
    let written = post(&data, entry(10_000)).expect(201);
    assert_eq!(post(&data, entry(10_001)).status, 400, "tags of an entry");
    let path = format!("{data}/{}/tags", text(&written["id"]));
    for (count, expected) in [(10_000, 200), (10_001, 400)] {
        let answer = site.runs("PATCH", &path, &json!({ "add": vec!["t"; count] }));
        assert_eq!(answer.status, expected, "{count} tags in one change");
    }
    let members = |count: usize| {
        let mut body: serde_json::Map<String, Value> =
            (1..count).map(|n| (format!("x{n}"), json!(n))).collect();
        body.insert("inputData".to_owned(), json!(1));
        Value::from(body)
    };
    for (count, expected) in [(1000, 201), (1001, 400)] {
        assert_eq!(
            post("/runs", members(count)).status,
            expected,
            "{count} members of a body"
        );
        let mut item = members(count - 2);
        item["runId"] = json!(run);
        item["type"] = json!("t");
        let answer = post("/tasks/batch", json!({ "tasks": [item] }));
        assert_eq!(
            answer.status, expected,
            "{count} members of an item: {answer:?}"
        );
    }
    let bad = json!({ "tasks": vec![json!({}); 900] });
    let told = post("/tasks/batch", bad).expect(400)["details"]
        .as_array()
        .unwrap()
        .len();
    says!("1000 problems told of one body", told == 1000, told);
}

#[test]
fn times() {
    let site = Site::start(&["--no-ant"]);
    let run = site.new_run();
    let claim = |member: &str, value: i64| site.claim(&json!({ "types": ["none"], member: value }));
    for (value, used) in [
        (99, 100),
        (100, 100),
        (3_600_000, 3_600_000),
        (3_600_001, 3_600_000),
    ] {
        let got = claim("leaseMs", value);
        says!(
            "lease of 0.1 s to 1 h",
            got["leaseMs"] == used
                && got.get("clamped").is_some_and(|c| c == &json!(["leaseMs"])) == (value != used),
            got
        );
    }
    // A claim that finds a task at once does not wait.
    site.new_task(&run, &json!({ "type": "none" }));
    let got = claim("waitMs", 60_001);
    says!(
        "a claim waits 60 s at most",
        got["waitMs"] == 60_000 && got["clamped"] == json!(["waitMs"]),
        got
    );
    let year = 365_i64 * 24 * 60 * 60 * 1000;
    for (delay, expected) in [(year, 201), (year + 1, 400), (-1, 400)] {
        let task = json!({ "runId": run, "type": "t", "inputData": 1, "delayMs": delay });
        assert_eq!(
            site.runs("POST", "/tasks", &task).status,
            expected,
            "delay {delay}"
        );
    }
}
