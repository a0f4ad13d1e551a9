//! Listing and downloading artifacts (`formicary-api` 7.3).

use colony_core::id::ArtifactId;
use colony_testkit::{block_on, both_databases};
use colony_wire::Order;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde_json::Value;

use crate::ant::{Ant, End, archive, line};
use crate::kit::{Kit, TWO};

const BYTES: &[u8] = b"PK not really a zip\0\xff";
/// Any 64 digits will do: nobody hashes here.
const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Runs the first task with an archive in the object store.
async fn run_with_archive(kit: &Kit, ant: &mut Ant) -> (Value, Order) {
    kit.save(TWO).await;
    let id = kit.submit_id("two").await;
    let order = ant.order().await;
    kit.objects
        .put(&Path::from("k/1"), BYTES.into())
        .await
        .unwrap();
    let artifact_id = ArtifactId::new(order.attempt.task_id.uuid());
    let size = u64::try_from(BYTES.len()).unwrap();
    let artifacts = Some(archive(artifact_id, "k/1", HASH, size));
    let log = line("hello");
    ant.end(
        &order,
        End {
            artifacts,
            log,
            ..End::default()
        },
    )
    .await;
    ant.work(End::default()).await;
    (kit.wait(&id, "COMPLETED").await, order)
}

fn find<'v>(request: &'v Value, kind: &str) -> &'v Value {
    let artifacts = request["execution"]["tasks"][0]["artifacts"]
        .as_array()
        .unwrap();
    artifacts
        .iter()
        .find(|artifact| artifact["kind"] == kind)
        .unwrap()
}

both_databases! {
    /// Checklist 23.
    fn bytes_are_found_by_id_hash_and_url(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            let (request, _) = run_with_archive(&kit, &mut ant).await;
            let stored = find(&request, "TASK_ARTIFACTS");
            let log = find(&request, "LOGS");
            for (artifact, bytes) in [(stored, BYTES), (log, line("hello").as_bytes())] {
                let id = artifact["id"].as_str().unwrap();
                let hash = artifact["sha256"].as_str().unwrap();
                let url = artifact["url"].as_str().unwrap();
                let upper = hash.to_uppercase();
                let by = |key: &str| format!("/api/artifacts/{key}/download");
                for path in [by(id), by(hash), by(&upper), url.to_owned()] {
                    let answer = kit.get(&path).await;
                    assert_eq!((answer.status, answer.body.as_slice()), (200, bytes), "{path}");
                    assert_eq!(answer.headers["content-length"], bytes.len().to_string());
                }
            }
            let answer = kit.get(stored["url"].as_str().unwrap()).await;
            let disposition = "attachment; filename=\"a\\\"b.zip\"";
            assert_eq!(answer.headers["content-disposition"], disposition);
            assert_eq!(answer.headers["content-type"], "application/zip");
        });
    }

    /// A log with a NUL is one byte shorter than what is stored of it.
    fn a_log_with_nul_is_readable(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            kit.save(TWO).await;
            let id = kit.submit_id("two").await;
            ant.work(End { log: line("a\0b"), ..End::default() }).await;
            ant.work(End::default()).await;
            let request = kit.wait(&id, "COMPLETED").await;
            let log = find(&request, "LOGS");
            let answer = kit.get(log["url"].as_str().unwrap()).await;
            assert_eq!(answer.text(), line("a\u{fffd}b"));
            assert_eq!(log["user_id"], request["user_id"]);
            assert_eq!(log["organization_id"], "default");
        });
    }

    fn unknown_artifacts_answer_404(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            let other_hash = "f".repeat(64);
            for key in ["nope", "00000000-0000-7000-8000-000000000000", &other_hash] {
                let answer = kit.get(&format!("/api/artifacts/{key}/download")).await;
                assert_eq!(answer.error(), (404, "NotFound".to_owned()), "{key}");
            }
            // Its row is there, its bytes are gone.
            run_with_archive(&kit, &mut ant).await;
            kit.objects.delete(&Path::from("k/1")).await.unwrap();
            let answer = kit.get(&format!("/api/artifacts/{HASH}/download")).await;
            assert_eq!(answer.error(), (404, "NotFound".to_owned()));
        });
    }

    fn artifacts_are_filtered_and_ordered(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            let (request, order) = run_with_archive(&kit, &mut ant).await;
            let id = request["id"].as_str().unwrap();
            let run = request["job_execution_id"].as_str().unwrap();
            let task = order.attempt.task_id;
            let all = kit.get("/api/artifacts").await.expect(200);
            assert_eq!(all["TotalRecords"], 3);
            // The newest first.
            assert_eq!(all["Records"][0]["task_type"], "b");
            for (query, expected) in [
                (format!("job_request_id={id}"), 3),
                (format!("job_execution_id={run}"), 3),
                (format!("task_execution_id={task}"), 2),
                (format!("sha256={HASH}"), 1),
                ("kind=LOGS".to_owned(), 2),
                ("task_type=b".to_owned(), 1),
                ("group=".to_owned(), 3),
                ("content_length:%3E=100000".to_owned(), 0),
                (format!("content_length={}", BYTES.len()), 1),
                ("content_type=application/zip".to_owned(), 1),
                ("q=b.zip".to_owned(), 1),
                ("q=LOGS".to_owned(), 2),
            ] {
                let page = kit.get(&format!("/api/artifacts?{query}")).await.expect(200);
                assert_eq!(page["TotalRecords"], expected, "{query}");
            }
            let page = kit.get(&format!("/api/artifacts?sha256={HASH}")).await.expect(200);
            assert_eq!(page["Records"][0], *find(&request, "TASK_ARTIFACTS"));
        });
    }
}
