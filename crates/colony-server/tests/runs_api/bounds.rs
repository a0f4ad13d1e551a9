//! How much one body may hold beside its bytes.

use colony_testkit::{block_on, both_databases};
use serde_json::{Map, Value, json};

use crate::support::{NIL, Server, id};

/// The only problem of a body that is refused.
async fn problem(server: &Server, path: &str, body: Value) -> Value {
    let refused = server.post(path, body).await.expect(400);
    let details = refused["details"].as_array().unwrap();
    assert_eq!(details.len(), 1, "{refused}");
    details[0].clone()
}

both_databases! {
    /// What is too long is refused before its parts are looked at, and names its bound.
    fn long_arrays_and_objects_are_refused_as_such(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let data = format!("/runs/{}/data", id(&run));
            let entry = |tags: usize| json!({
                "key": "k", "value": 1, "taskId": NIL, "tags": vec!["t"; tags],
            });
            let found = problem(&server, &data, entry(10_001)).await;
            assert_eq!(found["message"], "Array must contain at most 10000 element(s)");
            assert_eq!(found["path"], json!(["tags"]));
            // Fine as it is, but there is no such task.
            server.post(&data, entry(10_000)).await.expect(404);

            for (path, name) in [("/tasks/batch", "tasks"), ("/tasks/report", "reports")] {
                let found = problem(&server, path, json!({ name: vec![7; 100_000] })).await;
                assert_eq!(found["message"], "Array must contain at most 1000 element(s)");
            }
            let tokens = json!({ "leaseTokens": vec![json!({}); 100_000] });
            let found = problem(&server, "/tasks/heartbeat", tokens).await;
            assert_eq!(found["path"], json!(["leaseTokens"]));

            let members = |count: usize| {
                let names = (1..count).map(|number| (format!("x{number}"), json!([number])));
                Value::Object(Map::from_iter(names.chain([("inputData".to_owned(), json!(1))])))
            };
            server.post("/runs", members(1_000)).await.expect(201);
            let found = problem(&server, "/runs", members(1_001)).await;
            assert_eq!(found["message"], "Object must contain at most 1000 member(s)");
            assert_eq!((&found["code"], &found["path"]), (&json!("too_big"), &json!([])));
        });
    }

    /// However much is wrong with a body, the answer stays short.
    fn problems_are_told_up_to_a_bound(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let data = format!("/runs/{}/data", id(&run));
            let entry = json!({ "key": "k", "value": 1, "taskId": NIL, "tags": vec![7; 9_000] });
            let refused = server.post(&data, entry).await.expect(400);
            assert_eq!(refused["details"].as_array().unwrap().len(), 1_000);
        });
    }
}
