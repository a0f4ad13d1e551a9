//! What runs when: limits, priorities, due times, and why something waits.

use std::time::Duration;

use colony_core::state::JobState;
use colony_engine::{EngineError, Submit};
use colony_testkit::{block_on, both_databases, wait_for_async};

use crate::ant::ScriptedAnt;
use crate::kit::{DEADLINE, Kit};

fn job(job_type: &str, more: &str, task: &str) -> String {
    format!(
        "job_type: {job_type}\n{more}\ntasks:\n- task_type: a\n  method: SHELL\n  script: [x]\n{task}"
    )
}

async fn waits_because(kit: &Kit, id: &str, reason: &str) {
    wait_for_async(DEADLINE, async || {
        let request = kit.request(id).await;
        assert_eq!(request.job_state, JobState::Pending);
        let found = request.error_message;
        if found.contains(reason) {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
}

both_databases! {
    fn no_more_run_at_once_than_the_definition_allows(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(&job("narrow", "max_concurrency: 1", "")).await;
            kit.save(&job("wide", "max_concurrency: 5", "")).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let first = kit.submit("narrow").await;
            let order = ant.order().await;
            let second = kit.submit("narrow").await;
            waits_because(&kit, &second, "waits for a free slot: 1 of 1 in use (max_concurrency)").await;
            // A type that waits holds up no other.
            let other = kit.submit("wide").await;
            ant.work(1, &[]).await;
            kit.wait(&other, JobState::Completed).await;
            ant.end(&order, 0).await;
            kit.wait(&first, JobState::Completed).await;
            ant.work(1, &[]).await;
            kit.wait(&second, JobState::Completed).await;
        });
    }

    fn the_bound_that_nobody_set_is_named(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(&job("usual", "", "")).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            for _ in 0..3 {
                kit.submit("usual").await;
                ant.order().await;
            }
            let fourth = kit.submit("usual").await;
            let reason = "waits for a free slot: 3 of 3 in use (max_concurrency, 3 unless set)";
            waits_because(&kit, &fourth, reason).await;
        });
    }

    fn higher_priority_goes_first_then_age(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(&job("ordered", "max_concurrency: 1", "")).await;
            let mut ids = Vec::new();
            for job_priority in [0, 5, 0, 9] {
                let job_type = "ordered".to_owned();
                ids.push(kit.submit_with(Submit { job_type, job_priority, ..Submit::default() }).await);
            }
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let mut order_of = Vec::new();
            for _ in 0..4 {
                let order = ant.order().await;
                order_of.push(order.request_id.to_string());
                ant.end(&order, 0).await;
            }
            assert_eq!(order_of, [3, 1, 0, 2].map(|index: usize| ids[index].clone()));
        });
    }

    fn a_request_is_not_run_before_its_time(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(&job("later", "", "")).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let now = colony_core::time::Clock::now(&colony_core::time::SystemClock);
            let at = now.after(Duration::from_millis(400));
            let submit = Submit { job_type: "later".to_owned(), scheduled_at: Some(at), ..Submit::default() };
            let id = kit.submit_with(submit).await;
            let order = ant.order().await;
            assert!(colony_core::time::Clock::now(&colony_core::time::SystemClock) >= at);
            ant.end(&order, 0).await;
            kit.wait(&id, JobState::Completed).await;
        });
    }

    fn a_request_waits_for_an_ant_that_can_do_it(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(&job("tagged", "", "  tags: [GPU, big]\n")).await;
            let _plain = ScriptedAnt::connect(&kit.engine, "plain", &["big"], true).await;
            let id = kit.submit("tagged").await;
            waits_because(&kit, &id, "no ant offers SHELL with tags big, gpu, which task a needs").await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "gpu", &["gpu", "big", "x"], true).await;
            ant.work(1, &[]).await;
            kit.wait(&id, JobState::Completed).await;
        });
    }

    fn a_disabled_definition_is_not_run_until_it_is_enabled(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(&job("switched", "", "")).await;
            let definition = kit.engine.find_definition(&kit.caller, "switched", "").await.unwrap();
            let definition = definition.row.id.to_string();
            kit.engine.set_definition_disabled(&kit.caller, &definition, true).await.unwrap();
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("switched").await;
            waits_because(&kit, &id, "definition switched is disabled").await;
            kit.engine.set_definition_disabled(&kit.caller, &definition, false).await.unwrap();
            ant.work(1, &[]).await;
            kit.wait(&id, JobState::Completed).await;
        });
    }

    fn bad_submissions_are_refused(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(&job("keyed", "", "")).await;
            kit.save(&job("needy", "required_params: [A, B]", "")).await;
            let refused = kit.engine.submit(&kit.caller, Submit {
                job_type: "nope".to_owned(), ..Submit::default()
            }).await;
            assert!(matches!(refused, Err(EngineError::NotFound { .. })), "{refused:?}");
            let keyed = Submit {
                job_type: "keyed".to_owned(),
                user_key: Some("k".to_owned()),
                ..Submit::default()
            };
            let first = kit.submit_with(keyed.clone()).await;
            let taken = kit.engine.submit(&kit.caller, keyed.clone()).await;
            assert!(matches!(taken, Err(EngineError::KeyTaken { by }) if by.to_string() == first));
            let needy = Submit { job_type: "needy".to_owned(), ..keyed.clone() };
            let taken = kit.engine.submit(&kit.caller, needy.clone()).await;
            assert!(matches!(taken, Err(EngineError::KeyTaken { by }) if by.to_string() == first));
            kit.engine.cancel(&kit.caller, &first).await.unwrap();
            // The key of a finished request is free again. This one ends at once, and frees it too.
            let second = kit.submit_with(needy).await;
            let request = kit.wait(&second, JobState::Failed).await;
            assert_eq!(request.error_code, "ERR_VALIDATION");
            assert!(request.error_message.contains("not configured: A, B"), "{}", request.error_message);
            kit.submit_with(keyed).await;
        });
    }

    fn a_filtered_request_ends_without_a_run(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(&job("filtered", "skip_if: '{{ eq .Branch \"x\" }}'\njob_variables: {Branch: x}", "")).await;
            let _ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("filtered").await;
            let request = kit.wait(&id, JobState::Failed).await;
            assert_eq!(request.error_code, "ERR_FILTERED_JOB");
            assert_eq!(request.run_id, None);
        });
    }

    fn a_waiting_request_moves_to_the_newest_definition(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(&job("moving", "description: old", "")).await;
            let id = kit.submit("moving").await;
            kit.save(&job("moving", "description: new", "  environment: {NEW: '1'}\n")).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let order = ant.order().await;
            assert_eq!(order.environment["NEW"], "1");
            ant.end(&order, 0).await;
            kit.wait(&id, JobState::Completed).await;
        });
    }

    fn a_pausing_job_resumes_at_its_task(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save("
job_type: pausing
pause_time: 50ms
tasks:
- task_type: a
  method: SHELL
  script: [x]
  on_completed: b
- task_type: b
  method: SHELL
  script: ['x {{.JobRetry}}']
  on_exit_code: {4: PAUSE_JOB}
").await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("pausing").await;
            assert_eq!(ant.work(3, &[("b", &[4, 0])]).await, ["a", "b", "b"]);
            let request = kit.wait(&id, JobState::Completed).await;
            assert_eq!((request.paused_count, request.retried), (1, 1));
        });
    }
}
