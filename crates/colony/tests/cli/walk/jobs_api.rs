//! docs/jobs-api.md, from a definition to its artifacts.

use colony_testkit::wait_for;
use serde_json::{Value, json};

use super::{REPORT, Site, each, one_task, says, text};
use crate::kit::{PATIENCE, also_on_postgres};

also_on_postgres! {
    save_a_definition
    how_many_run_at_once
    submit_and_wait_for_the_end
    exit_codes_of_tasks_that_were_stopped
    read_the_log_and_fetch_artifacts
}

#[test]
fn save_a_definition() {
    let site = Site::start(&["--no-ant"]);
    let first = site.save(REPORT);
    let saved = first.expect(201);
    says!(
        "201 is the first version of a type",
        saved["sem_version"] == "",
        first
    );
    let again = site.save(REPORT);
    says!(
        "saving the same text again answers with the version that is there",
        again.status == 200 && again.json()["id"] == saved["id"],
        again
    );
    let later = site.save(&format!("{REPORT}description: x\n"));
    says!(
        "200 a later one; a new version gets a new id",
        later.status == 200 && later.json()["id"] != saved["id"],
        later
    );
    let pretty = site.get_jobs("jobs/definitions?pretty");
    says!(
        "?pretty gives indented JSON",
        pretty.text().starts_with("{\n  "),
        pretty
    );

    let body = |timeout: Value| {
        let task = json!({ "task_type": "a", "method": "SHELL", "script": ["true"] });
        json!({ "job_type": format!("js{}", timeout.is_string()), "timeout": timeout, "tasks": [task] })
    };
    for timeout in [json!("90s"), json!(90_000_000_000_i64)] {
        let saved = site
            .jobs("POST", "jobs/definitions", &body(timeout))
            .expect(201);
        says!(
            "durations are nanoseconds in answers, JSON input takes both",
            saved["timeout"] == 90_000_000_000_i64,
            saved
        );
    }
    let wrong = site
        .save("job_type: x\ntasks:\n- task_type: a\n  method: SHEL\n")
        .expect(400);
    let detail = &wrong["details"][0];
    says!(
        "a wrong definition is refused with the place of each error",
        wrong["code"] == "InvalidRequest"
            && detail["path"] == "body"
            && detail["line"] == 4
            && detail["column"] == 11,
        wrong
    );
    says!(
        "did you mean",
        text(&detail["message"]).contains("did you mean `SHELL`"),
        wrong
    );
    let notify = one_task("warn", "notify: {email: {recipients: [a@b.c]}}\n");
    let warned = site.save(&notify);
    let warnings = warned.expect(201)["warnings"].clone();
    let count = warnings.as_array().unwrap().len();
    says!(
        "warnings have message, line and column; X-Colony-Warnings counts them",
        count > 0
            && warned.header("x-colony-warnings") == count.to_string()
            && warnings[0]["message"].is_string()
            && warnings[0]["line"] == 2
            && warnings[0]["column"].is_number(),
        warned
    );
}

#[test]
fn how_many_run_at_once() {
    let site = Site::start(&[]);
    let job = "job_type: slow\ntasks:\n- task_type: a\n  method: SHELL\n  script: [sleep 3600]\n";
    site.save(job).expect(201);
    let ids: Vec<String> = (0..4).map(|_| site.submit("slow", &json!({}))).collect();
    for id in &ids[..3] {
        site.in_state(id, "EXECUTING");
    }
    let words = "waits for a free slot: 3 of 3 in use (max_concurrency, 3 unless set)";
    let waiting = wait_for(PATIENCE, || {
        let request = site.request(&ids[3]);
        if request["error_message"] == words {
            Ok(request)
        } else {
            Err(request)
        }
    });
    says!(
        "what is more waits, and error_message says so",
        waiting["job_state"] == "PENDING",
        waiting
    );
    for id in &ids {
        site.jobs("POST", &format!("jobs/requests/{id}/cancel"), &Value::Null)
            .expect(200);
        site.in_state(id, "CANCELLED");
    }
    site.save(&one_task("kept", "max_concurrency: 7\n"))
        .expect(201);
    let later = site
        .save(&one_task("kept", "description: later\n"))
        .expect(200);
    says!(
        "a new version that does not set it keeps what the last one had",
        later["max_concurrency"] == 7,
        later
    );
}

