//! docs/runs-api.md, "The work queue".

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use super::{JSON, Site, each, says, text};
use crate::http::call;
use crate::kit::also_on_postgres;

also_on_postgres! {
    creating_tasks
    claiming_tasks
    reporting_on_tasks
    leases_that_run_out
    requests_with_a_key
}

fn none(value: &Value, member: &str) -> bool {
    value.get(member).is_none_or(Value::is_null)
}

#[test]
fn creating_tasks() {
    let site = Site::start(&["--no-ant"]);
    let run = site.new_run();
    let (late, early, first) = (
        site.new_task(&run, &json!({ "priority": 5 })),
        site.new_task(&run, &json!({ "priority": 1 })),
        site.new_task(&run, &json!({})),
    );
    let second = site.new_task(&run, &json!({}));
    let claimed = site.claim(&json!({ "limit": 10 }));
    let order = [&first, &second, &early, &late].map(|task| &task["id"]);
    says!(
        "lower priorities first (default 0), then older tasks",
        each(&claimed["tasks"], "id") == order,
        claimed
    );

    let delayed = site.new_task(&run, &json!({ "type": "later", "delayMs": 1500 }));
    let begun = Instant::now();
    let nothing = site.claim(&json!({ "types": ["later"] }));
    says!(
        "a delayed task is offered later",
        nothing["tasks"] == json!([]),
        nothing
    );
    let got = site.claim(&json!({ "types": ["later"], "waitMs": 20_000 }));
    says!(
        "a delayed task is offered later",
        each(&got["tasks"], "id") == [&delayed["id"]] && begun.elapsed().as_millis() > 1000,
        got
    );

    let keyed = json!({ "type": "once", "dedupeKey": "k", "runId": run, "inputData": 1 });
    let (one, two) = (
        site.runs("POST", "/tasks", &keyed),
        site.runs("POST", "/tasks", &keyed),
    );
    says!(
        "one task per key and run: a second request gets the first one's task with 200",
        one.status == 201 && two.status == 200 && one.json()["id"] == two.json()["id"],
        two
    );

    let task = json!({ "runId": run, "type": "batch", "inputData": {} });
    let wrong = json!({ "runId": run, "type": "", "inputData": {} });
    let all = site
        .runs(
            "POST",
            "/tasks/batch",
            &json!({ "tasks": [task, task, task] }),
        )
        .expect(201);
    says!(
        "up to 1000 tasks",
        all["tasks"].as_array().unwrap().len() == 3,
        all
    );
    let none = site.runs("POST", "/tasks/batch", &json!({ "tasks": [task, wrong] }));
    let list = site
        .get_runs(&format!("/tasks?runId={run}&limit=100"))
        .expect(200);
    let stored = each(&list["data"], "type")
        .iter()
        .filter(|kind| ***kind == "batch")
        .count();
    says!("all or none", none.status == 400 && stored == 3, none);
    says!(
        "classic: both list envelopes",
        list["items"] == list["data"] && list["pagination"]["total"] == list["total"],
        list
    );

    let claimed = json!({ "type": "elsewhere", "queueJobId": "q-1" });
    let task = site.new_task(&run, &json!({ "type": "elsewhere" }));
    let path = format!("/tasks/{}", text(&task["id"]));
    site.runs(
        "PATCH",
        &path,
        &json!({ "queueJobId": claimed["queueJobId"] }),
    )
    .expect(200);
    let running = site.new_task(&run, &json!({ "type": "elsewhere" }));
    site.runs(
        "PATCH",
        &format!("/tasks/{}", text(&running["id"])),
        &json!({ "status": "running" }),
    )
    .expect(200);
    let nothing = site.claim(&json!({ "types": ["elsewhere"] }));
    says!(
        "until someone says by PATCH that it runs or is in an external queue",
        nothing["tasks"] == json!([]),
        nothing
    );
}

