//! Submitting, reading and cancelling requests (`formicary-api` 7.2, 8.5).

use colony_core::time::{Clock as _, SystemClock, Timestamp};
use colony_testkit::{block_on, both_databases};
use serde_json::json;

use crate::ant::{Ant, End};
use crate::kit::{Kit, TWO, redacted};

const REQUESTS: &str = "/api/jobs/requests";

fn hours_from_now(hours: i64) -> String {
    Timestamp::from_millis(SystemClock.now().as_millis() + hours * 3_600_000).to_string()
}

both_databases! {
    /// Checklist 11.
    fn a_request_has_every_member_of_the_specification(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            let params = json!({"a": 1, "b": "x", "c": true, "d": [1], "e": {"f": 1}});
            let body = json!({"job_type": "two", "params": params, "id": "mine", "other": [1]});
            let request = kit.submit(&body).await;
            let expected = json!({
                "id": "<id>", "parent_id": "", "user_key": "<id>", "job_definition_id": "<id>",
                "job_execution_id": "", "last_job_execution_id": "", "organization_id": "",
                "user_id": "", "permissions": 0, "description": "", "platform": "",
                "job_type": "two", "job_version": "", "job_state": "PENDING", "job_group": "",
                "job_priority": 0, "timeout": 0, "schedule_attempts": 0, "retried": 0,
                "paused_count": 0, "cron_triggered": false,
                "quick_search": "  two  ;a=1b=xc=trued=[1]e={\"f\":1}", "error_code": "",
                "error_message": "", "current_task": "", "scheduled_at": "<time>",
                "created_at": "<time>", "updated_at": "<time>", "hard_restart": false,
                "cascade_cancel": false, "execution": null, "params": params
            });
            assert_eq!(redacted(&request), expected);
            let id = request["id"].as_str().unwrap();
            let read = kit.request(id).await;
            assert_eq!((&read["id"], &read["params"]), (&request["id"], &params));
        });
    }

    /// Keys to which serialization libraries give a meaning are keys like all others.
    fn parameters_pass_unchanged(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            let raw = "$serde_json::private::RawValue";
            let params = json!({
                "a": {raw: "{\"b\":1}"}, "b": {raw: 7}, "c": [{raw: "no json"}], "d": {"": {raw: "1"}},
                "e": {"$serde_json::private::Number": "1e5"},
            });
            let request = kit.submit(&json!({"job_type": "two", "params": params})).await;
            assert_eq!(request["params"], params);
            let id = request["id"].as_str().unwrap();
            assert_eq!(kit.request(id).await["params"], params);
        });
    }

    fn every_member_that_a_client_may_set_is_kept(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(&format!("sem_version: 1.0\n{TWO}")).await;
            let parent = kit.submit_id("two").await;
            let request = kit.submit(&json!({
                "job_type": "two", "job_version": "1.0", "description": "d", "platform": "p",
                "job_group": "g", "job_priority": 5, "timeout": "90s", "user_key": "k",
                "parent_id": parent, "permissions": 3, "params": null, "scheduled_at": null
            })).await;
            for (member, expected) in [
                ("job_version", json!("1.0")),
                ("description", json!("d")),
                ("platform", json!("p")),
                ("job_group", json!("g")),
                ("job_priority", json!(5)),
                ("timeout", json!(90_000_000_000_i64)),
                ("user_key", json!("k")),
                ("parent_id", json!(parent)),
                ("params", json!({})),
            ] {
                assert_eq!(request[member], expected, "{member}");
            }
            let missing = json!({"job_type": "two", "job_version": "9.9"});
            assert_eq!(kit.post_json(REQUESTS, &missing).await.status, 404);
        });
    }

    /// Checklist 12.
    fn a_request_may_wait_for_its_time(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            let later = hours_from_now(1);
            let request = kit.submit(&json!({"job_type": "two", "scheduled_at": later})).await;
            let shown: Timestamp = request["scheduled_at"].as_str().unwrap().parse().unwrap();
            assert_eq!(shown.to_string(), later);
            let past = json!({"job_type": "two", "scheduled_at": hours_from_now(-1)});
            let request = kit.submit(&past).await;
            assert_eq!(request["scheduled_at"], request["created_at"]);
        });
    }

    /// Checklist 13 and 16.
    fn a_user_key_is_free_again_once_its_request_ended(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            let body = json!({"job_type": "two", "user_key": "only-one"});
            let first = kit.submit(&body).await;
            let taken = kit.post_json(REQUESTS, &body).await;
            assert_eq!(taken.error(), (409, "Conflict".to_owned()));
            let id = first["id"].as_str().unwrap();
            let cancel = format!("{REQUESTS}/{id}/cancel");
            kit.post(&cancel).await.empty();
            let cancelled = kit.request(id).await;
            assert_eq!(cancelled["job_state"], "CANCELLED");
            assert_eq!(cancelled["error_code"], "ERR_JOB_CANCELLED");
            kit.post(&cancel).await.empty();
            assert_eq!(kit.request(id).await, cancelled, "the second time nothing happens");
            kit.submit(&body).await;
        });
    }

    fn unknown_requests_answer_404(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let unknown = "00000000-0000-7000-8000-000000000000";
            for (method, path) in [
                ("GET", format!("{REQUESTS}/{unknown}")),
                ("GET", format!("{REQUESTS}/{unknown}?wait_ms=1")),
                ("GET", format!("{REQUESTS}/nope")),
                ("GET", format!("{REQUESTS}/{unknown}/logs")),
                ("POST", format!("{REQUESTS}/{unknown}/cancel")),
                ("POST", format!("{REQUESTS}/{unknown}/restart")),
                ("POST", format!("{REQUESTS}/nope/restart")),
            ] {
                let answer = kit.call(method, &path, &[], b"").await;
                assert_eq!(answer.error(), (404, "NotFound".to_owned()), "{method} {path}");
            }
            let body = json!({"job_type": "nope"});
            let answer = kit.post_json(REQUESTS, &body).await;
            assert_eq!(answer.error(), (404, "NotFound".to_owned()));
        });
    }

    fn a_running_request_is_cancelled_by_its_ant(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            kit.save(TWO).await;
            let id = kit.submit_id("two").await;
            let order = ant.order().await;
            kit.wait(&id, "EXECUTING").await;
            kit.post(&format!("{REQUESTS}/{id}/cancel")).await.empty();
            assert_eq!(ant.cancelled().await, order.attempt);
            ant.end(&order, End { exit_code: 143, ..End::default() }).await;
            let request = kit.wait(&id, "CANCELLED").await;
            assert_eq!(request["error_code"], "ERR_JOB_CANCELLED");
        });
    }

    /// A long poll answers at the end of the request, not at the end of the wait.
    fn waiting_ends_with_the_request(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            let id = kit.submit_id("two").await;
            let short = kit.get(&format!("{REQUESTS}/{id}?wait_ms=1")).await.expect(200);
            assert_eq!(short["job_state"], "PENDING");
            let path = format!("{REQUESTS}/{id}?wait_ms=3600000");
            let cancel = format!("{REQUESTS}/{id}/cancel");
            let start = std::time::Instant::now();
            let (waited, ()) = tokio::join!(kit.get(&path), async {
                kit.post(&cancel).await.empty();
            });
            assert_eq!(waited.expect(200)["job_state"], "CANCELLED");
            assert_eq!(kit.get(&path).await.expect(200)["job_state"], "CANCELLED");
            assert!(start.elapsed().as_secs() < 20);
            for wait in ["soon", "-1", "1.5"] {
                let answer = kit.get(&format!("{REQUESTS}/{id}?wait_ms={wait}")).await;
                assert_eq!(answer.error(), (400, "InvalidRequest".to_owned()));
            }
        });
    }

    /// An end that a restart undid is no end: the wait goes on to the next one.
    fn waiting_goes_on_over_a_cancel_and_a_restart(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            kit.save(TWO).await;
            let id = kit.submit_id("two").await;
            let order = ant.order().await;
            kit.post(&format!("{REQUESTS}/{id}/cancel")).await.empty();
            kit.post(&format!("{REQUESTS}/{id}/restart")).await.empty();
            ant.cancelled().await;
            // The cancelled run ends now; the request waits for the end of the next one.
            let path = format!("{REQUESTS}/{id}?wait_ms=20000");
            let (waited, ()) = tokio::join!(kit.get(&path), async {
                ant.end(&order, End { exit_code: 143, ..End::default() }).await;
                for _ in 0..2 {
                    ant.work(End::default()).await;
                }
            });
            assert_eq!(waited.expect(200)["job_state"], "COMPLETED");
        });
    }

    /// A request is cancelled at once, whatever its task still does.
    fn waiting_ends_with_the_cancel(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            kit.save(TWO).await;
            let id = kit.submit_id("two").await;
            let order = ant.order().await;
            let path = format!("{REQUESTS}/{id}?wait_ms=30000");
            let start = std::time::Instant::now();
            let (waited, ()) = tokio::join!(kit.get(&path), async {
                kit.post(&format!("{REQUESTS}/{id}/cancel")).await.empty();
            });
            assert_eq!(waited.expect(200)["job_state"], "CANCELLED");
            assert!(start.elapsed().as_secs() < 15, "it waited for the task");
            ant.end(&order, End { exit_code: 143, ..End::default() }).await;
        });
    }
}
