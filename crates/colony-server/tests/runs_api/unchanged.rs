//! Data of users passes as it is, whatever its keys are.

use std::io::Write as _;

use colony_testkit::{block_on, both_databases};
use serde_json::{Value, json};

use crate::support::{KEY, Reply, Server, id};

/// Keys to which serialization libraries give a meaning of their own, or might.
const KEYS: [&str; 6] = [
    "$serde_json::private::RawValue",
    "$serde_json::private::Number",
    "$__toml_private_datetime",
    "$serde::private",
    "__proto__",
    "",
];

/// An object of every such key with contents that could be taken for something else.
pub(crate) fn tricky() -> Value {
    let contents = [
        json!("{\"b\":1}"),
        json!("1e5"),
        json!("no json"),
        json!(7),
        json!({"a": []}),
    ];
    let objects = KEYS
        .iter()
        .flat_map(|key| contents.iter().map(move |value| json!({ *key: value })));
    Value::Array(objects.collect())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

both_databases! {
    fn keys_of_libraries_have_no_meaning(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let (tricky, first) = (tricky(), tricky()[0].clone());
            let run = server.post("/runs", json!({ "inputData": tricky, "metadata": first })).await;
            let run = run.expect(201);
            assert_eq!((&run["inputData"], &run["metadata"]), (&tricky, &first));
            let change = json!({ "outputData": tricky, "errorData": first, "metadata": first });
            let path = format!("/runs/{}", id(&run));
            server.patch(&path, change.clone()).await.expect(200);
            let run = server.get(&path).await.expect(200);
            assert_eq!((&run["outputData"], &run["errorData"]), (&tricky, &first));
            let body = json!({ "runId": run["id"], "type": "t", "inputData": tricky, "metadata": first });
            server.post("/tasks/batch", json!({ "tasks": [body] })).await.expect(201);
            let claim = json!({ "types": ["t"], "waitMs": 20_000 });
            let task = server.post("/tasks/claim", claim).await.expect(200)["tasks"][0].clone();
            assert_eq!((&task["inputData"], &task["metadata"]), (&tricky, &first));
            let mut report = change;
            report["taskId"] = task["id"].clone();
            report["status"] = json!("completed");
            server.post("/tasks/report", json!({ "reports": [report] })).await.expect(200);
            let task = server.get(&format!("/tasks/{}", id(&task))).await.expect(200);
            assert_eq!((&task["outputData"], &task["errorData"]), (&tricky, &first));
            let data = json!({ "key": "k", "value": tricky, "taskId": task["id"], "metadata": first });
            server.post(&format!("{path}/data"), data).await.expect(201);
            let page = server.get(&format!("{path}/data")).await.expect(200);
            assert_eq!((&page["data"][0]["value"], &page["data"][0]["metadata"]), (&tricky, &first));
        });
    }

    /// A body may be compressed; its bound is that of what it holds.
    fn bodies_may_be_compressed(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let send = async |encoding: &str, body: Vec<u8>| {
                let request = server.as_key(KEY, "POST", "/runs").header("content-encoding", encoding);
                Reply::of(request.header("content-type", "application/json").body(body)).await
            };
            let text = json!({ "inputData": { "a": "x".repeat(100_000) } });
            let packed = gzip(text.to_string().as_bytes());
            assert!(packed.len() < 10_000);
            let run = send("gzip", packed.clone()).await.expect(201);
            assert_eq!(run["inputData"], text["inputData"]);
            send("identity", text.to_string().into_bytes()).await.expect(201);
            send("gzip", packed[..packed.len() / 2].to_vec()).await
                .refused(400, "Invalid JSON in request body");
            send("br", packed).await.refused(400, "Content-Encoding must be gzip or identity");
            let bomb = gzip(&vec![b' '; 100 << 20]);
            send("gzip", bomb).await.refused(413, "Request body too large");
        });
    }

    /// A task that nests as deep as is allowed is shown in refusals too.
    fn a_refusal_shows_a_deep_task(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
            let body = format!(r#"{{"runId":"{}","type":"t","inputData":{deep}}}"#, id(&run));
            let send = async |method: &str, path: &str, body: String| {
                let answer = server.as_key(KEY, method, path).body(body).send().await.unwrap();
                (answer.status().as_u16(), answer.text().await.unwrap())
            };
            let (status, text) = send("POST", "/tasks", body).await;
            assert_eq!(status, 201, "{text}");
            let task_id = text.split('"').nth(3).unwrap();
            let change = r#"{"status":"completed","leaseToken":"no"}"#.to_owned();
            let (status, text) = send("PATCH", &format!("/tasks/{task_id}"), change).await;
            assert_eq!(status, 409, "{text}");
            assert!(text.contains(&format!(r#""inputData":{deep}"#)), "{text}");
        });
    }
}
