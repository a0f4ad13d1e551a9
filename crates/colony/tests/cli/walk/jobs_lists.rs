//! docs/jobs-api.md, "Endpoints" and "Lists".

use serde_json::{Value, json};

use super::{JSON, REPORT, Site, YAML, each, one_task, says, text};
use crate::http::Answer;
use crate::kit::also_on_postgres;

also_on_postgres! {
    endpoints
    errors
    lists
}

#[test]
fn endpoints() {
    let site = Site::start(&[]);
    let saved = site
        .save(&one_task("ver", "sem_version: 1.2.0\n"))
        .expect(201);
    site.save(&one_task("ver", "sem_version: 1.3.0\n"))
        .expect(200);
    let id = text(&saved["id"]);
    let get = |path: &str| site.get_jobs(&format!("jobs/definitions/{path}"));
    let post = |path: &str| site.jobs("POST", &format!("jobs/definitions/{path}"), &Value::Null);
    let delete =
        |path: &str| site.jobs("DELETE", &format!("jobs/definitions/{path}"), &Value::Null);
    let list = site.get_jobs("jobs/definitions").expect(200);
    says!(
        "list the newest versions",
        each(&list["Records"], "sem_version") == ["1.3.0"],
        list
    );
    says!(
        "by type",
        get("ver").expect(200)["sem_version"] == "1.3.0",
        get("ver")
    );
    says!("by id", get(&id).expect(200)["id"] == saved["id"], get(&id));
    says!(
        "version= picks a sem_version",
        get("ver?version=1.2.0").expect(200)["id"] == saved["id"],
        get("ver")
    );
    let yaml = get(&format!("{id}/yaml"));
    says!(
        "the text as it was saved",
        yaml.text() == one_task("ver", "sem_version: 1.2.0\n"),
        yaml
    );
    for answer in [post("ver/disable"), post("ver/enable"), delete("ver")] {
        says!("by id only", (400..500).contains(&answer.status), answer);
    }
    post(&format!("{id}/disable")).expect(200);
    post(&format!("{id}/enable")).expect(200);
    let newest = text(&get("ver").expect(200)["id"]);
    delete(&newest).expect(200);
    site.save(&one_task("gone", "")).expect(201);
    delete(&text(&get("gone").expect(200)["id"])).expect(200);
    says!("hide", get("gone").status == 404, get("gone"));
    site.get_jobs("health").expect(200);

    site.save(REPORT).expect(201);
    let request = site.submit("report", &json!({ "Region": "x" }));
    site.ended(&request);
    let act = |action: &str| {
        site.jobs(
            "POST",
            &format!("jobs/requests/{request}/{action}"),
            &Value::Null,
        )
    };
    act("cancel").expect(200);
    says!(
        "a finished request stays as it is",
        site.request(&request)["job_state"] == "COMPLETED",
        site.request(&request)
    );
    act("restart?hard=true").expect(200);
    let again = site.ended(&request);
    says!(
        "hard=true repeats every task",
        again["job_state"] == "COMPLETED"
            && again["execution"]["tasks"].as_array().unwrap().len() == 2,
        again
    );
}

