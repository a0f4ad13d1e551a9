//! Bodies that are sent compressed.

use std::io::Write as _;

use colony_testkit::{block_on, both_databases};
use serde_json::json;

use crate::kit::{Kit, one_task};

const DEFINITIONS: &str = "/api/jobs/definitions";
const REQUESTS: &str = "/api/jobs/requests";
const YAML: (&str, &str) = ("content-type", "application/yaml");
const JSON: (&str, &str) = ("content-type", "application/json");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn invalid() -> (u16, String) {
    (400, "InvalidRequest".to_owned())
}

both_databases! {
    fn a_definition_and_a_request_may_be_compressed(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let text = one_task("packed");
            let packed = gzip(text.as_bytes());
            for encoding in ["gzip", "GZIP", "x-gzip"] {
                let headers = [YAML, ("content-encoding", encoding)];
                let saved = kit.call("POST", DEFINITIONS, &headers, &packed).await;
                assert!(saved.status == 201 || saved.status == 200, "{}", saved.text());
            }
            let list = kit.get(DEFINITIONS).await.expect(200);
            assert_eq!(list["TotalRecords"], 1, "the same text is the same version");
            let id = list["Records"][0]["id"].as_str().unwrap();
            let stored = kit.get(&format!("{DEFINITIONS}/{id}/yaml")).await;
            assert_eq!(stored.text(), text, "stored as it was before it was compressed");
            let long = "x".repeat(100_000);
            let body = json!({ "job_type": "packed", "params": { "Long": long } }).to_string();
            let packed = gzip(body.as_bytes());
            assert!(packed.len() < 10_000);
            let headers = [JSON, ("content-encoding", "gzip")];
            let request = kit.call("POST", REQUESTS, &headers, &packed).await.expect(201);
            assert_eq!(request["params"]["Long"], long.as_str());
        });
    }

    fn bounds_are_those_of_what_a_compressed_body_holds(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let bomb = gzip(&vec![b' '; 20 << 20]);
            assert!(bomb.len() < 1 << 20);
            let packed = [JSON, ("content-encoding", "gzip")];
            let answer = kit.call("POST", REQUESTS, &packed, &bomb).await;
            assert_eq!(answer.error(), (413, "TooLarge".to_owned()));
            let answer = kit.call("POST", DEFINITIONS, &[YAML, packed[1]], &bomb).await;
            assert_eq!(answer.error(), invalid(), "as a definition of more than 1 MiB");
            let whole = gzip(b"{}");
            let broken = [&whole[..whole.len() / 2], b"{}", b""];
            for body in broken {
                let answer = kit.call("POST", REQUESTS, &packed, body).await;
                assert_eq!(answer.error(), invalid(), "{body:?}");
            }
            for encoding in ["br", "deflate", "gzip, gzip"] {
                let headers = [JSON, ("content-encoding", encoding)];
                let answer = kit.call("POST", REQUESTS, &headers, &whole).await;
                assert_eq!(answer.error(), invalid(), "{encoding}");
            }
        });
    }
}
