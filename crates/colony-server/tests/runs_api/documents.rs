//! The OpenAPI document against the server.

use colony_testkit::{block_on, both_databases};
use serde_json::{Value, json};

use crate::support::{KEY, NIL, Reply, Server};

both_databases! {
    fn every_documented_route_is_served_with_documented_statuses(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let document = Reply::of(server.request("GET", "/api/openapi.json")).await.expect(200);
            assert_eq!(document["openapi"], "3.1.0");
            let mut count = 0;
            for (path, methods) in document["paths"].as_object().unwrap() {
                let real: Vec<&str> = path.split('/')
                    .map(|part| if part.starts_with('{') { NIL } else { part }).collect();
                for (method, operation) in methods.as_object().unwrap() {
                    let method = method.to_uppercase();
                    let request = server.request(&method, &real.join("/")).header("x-api-key", KEY);
                    let request = if method == "GET" { request } else { request.json(&json!({})) };
                    let reply = Reply::of(request).await;
                    assert_ne!(reply.body["error"], "Not found", "{method} {path}");
                    let status = reply.status.to_string();
                    assert!(operation["responses"].get(&status).is_some(), "{method} {path} {status}");
                    assert_ne!(status, "500");
                    count += 1;
                }
            }
            assert_eq!(count, 21);
        });
    }

    fn every_reference_in_the_document_leads_somewhere(db) {
        let document = colony_server::runs::document();
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(references.len() > 20, "{references:?} {}", db.stats().closures);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    fn the_page_needs_nothing_from_elsewhere(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let response = server.request("GET", "/api/docs").send().await.unwrap();
            assert_eq!(response.status(), 200);
            let page = response.text().await.unwrap();
            assert!(page.contains("openapi.json") && !page.contains("http://") && !page.contains("https://"));
        });
    }
}

fn collect<'d>(value: &'d Value, references: &mut Vec<&'d str>) {
    match value {
        Value::Object(map) => {
            references.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
