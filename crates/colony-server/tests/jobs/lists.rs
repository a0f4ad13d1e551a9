//! Pages, filters, order and free text (`formicary-api` 1.3, 1.4, 7.1, 7.2).

use colony_testkit::{block_on, both_databases};
use serde_json::{Value, json};

use crate::kit::{Kit, escaped, one_task};

const REQUESTS: &str = "/api/jobs/requests";
const DEFINITIONS: &str = "/api/jobs/definitions";

/// A member of all records of a list.
async fn members(kit: &Kit, path: &str, member: &str) -> Vec<String> {
    let answer = kit.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let page = answer.json();
    let records = page["Records"].as_array().unwrap();
    let texts = records.iter().map(|record| match &record[member] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    texts.collect()
}

fn request(job_type: &str, description: &str, priority: i64) -> Value {
    json!({"job_type": job_type, "description": description, "job_priority": priority})
}

/// Requests r0 … r3; r3 is cancelled.
async fn fill(kit: &Kit) {
    for job_type in ["one", "two"] {
        kit.save(&one_task(job_type)).await;
    }
    for body in [
        request("one", "r0", 0),
        request("two", "r1", 5),
        request("one", "r2", 9),
    ] {
        kit.submit(&body).await;
    }
    let last = kit.submit(&request("two", "r3", 0)).await;
    let id = last["id"].as_str().unwrap();
    kit.post(&format!("{REQUESTS}/{id}/cancel")).await.empty();
}

both_databases! {
    /// Checklist 9 and 10.
    fn pages_have_the_envelope(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            for job_type in ["c", "a", "b"] {
                kit.save(&one_task(job_type)).await;
            }
            let page = kit.get(&format!("{DEFINITIONS}?page=1&page_size=2")).await.expect(200);
            let expected = json!({
                "Records": page["Records"], "TotalRecords": 3, "Page": 1, "PageSize": 2,
                "TotalPages": 2
            });
            assert_eq!(page, expected);
            assert_eq!(page["Records"][0]["job_type"], "c", "the default order is by job_type");
            let past = kit.get(&format!("{DEFINITIONS}?page=3&page_size=1")).await.expect(200);
            assert_eq!((&past["Records"], &past["TotalPages"]), (&json!([]), &json!(3)));
            for (query, size) in [
                ("", 200), ("page_size=99999", 1000), ("page_size=0", 200), ("page_size=x", 200),
                ("pageSize=7", 7), ("pageSize=7&page_size=5", 5),
                ("page=4294967295&page_size=1000", 1000),
            ] {
                let page = kit.get(&format!("{DEFINITIONS}?{query}")).await.expect(200);
                assert_eq!(page["PageSize"], size, "{query}");
            }
        });
    }

    fn requests_are_filtered_and_ordered(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            fill(&kit).await;
            for (query, expected) in [
                ("job_type=one&order=created_at", "r0 r2"),
                ("jobType=two&order=createdAt%20desc", "r3 r1"),
                ("job_type:in=one,two&order=job_priority%20desc&order=created_at", "r2 r1 r0 r3"),
                ("job_type:!=one&order=created_at", "r1 r3"),
                ("job_type:%3C%3E=one&order=created_at", "r1 r3"),
                ("job_type:like=w&order=created_at", "r1 r3"),
                ("job_type:contains=w&order=created_at", "r1 r3"),
                ("job_priority:%3E=5&order=created_at", "r2"),
                ("job_priority:%3E%3D=5&order=created_at", "r1 r2"),
                ("job_priority:%3C=5&order=created_at", "r0 r3"),
                ("job_priority:%3C%3D=5&order=created_at", "r0 r1 r3"),
                ("job_type=one&job_type=two&order=created_at", "r0 r2"),
                ("cron_triggered=false&job_state=CANCELLED", "r3"),
                ("job_state=WAITING", "r2 r1 r0"),
                ("job_state=PENDING", "r2 r1 r0"),
                ("job_state=DONE", "r3"),
                ("job_state=RUNNING", ""),
                ("job_state=nonsense", ""),
                ("job_state:in=RUNNING,DONE", "r3"),
                ("job_state:!=DONE&order=created_at", "r0 r1 r2"),
                ("created_at:%3E=2020-01-01T00:00:00Z&created_at:%3C=2100-01-01T00:00:00Z&order=created_at", "r0 r1 r2 r3"),
                ("id=00000000-0000-7000-8000-000000000000", ""),
                ("id=nonsense", ""),
                ("error_code=ERR_JOB_CANCELLED", "r3"),
                ("q=r1", "r1"),
                ("q=two&order=created_at", "r1 r3"),
                ("q=&order=created_at&authorization=x", "r0 r1 r2 r3"),
            ] {
                let found = members(&kit, &format!("{REQUESTS}?{query}"), "description").await;
                assert_eq!(found.join(" "), expected, "{query}");
            }
            let newest = members(&kit, REQUESTS, "description").await;
            assert_eq!(newest[0], "r3", "the last change first: {newest:?}");
            let id = &members(&kit, &format!("{REQUESTS}?q=r1"), "id").await[0];
            for query in [format!("q={id}"), format!("id={id}"), format!("id:in={id},x")] {
                let found = members(&kit, &format!("{REQUESTS}?{query}"), "description").await;
                assert_eq!(found, ["r1"], "{query}");
            }
        });
    }

    fn definitions_are_filtered_and_ordered(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(&format!("description: First\nplatform: linux\n{}", one_task("a"))).await;
            kit.save(&format!("max_concurrency: 9\n{}", one_task("b"))).await;
            let tagged = format!("{}  tags: [x, gpu]\n", one_task("c"));
            kit.save(&tagged).await;
            for (query, expected) in [
                ("", "a b c"),
                ("order=job_type%20desc", "c b a"),
                ("order=max_concurrency%20desc&order=job_type", "b a c"),
                ("platform=linux", "a"),
                ("tags=gpu,x", "c"),
                ("tags=gpu", ""),
                ("tags:like=gpu", "c"),
                ("max_concurrency:%3E=3", "b"),
                ("disabled=true", ""),
                ("public_plugin=true", ""),
                ("public_plugin:in=true,false", "a b c"),
                ("methods=SHELL&job_type:in=a,c", "a c"),
                ("q=First", "a"),
                ("q=gpu", "c"),
                ("q=c", "c"),
            ] {
                let found = members(&kit, &format!("{DEFINITIONS}?{query}"), "job_type").await;
                assert_eq!(found.join(" "), expected, "{query}");
            }
        });
    }

    fn unknown_fields_and_values_answer_400(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            for path in [DEFINITIONS, REQUESTS, "/api/artifacts"] {
                for query in [
                    "nosuch=1", "order=nosuch", "order=drop%20table", "order=id%20sideways",
                    "id:near=1", "raw_yaml=x", "created_at=yesterday", "created_at:like=2", ":=1",
                    "org_id=x",
                ] {
                    let answer = kit.get(&format!("{path}?{query}")).await;
                    let code = answer.error();
                    assert_eq!(code, (400, "InvalidRequest".to_owned()), "{path}?{query}");
                }
            }
            let answer = kit.get(&format!("{REQUESTS}?job_priority={}", escaped("high"))).await;
            assert_eq!(answer.status, 400);
            let answer = kit.get(&format!("{REQUESTS}?cron_triggered=maybe")).await;
            assert_eq!(answer.status, 400);
        });
    }
}