#[test]
fn errors() {
    let site = Site::start(&["--no-ant"]);
    let shape = |answer: &Answer, status: u16, code: &str| {
        answer.status == status
            && answer.json()["code"] == code
            && answer.json()["message"].is_string()
    };
    for (method, path) in [
        ("GET", "jobs/definitions"),
        ("POST", "jobs/requests"),
        ("GET", "artifacts"),
        ("GET", "unknown"),
    ] {
        let answer = site.bare(method, &format!("/api/{path}"), &[], b"{");
        says!(
            "401 comes before everything else",
            shape(&answer, 401, "Unauthenticated"),
            answer
        );
    }
    let answer = site.jobs("POST", "jobs/requests", &json!([]));
    says!(
        "400 what was sent is wrong",
        shape(&answer, 400, "InvalidRequest"),
        answer
    );
    let answer = site.get_jobs("jobs/requests/nope");
    says!(
        "404 no such object",
        shape(&answer, 404, "NotFound"),
        answer
    );
    site.save(REPORT).expect(201);
    let body = json!({ "job_type": "report", "params": { "Region": "x" }, "user_key": "once" });
    site.jobs("POST", "jobs/requests", &body).expect(201);
    let answer = site.jobs("POST", "jobs/requests", &body);
    says!(
        "409 the user_key is taken",
        shape(&answer, 409, "Conflict"),
        answer
    );
    let large = format!("{{\"job_type\":\"{}\"}}", "x".repeat(16 << 20));
    let headers = [JSON, ("authorization", site.token.as_str())];
    let answer = site.bare("POST", "/api/jobs/requests", &headers, large.as_bytes());
    says!(
        "413 a JSON body of more than 16 MiB",
        shape(&answer, 413, "TooLarge"),
        answer
    );
    let answer = site.save(&format!("{REPORT}#{}", "x".repeat(1 << 20)));
    says!(
        "a definition has at most 1 MiB",
        shape(&answer, 400, "InvalidRequest"),
        answer
    );
    let headers = [
        YAML,
        ("authorization", site.token.as_str()),
        ("origin", "https://evil.example"),
    ];
    let answer = site.bare("POST", "/api/jobs/definitions", &headers, REPORT.as_bytes());
    says!(
        "403 a web page of another origin sent it",
        shape(&answer, 403, "PermissionDenied"),
        answer
    );
    for name in ["a\\u0007b", "a\\nb", "a\\u202e\\u0000"] {
        let job = format!("job_type: \"{name}\"\ntasks:\n- task_type: a\n  method: SHELL\n");
        let answer = site.save(&job);
        says!(
            "names hold no control characters: 400 with the place",
            shape(&answer, 400, "InvalidRequest") && answer.json()["details"][0]["line"] == 1,
            answer
        );
    }
    let answer = site.save(&one_task("fine", "description: \"a\\tb\\nc\"\n"));
    says!(
        "descriptions may hold tabs and line breaks",
        answer.status == 201,
        answer
    );
}

#[test]
fn lists() {
    let site = Site::start(&["--no-ant"]);
    for (name, more) in [
        ("report", "description: last night\n"),
        ("etl", ""),
        ("other", ""),
    ] {
        site.save(&one_task(name, more)).expect(201);
        site.submit(name, &json!({}));
    }
    let get = |path: &str| site.get_jobs(&format!("jobs/{path}"));
    let total = |path: &str| get(path).expect(200)["TotalRecords"].as_u64().unwrap();
    let list = get("definitions").expect(200);
    let members: Vec<&String> = list.as_object().unwrap().keys().collect();
    says!(
        "lists are pages",
        members == ["Page", "PageSize", "Records", "TotalPages", "TotalRecords"],
        list
    );
    says!(
        "page from 0, 200 unless said",
        list["Page"] == 0 && list["PageSize"] == 200,
        list
    );
    says!(
        "page_size up to 1000",
        get("requests?page_size=1000").expect(200)["PageSize"] == 1000,
        list
    );
    let more = get("requests?page_size=1001");
    says!(
        "page_size up to 1000",
        more.status == 400 || more.json()["PageSize"] == 1000,
        more
    );
    let page = get("requests?page_size=1&page=1&order=created_at%20desc&order=id").expect(200);
    says!(
        "order may be repeated",
        page["Page"] == 1 && each(&page["Records"], "job_type") == ["etl"],
        page
    );
    says!(
        "an unknown filter is an error",
        get("requests?nosuch=1").status == 400,
        get("requests?nosuch=1")
    );
    for (filter, expected) in [
        ("requests?job_type=report", 1),
        ("requests?job_type:!=report", 2),
        ("definitions?description:like=night", 1),
        ("requests?job_type:in=report,etl", 2),
        ("requests?created_at:%3C=2100-01-01T00:00:00Z", 3),
        ("requests?created_at:%3E=2100-01-01T00:00:00Z", 0),
        ("requests?created_at:%3C%3D=2100-01-01T00:00:00Z", 3),
        ("requests?created_at:%3E%3D=2000-01-01T00:00:00Z", 3),
        ("requests?q=repo", 1),
        ("requests?job_state=WAITING", 3),
        ("requests?job_state=RUNNING", 0),
        ("requests?job_state=DONE", 0),
    ] {
        assert_eq!(total(filter), expected, "{filter}");
    }
}