#[test]
fn claiming_tasks() {
    let site = Site::start(&["--no-ant"]);
    let run = site.new_run();
    let task = site.new_task(&run, &json!({}));
    let got = site.claim(&json!({ "limit": 1, "waitMs": 20_000, "leaseMs": 30_000 }));
    let claimed = &got["tasks"][0];
    says!(
        "the answer to a claim",
        got["limit"] == 1
            && got["waitMs"] == 20_000
            && got["leaseMs"] == 30_000
            && none(&got, "clamped"),
        got
    );
    says!(
        "a claimed task",
        claimed["id"] == task["id"]
            && claimed["status"] == "running"
            && text(&claimed["leaseToken"]) == format!("{}.1", text(&task["id"]))
            && claimed["leaseExpiresAt"].is_string()
            && claimed["startedAt"].is_string(),
        claimed
    );
    let begun = Instant::now();
    let nothing = site.claim(&json!({ "types": ["none"], "waitMs": 700 }));
    says!(
        "answers 200 with an empty list when the wait ends",
        nothing["tasks"] == json!([]) && begun.elapsed().as_millis() >= 600,
        nothing
    );
    let bounded =
        site.claim(&json!({ "types": ["none"], "waitMs": -1, "limit": 99_999, "leaseMs": 1 }));
    says!(
        "numbers out of bounds are clamped and named in clamped",
        bounded["limit"] == 1000
            && bounded["leaseMs"] == 100
            && bounded["waitMs"] == 0
            && bounded["clamped"] == json!(["limit", "waitMs", "leaseMs"]),
        bounded
    );

    // A claim that waits hears of a task that is created meanwhile.
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| site.claim(&json!({ "types": ["soon"], "waitMs": 60_000 })));
        site.new_task(&run, &json!({ "type": "soon" }));
        waiting.join().unwrap()
    });
    says!(
        "waits for tasks",
        each(&waiting["tasks"], "type") == ["soon"],
        waiting
    );

    // A caller whose connection has gone.
    let body = json!({ "types": ["gone"], "waitMs": 60_000 }).to_string();
    let head = format!(
        "POST /api/v1/tasks/claim HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\
        content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        site.key,
        body.len()
    );
    let mut stream = TcpStream::connect(site.queen.address()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream);
    site.new_task(&run, &json!({ "type": "gone" }));
    let got = site.claim(&json!({ "types": ["gone"], "waitMs": 60_000 }));
    says!(
        "tasks claimed for a caller whose connection has gone are given back at once",
        each(&got["tasks"], "type") == ["gone"],
        got
    );
}

#[test]
fn reporting_on_tasks() {
    let site = Site::start(&["--no-ant"]);
    let run = site.new_run();
    (0..4).for_each(|_| drop(site.new_task(&run, &json!({}))));
    let got = site.claim(&json!({ "limit": 4 }));
    let tasks: Vec<(String, String)> = got["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| (text(&task["id"]), text(&task["leaseToken"])))
        .collect();
    let patch = |id: &str, body: &Value| site.runs("PATCH", &format!("/tasks/{id}"), body);
    let beat = |token: &str| {
        site.runs(
            "POST",
            "/tasks/heartbeat",
            &json!({ "leaseTokens": [token] }),
        )
        .expect(200)
    };
    let [
        (first, token),
        (second, held),
        (third, other),
        (fourth, last),
    ] = &tasks[..]
    else {
        panic!("{got}")
    };
    let renewed = &beat(token)["leases"][0];
    says!(
        "renews leases",
        renewed["renewed"] == true && renewed["stop"] == false,
        renewed
    );
    let wrong = patch(
        first,
        &json!({ "status": "completed", "leaseToken": format!("{first}.7") }),
    );
    says!(
        "stored only under the current lease, else 409 with the task as it is",
        wrong.expect(409)["task"]["id"] == *first,
        wrong
    );
    let headers = [
        JSON,
        ("authorization", site.key.as_str()),
        ("x-lease-token", token.as_str()),
    ];
    let body = br#"{"status":"completed","outputData":{"w":1}}"#;
    let done = call(
        site.queen.address(),
        "PATCH",
        &format!("/api/v1/tasks/{first}"),
        &headers,
        body,
    );
    says!(
        "or the header x-lease-token",
        done.expect(200)["status"] == "completed",
        done
    );
    let report =
        |id: &str, token: &str| json!({ "taskId": id, "leaseToken": token, "status": "completed" });
    let reports = json!({ "reports": [report(second, held), report(third, "x")] });
    let results = site.runs("POST", "/tasks/report", &reports).expect(200);
    says!(
        "each with an outcome of its own",
        each(&results["results"], "accepted") == [true, false],
        results
    );
    let cancelled = patch(third, &json!({ "status": "cancelled" }));
    says!(
        "a PATCH without a token works",
        cancelled.expect(200)["status"] == "cancelled",
        cancelled
    );
    let stop = &beat(other)["leases"][0];
    says!(
        "stop says that the task was cancelled",
        stop["stop"] == true,
        stop
    );
    patch(fourth, &json!({ "status": "running" })).expect(200);
    says!(
        "a PATCH ends the lease when it says anything but running",
        beat(last)["leases"][0]["stop"] == false,
        fourth
    );
    patch(
        fourth,
        &json!({ "status": "retrying", "delayMs": 600_000, "leaseToken": last }),
    )
    .expect(200);
    let nothing = site.claim(&json!({}));
    says!(
        "a worker that reports retrying puts the task back, after delayMs",
        nothing["tasks"] == json!([]),
        nothing
    );

    let task = site.new_task(&run, &json!({ "type": "waited" }));
    let path = format!("/tasks/{}", text(&task["id"]));
    let ended = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| site.get_runs(&format!("{path}?waitMs=60000")).expect(200));
        site.runs("PATCH", &path, &json!({ "status": "completed" }))
            .expect(200);
        waiting.join().unwrap()
    });
    says!(
        "answers when the task ends",
        ended["status"] == "completed",
        ended
    );
}

