//! Which call is legal when (`formicary-api` 5.2), and what a restart changes (8.4).

use colony_testkit::{block_on, both_databases};
use serde_json::json;

use crate::ant::{Ant, End};
use crate::kit::{Kit, TWO};

const REQUESTS: &str = "/api/jobs/requests";

fn failing() -> End {
    End {
        exit_code: 3,
        ..End::default()
    }
}

async fn restart(kit: &Kit, id: &str, query: &str) -> u16 {
    kit.post(&format!("{REQUESTS}/{id}/restart{query}"))
        .await
        .status
}

both_databases! {
    fn only_what_does_not_run_may_be_restarted(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            let pending = kit.submit_id("two").await;
            let answer = kit.post(&format!("{REQUESTS}/{pending}/restart")).await;
            assert_eq!(answer.error(), (409, "Conflict".to_owned()));
            // Cancelled.
            kit.post(&format!("{REQUESTS}/{pending}/cancel")).await.empty();
            kit.post(&format!("{REQUESTS}/{pending}/restart")).await.empty();
            let request = kit.request(&pending).await;
            assert_eq!((&request["job_state"], &request["retried"]), (&json!("PENDING"), &json!(1)));
            assert_eq!(request["error_code"], "");
            // Executing.
            let mut ant = Ant::connect(&kit.engine).await;
            let order = ant.order().await;
            kit.wait(&pending, "EXECUTING").await;
            assert_eq!(restart(&kit, &pending, "").await, 409);
            ant.end(&order, End::default()).await;
            ant.work(End::default()).await;
            // Completed: everything runs again.
            let done = kit.wait(&pending, "COMPLETED").await;
            assert_eq!(restart(&kit, &pending, "").await, 200);
            let first = ant.work(End::default()).await;
            assert_eq!(first.task_type, "a");
            ant.work(End::default()).await;
            let again = kit.wait(&pending, "COMPLETED").await;
            assert_ne!(again["job_execution_id"], done["job_execution_id"]);
            assert_eq!(again["last_job_execution_id"], done["job_execution_id"]);
            assert_eq!(again["retried"], 2);
        });
    }

    /// Checklist 17 and 18.
    fn a_soft_restart_reuses_and_a_hard_one_repeats(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            kit.save(TWO).await;
            let id = kit.submit_id("two").await;
            ant.work(End::default()).await;
            ant.work(failing()).await;
            let failed = kit.wait(&id, "FAILED").await;
            assert_eq!(failed["execution"]["exit_code"], "3");
            assert_eq!(restart(&kit, &id, "?hard=false").await, 200);
            let order = ant.work(failing()).await;
            assert_eq!(order.task_type, "b", "the first task is reused");
            let request = kit.wait(&id, "FAILED").await;
            assert_eq!(request["retried"], 1);
            let states: Vec<_> = request["execution"]["tasks"].as_array().unwrap().iter()
                .map(|task| format!("{} {}", task["task_type"], task["task_state"]))
                .collect();
            assert_eq!(states, ["\"a\" \"COMPLETED\"", "\"b\" \"FAILED\""]);
            assert_eq!(restart(&kit, &id, "?hard=true").await, 200);
            assert_eq!(ant.work(End::default()).await.task_type, "a");
            assert_eq!(ant.work(End::default()).await.task_type, "b");
            kit.wait(&id, "COMPLETED").await;
        });
    }

    fn a_restart_may_name_a_version(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let old = kit.save(&format!("sem_version: 1.0\n{TWO}")).await;
            let id = kit.submit_id("two").await;
            let new = kit.save(&format!("sem_version: 2.0\n{TWO}")).await;
            let other = kit.save(&TWO.replace("two", "three")).await;
            let versions = [
                (String::new(), 200, &old),
                ("?version=latest".to_owned(), 200, &new),
                ("?version=1.0".to_owned(), 200, &old),
                (format!("?version={}", new["id"].as_str().unwrap()), 200, &new),
                ("?version=9.9".to_owned(), 404, &new),
                (format!("?version={}", other["id"].as_str().unwrap()), 404, &new),
            ];
            for (query, status, expected) in versions {
                kit.post(&format!("{REQUESTS}/{id}/cancel")).await.empty();
                assert_eq!(restart(&kit, &id, &query).await, status, "{query}");
                let request = kit.request(&id).await;
                assert_eq!(request["job_definition_id"], expected["id"], "{query}");
            }
        });
    }
}
