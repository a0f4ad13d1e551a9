//! docs/runs-api.md, "Job tasks for workers".

use colony_testkit::wait_for;
use serde_json::{Value, json};

use super::{Site, each, says, text};
use crate::kit::{PATIENCE, also_on_postgres};

also_on_postgres! {
    job_tasks_for_workers
}

const PHOTOS: &str = "\
job_type: photos
tasks:
- task_type: thumbs
  method: WORKER
  worker_type: resize
  variables: {size: '{{.wanted}}px'}
  timeout: 10m
  retry: 2
  on_completed: publish
- task_type: publish
  method: SHELL
  script: ['echo \"{{.count}} {{.color}} thumbnails\"']
";

#[test]
fn job_tasks_for_workers() {
    let site = Site::start(&[]);
    let key = site.new_key("default");
    let call = |method: &str, path: &str, body: &Value| {
        site.with(&key, method, &format!("/api/v1{path}"), body)
    };
    let claim = || {
        let claim = json!({ "types": ["resize"], "workerId": "w", "waitMs": 60_000 });
        let got = call("POST", "/tasks/claim", &claim).expect(200);
        assert_eq!(got["tasks"].as_array().unwrap().len(), 1, "{got}");
        got["tasks"][0].clone()
    };
    site.save(PHOTOS).expect(201);
    let id = site.submit("photos", &json!({ "wanted": "64" }));
    let task = claim();
    let input = &task["inputData"];
    says!(
        "variables of the task and the request's parameters are inputData",
        input["size"] == "64px" && input["wanted"] == "64",
        task
    );
    let metadata = &task["metadata"];
    says!(
        "metadata names jobType, taskType, requestId, definitionId and version",
        metadata["jobType"] == "photos"
            && metadata["taskType"] == "thumbs"
            && metadata["requestId"] == id.as_str()
            && metadata["definitionId"].is_string()
            && metadata.get("version").is_some(),
        metadata
    );
    let path = format!("/tasks/{}", text(&task["id"]));
    let refused = call("PATCH", &path, &json!({ "status": "completed" }));
    says!(
        "a PATCH without the lease is refused with 409",
        refused.status == 409,
        refused
    );
    let refused = call(
        "POST",
        "/tasks",
        &json!({ "runId": task["runId"], "type": "x", "inputData": {} }),
    );
    says!(
        "so is a POST of a task into a job's run",
        refused.status == 409,
        refused
    );

    call(
        "PATCH",
        &path,
        &json!({ "status": "queued", "leaseToken": task["leaseToken"] }),
    )
    .expect(200);
    let task = claim();
    says!(
        "queued gives the task back without blame",
        site.request(&id)["execution"]["tasks"][0]["retried"]
            .as_u64()
            .unwrap_or(0)
            == 0,
        task
    );
    let report = json!({ "status": "retrying", "leaseToken": task["leaseToken"], "errorData": { "message": "no", "code": "E1" } });
    call("PATCH", &path, &report).expect(200);
    let task = claim();
    says!(
        "retrying counts as a failure: retry applies",
        text(&task["leaseToken"]) != text(&report["leaseToken"]),
        task
    );

    let data = json!({ "key": "color", "value": "blue", "taskId": task["id"] });
    call(
        "POST",
        &format!("/runs/{}/data", text(&task["runId"])),
        &data,
    )
    .expect(201);
    let done = json!({ "status": "completed", "outputData": { "count": 7 }, "leaseToken": task["leaseToken"] });
    call("PATCH", &path, &done).expect(200);
    let ended = site.ended(&id);
    says!(
        "completed is exit code 0",
        ended["job_state"] == "COMPLETED" && ended["execution"]["tasks"][0]["exit_code"] == "0",
        ended
    );
    let log = site
        .get_jobs(&format!("jobs/requests/{id}/logs?task=publish"))
        .expect(200);
    says!(
        "members of outputData and run data are variables of later templates",
        each(&log["lines"], "text")
            .iter()
            .any(|line| **line == "7 blue thumbnails"),
        log
    );
    let run = call(
        "GET",
        &format!("/runs/{}", text(&task["runId"])),
        &Value::Null,
    )
    .expect(200);
    says!(
        "an execution is a run, its tasks are tasks",
        run["status"] == "completed" && run["totalTasks"] == 2,
        run
    );

    let id = site.submit("photos", &json!({ "wanted": "1" }));
    let task = claim();
    site.jobs("POST", &format!("jobs/requests/{id}/cancel"), &Value::Null)
        .expect(200);
    let stop = wait_for(PATIENCE, || {
        let beat = call(
            "POST",
            "/tasks/heartbeat",
            &json!({ "leaseTokens": [task["leaseToken"]] }),
        )
        .expect(200);
        if beat["leases"][0]["stop"] == true {
            Ok(beat)
        } else {
            Err(beat)
        }
    });
    says!(
        "cancel: the next heartbeat answers stop; the lease is not renewed any more",
        stop["leases"][0]["renewed"] == false,
        stop
    );
    let path = format!("/tasks/{}", text(&task["id"]));
    let report = json!({ "status": "cancelled", "leaseToken": task["leaseToken"] });
    call("PATCH", &path, &report).expect(200);
    site.in_state(&id, "CANCELLED");

    let fail = |code: &str| {
        let task = claim();
        let error = json!({ "code": code, "message": "broken" });
        let report =
            json!({ "status": "failed", "leaseToken": task["leaseToken"], "errorData": error });
        call("PATCH", &format!("/tasks/{}", text(&task["id"])), &report).expect(200);
    };
    for (code, expected) in [("ERR_MINE", "ERR_MINE"), ("E7", "ERR_TASK_EXECUTE")] {
        let id = site.submit("photos", &json!({ "wanted": "1" }));
        (0..3).for_each(|_| fail(code));
        let ended = site.ended(&id);
        let task = &ended["execution"]["tasks"][0];
        says!(
            "failed is 1, with the message of errorData as the task's, and its code when that begins with ERR_",
            ended["job_state"] == "FAILED"
                && task["exit_code"] == "1"
                && task["error_code"] == expected
                && task["error_message"] == "broken",
            ended
        );
    }
}