#[test]
fn leases_that_run_out() {
    let site = Site::start(&["--no-ant"]);
    let run = site.new_run();
    let task = site.new_task(&run, &json!({ "maxRetries": 1 }));
    let path = format!("/tasks/{}?waitMs=60000", text(&task["id"]));
    site.claim(&json!({ "leaseMs": 100 }));
    let again = site.claim(&json!({ "leaseMs": 100, "waitMs": 60_000 }));
    says!(
        "a lease that runs out makes the task retrying and offers it again",
        again["tasks"][0]["id"] == task["id"]
            && again["tasks"][0]["retryCount"] == 1
            && text(&again["tasks"][0]["leaseToken"]).ends_with(".2"),
        again
    );
    let failed = site.get_runs(&path).expect(200);
    let error = json!({ "code": "LEASE_EXPIRED", "message": "lease expired: worker w1 did not renew it in time" });
    says!(
        "after maxRetries retries the task is failed",
        failed["status"] == "failed" && failed["errorData"] == error,
        failed
    );
}

#[test]
fn requests_with_a_key() {
    let site = Site::start(&["--no-ant"]);
    let post = |path: &str, key: &str, body: &Value| {
        let headers = [
            JSON,
            ("authorization", site.key.as_str()),
            ("idempotency-key", key),
        ];
        site.bare(
            "POST",
            &format!("/api/v1{path}"),
            &headers,
            body.to_string().as_bytes(),
        )
    };
    let body = json!({ "inputData": { "long": "x".repeat(5000) } });
    let (one, two) = (post("/runs", "a", &body), post("/runs", "a", &body));
    says!(
        "the same key and body get the same answer",
        one.status == 201 && two.status == 201 && one.body == two.body,
        two
    );
    let other = post("/runs", "a", &json!({ "inputData": 2 }));
    says!("another body gets 409", other.status == 409, other);
    let elsewhere = post("/tasks/claim", "a", &body);
    says!(
        "another path, too",
        elsewhere.status == 409 || elsewhere.status == 400,
        elsewhere
    );
    let run = text(&one.json()["id"]);
    site.new_task(&run, &json!({}));
    let claim = json!({ "types": ["resize"], "leaseMs": 60_000 });
    let (one, two) = (
        post("/tasks/claim", "c", &claim),
        post("/tasks/claim", "c", &claim),
    );
    says!(
        "a claim with a key: the same request gets it again",
        one.json()["tasks"].as_array().unwrap().len() == 1 && one.body == two.body,
        two
    );
    let beat = json!({ "leaseTokens": [one.json()["tasks"][0]["leaseToken"]] });
    let (one, two) = (
        post("/tasks/heartbeat", "h", &beat),
        post("/tasks/heartbeat", "h", &beat),
    );
    says!(
        "on any POST",
        one.status == 200 && one.body == two.body,
        two
    );
}