#[test]
fn submit_and_wait_for_the_end() {
    let site = Site::start(&[]);
    site.save(REPORT).expect(201);
    let body = json!({ "job_type": "report", "params": { "Region": "eu" } });
    let request = site.jobs("POST", "jobs/requests", &body).expect(201);
    says!(
        "the answer to a submit",
        request["job_state"] == "PENDING"
            && request["params"] == json!({ "Region": "eu" })
            && request["execution"].is_null(),
        request
    );
    let ended = site.ended(&text(&request["id"]));
    let tasks = &ended["execution"]["tasks"];
    says!(
        "wait_ms answers when the request is finished",
        ended["job_state"] == "COMPLETED",
        ended
    );
    says!(
        "tasks in their order",
        each(tasks, "task_type") == ["fetch", "publish"],
        ended
    );
    says!(
        "task_state and exit_code",
        tasks[0]["task_state"] == "COMPLETED" && tasks[0]["exit_code"] == "0",
        tasks
    );
    let contexts = &ended["execution"]["contexts"];
    says!(
        "contexts are <task>-status and <task>_ArtifactURL_<n>",
        each(contexts, "name")
            .iter()
            .any(|name| **name == "fetch-status")
            && each(contexts, "name")
                .iter()
                .any(|name| **name == "fetch_ArtifactURL_1"),
        contexts
    );
    let notes = &tasks[0]["contexts"];
    says!(
        "a task's are what the queen notes of it",
        each(notes, "name").iter().any(|name| **name == "AntID"),
        notes
    );
    let big = "x".repeat(100 * 1024);
    site.save("job_type: big\ntasks:\n- task_type: a\n  method: SHELL\n  script: ['echo \"${COLONY_PARAMS-none}\"']\n").expect(201);
    let small = site.ended(&site.submit("big", &json!({ "Big": "y" })));
    let line = |id: &Value| {
        let log = site
            .get_jobs(&format!("jobs/requests/{}/logs?wait_ms=30000", text(id)))
            .expect(200);
        each(&log["lines"], "text")
            .iter()
            .map(|line| text(line))
            .collect::<Vec<_>>()
    };
    says!(
        "$COLONY_PARAMS holds all of them",
        line(&small["id"]).contains(&r#"{"Big":"y"}"#.to_owned()),
        line(&small["id"])
    );
    let large = site.ended(&site.submit("big", &json!({ "Big": big })));
    says!(
        "up to 96 KiB",
        line(&large["id"]).iter().any(|line| line == "none"),
        large
    );
}

#[test]
fn exit_codes_of_tasks_that_were_stopped() {
    let site = Site::start(&[]);
    let job = |name: &str, timeout: &str, script: &str| {
        let text = format!(
            "job_type: {name}\ntasks:\n- task_type: a\n  method: SHELL\n{timeout}  script:\n  - |\n    {script}\n"
        );
        site.save(&text).expect(201);
        site.submit(name, &json!({}))
    };
    let timeout = "  timeout: 1s\n";
    let cancelled = job("cancelled", "", "echo begun; sleep 3600");
    let polite = job("polite", timeout, "sleep 3600");
    let stubborn = job(
        "stubborn",
        timeout,
        "trap '' TERM; while true; do sleep 1; done",
    );
    let task = |ended: &Value| ended["execution"]["tasks"][0]["exit_code"].clone();
    // Its log shows that the command runs.
    wait_for(PATIENCE, || {
        let log = site
            .get_jobs(&format!("jobs/requests/{cancelled}/logs?wait_ms=1000"))
            .expect(200);
        if each(&log["lines"], "text")
            .iter()
            .any(|line| **line == "begun")
        {
            Ok(())
        } else {
            Err(log)
        }
    });
    site.jobs(
        "POST",
        &format!("jobs/requests/{cancelled}/cancel"),
        &Value::Null,
    )
    .expect(200);
    let ended = wait_for(PATIENCE, || {
        let request = site.request(&cancelled);
        let over = request["execution"]["tasks"][0]["task_state"] != "EXECUTING";
        if over { Ok(request) } else { Err(request) }
    });
    says!(
        "0 when it was cancelled",
        ended["job_state"] == "CANCELLED" && task(&ended) == "0",
        ended
    );
    let ended = site.ended(&polite);
    says!("143 at its timeout", task(&ended) == "143", ended);
    let ended = site.ended(&stubborn);
    says!(
        "137 when it did not listen and was killed",
        task(&ended) == "137",
        ended
    );
}

#[test]
fn read_the_log_and_fetch_artifacts() {
    let site = Site::start(&[]);
    site.save(REPORT).expect(201);
    let id = site.submit("report", &json!({ "Region": "eu" }));
    site.ended(&id);
    let logs = |more: &str| {
        site.get_jobs(&format!("jobs/requests/{id}/logs?{more}"))
            .expect(200)
    };
    let mut page = logs("wait_ms=30000");
    let lines = page["lines"].as_array().unwrap();
    let hello = lines
        .iter()
        .find(|line| line["text"] == "fetching eu")
        .unwrap();
    says!(
        "a line",
        hello["task"] == "fetch"
            && hello["retry"] == 0
            && hello["stream"] == "stdout"
            && hello["partial"] == false
            && hello["time"].is_string(),
        hello
    );
    let (mut seen, mut rounds) = (lines.len(), 0);
    while page["done"] == false {
        let cursor = text(&page["cursor"]).replace('/', "%2F");
        page = logs(&format!("wait_ms=3000&cursor={cursor}"));
        seen += page["lines"].as_array().unwrap().len();
        rounds += 1;
        assert!(rounds < 50, "never done: {page}");
    }
    let all = logs("wait_ms=1000");
    says!(
        "call again until done: every line comes once",
        seen == all["lines"].as_array().unwrap().len(),
        all
    );
    let one = logs("task=publish");
    says!(
        "task=NAME shows one task only",
        !each(&one["lines"], "task").is_empty()
            && each(&one["lines"], "task")
                .iter()
                .all(|task| **task == "publish"),
        one
    );

    let of_kind = |kind: &str| {
        let list = site
            .get_jobs(&format!("artifacts?job_request_id={id}&kind={kind}"))
            .expect(200);
        list["Records"].as_array().unwrap().clone()
    };
    let artifacts = of_kind("TASK_ARTIFACTS");
    let fetched = artifacts
        .iter()
        .find(|artifact| artifact["task_type"] == "fetch")
        .unwrap();
    let download = |name: &Value| site.get_jobs(&format!("artifacts/{}/download", text(name)));
    let (by_id, by_hash) = (download(&fetched["id"]), download(&fetched["sha256"]));
    says!(
        "by id or SHA-256",
        by_id.body.starts_with(b"PK") && by_id.body == by_hash.body,
        by_id
    );
    says!(
        "curl -OJ finds a name",
        by_id
            .header("content-disposition")
            .starts_with("attachment"),
        by_id
    );
    says!(
        "a log is an artifact of kind LOGS",
        of_kind("LOGS").len() == 2,
        of_kind("LOGS")
    );
}
