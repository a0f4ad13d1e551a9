//! Who comes first when many wait for the same ant: priority over all queues, then fair shares.

use colony_core::state::JobState;
use colony_engine::Submit;
use colony_testkit::{block_on, both_databases};

use crate::ant::ScriptedAnt;
use crate::kit::Kit;

/// As many as the scripted ant takes at once.
const CAPACITY: usize = 8;

fn job(job_type: &str, tags: &str) -> String {
    format!(
        "job_type: {job_type}\nmax_concurrency: 100\ntasks:\n- task_type: a\n  method: SHELL\n  \
         tags: [{tags}]\n  script: [x]\n"
    )
}

/// Keeps all places of an ant with jobs of that type; gives their orders.
async fn occupy(kit: &Kit, ant: &mut ScriptedAnt, job_type: &str) -> Vec<colony_wire::Order> {
    let mut orders = Vec::new();
    for _ in 0..CAPACITY {
        kit.submit(job_type).await;
        orders.push(ant.order().await);
    }
    orders
}

both_databases! {
    fn a_job_among_many_of_another_type_gets_the_next_place(store) {
        block_on(async {
            let kit = Kit::new(&store);
            for name in ["many", "rare"] {
                kit.save(&job(name, "")).await;
            }
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let running = occupy(&kit, &mut ant, "many").await;
            for _ in 0..40 {
                kit.submit("many").await;
            }
            let rare = kit.submit("rare").await;
            // Two places: one for each type, whatever number waits.
            let mut next = Vec::new();
            for order in &running[..2] {
                assert!(ant.end(order, 0).await);
                next.push(ant.order().await);
            }
            let types: Vec<&str> = next.iter().map(|order| &*order.job_type).collect();
            assert!(types.contains(&"rare"), "{types:?}");
            let order = next.iter().find(|order| order.job_type == "rare").unwrap();
            assert!(ant.end(order, 0).await);
            kit.wait(&rare, JobState::Completed).await;
        });
    }

    fn priority_counts_over_all_queues_of_an_ant(store) {
        block_on(async {
            let kit = Kit::new(&store);
            // Their queues are looked at in this order.
            kit.save(&job("plain", "")).await;
            kit.save(&job("tagged", "zone")).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &["zone"], true).await;
            let running = occupy(&kit, &mut ant, "plain").await;
            for _ in 0..10 {
                kit.submit("plain").await;
            }
            let urgent = Submit { job_type: "tagged".to_owned(), job_priority: 5, ..Submit::default() };
            let urgent = kit.submit_with(urgent).await;
            assert!(ant.end(&running[0], 0).await);
            let order = ant.order().await;
            assert_eq!(order.request_id.to_string(), urgent);
        });
    }

    fn requests_that_nobody_serves_hold_up_no_other(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(
                "job_type: mixed\nmax_concurrency: 2\ntasks:\n- task_type: a\n  method: SHELL\n  \
                 tags: ['{{.Tag}}']\n  script: [x]\n",
            )
            .await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &["here"], true).await;
            let with_tag = |tag: &str| Submit {
                job_type: "mixed".to_owned(),
                params: [("Tag".to_owned(), tag.into())].into_iter().collect(),
                ..Submit::default()
            };
            let mut lost = Vec::new();
            for _ in 0..70 {
                lost.push(kit.submit_with(with_tag("nowhere")).await);
            }
            let served = kit.submit_with(with_tag("here")).await;
            assert_eq!(ant.order().await.request_id.to_string(), served);
            for id in [&lost[0], &lost[69]] {
                let request = kit.request(id).await;
                assert_eq!(request.job_state, JobState::Pending);
                let reason = "no ant offers SHELL with tags nowhere, which task a needs";
                assert_eq!(request.error_message, reason);
            }
            // Once an ant comes that serves them they run, as far as there are slots.
            let mut other = ScriptedAnt::connect(&kit.engine, "other", &["nowhere"], true).await;
            assert_eq!(other.order().await.request_id.to_string(), lost[0]);
        });
    }

    fn the_version_that_a_submission_names_runs_also_when_it_is_retired(store) {
        block_on(async {
            let kit = Kit::new(&store);
            let version = |number: &str, value: &str| {
                job("versions", "").replace("tasks:", &format!("sem_version: '{number}'\ntasks:"))
                    .replace("  script:", &format!("  environment: {{V: '{value}'}}\n  script:"))
            };
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            kit.save(&version("1.0", "old")).await;
            let named = |name: &str| Submit { job_type: name.to_owned(), ..Submit::default() };
            kit.submit_with(named("versions:1.0")).await;
            assert_eq!(ant.order().await.environment["V"], "old");
            kit.save(&version("1.0", "mended")).await;
            kit.save(&version("2.0", "new")).await;
            for (name, expected) in [
                ("versions:1.0", "mended"), ("versions", "new"), ("versions:1.0", "mended"),
            ] {
                kit.submit_with(named(name)).await;
                assert_eq!(ant.order().await.environment["V"], expected, "{name}");
            }
        });
    }
}
