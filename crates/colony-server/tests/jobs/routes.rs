//! The table of routes: who gets in, and what unknown paths and methods answer.

use axum::http::Method;
use colony_server::jobs::routes;
use colony_testkit::{block_on, both_databases};

use crate::http::call;
use crate::kit::Kit;

const SOME_ID: &str = "00000000-0000-7000-8000-000000000000";

both_databases! {
    /// 401 comes before everything else, on every route and also where there is none.
    fn nobody_gets_in_without_a_valid_token(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            let mut paths: Vec<(Method, String)> = routes()
                .iter()
                .map(|route| (route.method.clone(), route.path.replace("{id}", SOME_ID)))
                .collect();
            paths.push((Method::GET, "/api/nothing".to_owned()));
            paths.push((Method::HEAD, "/api/health".to_owned()));
            for (method, path) in &paths {
                for headers in [
                    &[][..],
                    &[("authorization", "Bearer wrong")],
                    &[("authorization", "Basic dTpw")],
                    &[("authorization", "Bearer ")],
                    &[("cookie", "formicary-session=x")],
                ] {
                    let answer = call(kit.address, method.as_str(), path, headers, b"{").await;
                    assert_eq!(answer.status, 401, "{method} {path} {headers:?}");
                    if *method != Method::HEAD {
                        assert_eq!(answer.error().1, "Unauthenticated");
                    }
                }
                let answer = kit.call(method.as_str(), path, &[], b"{").await;
                assert_ne!(answer.status, 401, "{method} {path}");
            }
            let lower = format!("bearer {}", kit.token.as_ref().unwrap());
            let headers = [("authorization", lower.as_str())];
            let answer = call(kit.address, "GET", "/api/jobs/requests", &headers, b"").await;
            assert_eq!(answer.status, 200);
        });
    }

    fn unknown_paths_and_methods_answer_in_json(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            for (method, path, status, message) in [
                ("GET", "/api/nothing", 404, "Not Found"),
                ("GET", "/", 404, "Not Found"),
                ("GET", "/api/jobs/definitions/", 404, "Not Found"),
                ("GET", "/api/jobs/definitions/a/b/c", 404, "Not Found"),
                ("PUT", "/api/jobs/definitions", 405, "Method Not Allowed"),
                ("DELETE", "/api/jobs/requests", 405, "Method Not Allowed"),
                ("PATCH", "/api/health", 405, "Method Not Allowed"),
                ("GET", "/api/jobs/requests/x/cancel", 405, "Method Not Allowed"),
            ] {
                let answer = kit.call(method, path, &[], b"").await;
                let body = serde_json::json!({"message": message});
                assert_eq!((answer.status, answer.json()), (status, body), "{method} {path}");
            }
            let head = kit.call("HEAD", "/api/health", &[], b"").await;
            assert_eq!((head.status, head.body.len()), (405, 0));
        });
    }

    fn answers_end_with_a_newline_and_can_be_indented(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let plain = kit.get("/api/jobs/requests").await;
            assert_eq!(
                plain.text(),
                "{\"Records\":[],\"TotalRecords\":0,\"Page\":0,\"PageSize\":200,\"TotalPages\":0}\n"
            );
            for path in ["/api/jobs/requests?pretty", "/api/jobs/requests?page=0&pretty=true"] {
                let pretty = kit.get(path).await;
                assert!(pretty.text().starts_with("{\n  \"Records\": [],\n"), "{}", pretty.text());
                assert_eq!(pretty.json(), plain.json());
            }
            let error = kit.get("/api/jobs/requests/x?pretty").await;
            assert!(error.text().starts_with("{\n  \"message\""), "{}", error.text());
        });
    }
}

#[test]
fn every_route_names_its_permission() {
    let table: Vec<String> = routes()
        .iter()
        .map(|route| {
            let permission = route.permission;
            let (resource, action) = (permission.resource, permission.action);
            format!("{} {} {resource}:{action}", route.method, route.path)
        })
        .collect();
    let expected = [
        "GET /api/jobs/definitions JobDefinition:Query",
        "POST /api/jobs/definitions JobDefinition:Create",
        "GET /api/jobs/definitions/{id} JobDefinition:View",
        "DELETE /api/jobs/definitions/{id} JobDefinition:Delete",
        "GET /api/jobs/definitions/{id}/yaml JobDefinition:View",
        "POST /api/jobs/definitions/{id}/disable JobDefinition:Disable",
        "POST /api/jobs/definitions/{id}/enable JobDefinition:Enable",
        "GET /api/jobs/requests JobRequest:Query",
        "POST /api/jobs/requests JobRequest:Submit",
        "GET /api/jobs/requests/{id} JobRequest:View",
        "GET /api/jobs/requests/{id}/logs JobRequest:View",
        "POST /api/jobs/requests/{id}/cancel JobRequest:Cancel",
        "POST /api/jobs/requests/{id}/restart JobRequest:Restart",
        "GET /api/artifacts Artifact:Query",
        "GET /api/artifacts/{id}/download Artifact:View",
        "GET /api/health Health:Query",
    ];
    assert_eq!(table, expected);
}
