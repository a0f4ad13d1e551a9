//! Runs from submission to end.

use colony_core::state::JobState;
use colony_testkit::{block_on, both_databases};

use crate::ant::{ScriptedAnt, report};
use crate::kit::Kit;

const CHAIN: &str = "
job_type: chain
tasks:
- task_type: first
  method: SHELL
  script: [echo one]
  on_completed: second
- task_type: second
  method: SHELL
  script: [echo two]
  on_completed: third
- task_type: third
  method: SHELL
  script: [echo three]
";

const BRANCH: &str = "
job_type: branch
tasks:
- task_type: test
  method: SHELL
  script: [exit 3]
  retry: 1
  delay_between_retries: 1ms
  on_exit_code: {3: repair}
  on_completed: ship
- task_type: repair
  method: SHELL
  script: ['echo {{.TaskType}}']
- task_type: ship
  method: SHELL
  script: [ship]
- task_type: cleanup
  method: SHELL
  always_run: true
  script: [clean]
";

both_databases! {
    fn a_chain_of_tasks_runs_to_its_end(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(CHAIN).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("chain").await;
            assert_eq!(ant.work(3, &[]).await, ["first", "second", "third"]);
            let request = kit.wait(&id, JobState::Completed).await;
            assert_eq!(request.error_code, "");
            assert_eq!(kit.tasks(&id).await, "first COMPLETED, second COMPLETED, third COMPLETED");
            let execution = kit.execution(&id).await;
            assert_eq!(execution.row.job_state, JobState::Completed);
            assert!(execution.row.ended_at.is_some());
            assert!(execution.tasks.iter().all(|task| task.artifacts.len() == 1), "a log each");
        });
    }

    fn retries_branches_and_clean_up_follow_the_decisions(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(BRANCH).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("branch").await;
            let worked = ant.work(4, &[("test", &[3])]).await;
            assert_eq!(worked, ["test", "test", "repair", "cleanup"]);
            let request = kit.wait(&id, JobState::Failed).await;
            assert_eq!(request.error_code, "ERR_TASK_EXECUTE");
            assert!(request.error_message.contains("status 3"), "{}", request.error_message);
            assert_eq!(kit.tasks(&id).await, "test FAILED, repair COMPLETED, cleanup COMPLETED");
            assert_eq!(kit.execution(&id).await.tasks[0].row.retries, 1);
        });
    }

    fn exported_values_reach_later_tasks(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save("
job_type: values
job_variables: {Region: eu, List: [1, 2]}
tasks:
- task_type: a
  method: SHELL
  script: [one]
  on_completed: b
- task_type: b
  method: SHELL
  environment: {LOW: env, Stamp: env}
  variables: {Own: 'x'}
  script: ['two {{.Stamp}} {{.Region}} {{.Count}} {{index . \"a-status\"}} {{.TaskRetry}}']
").await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let submit = colony_engine::Submit {
                job_type: "values".to_owned(),
                params: serde_json::json!({"Count": 3, "Region": "us"}).as_object().unwrap().clone(),
                ..colony_engine::Submit::default()
            };
            let id = kit.submit_with(submit).await;
            let first = ant.order().await;
            assert_eq!(first.environment["Region"], "us");
            assert_eq!(first.environment["List"], "[1,2]");
            assert_eq!(first.environment["JobID"], id);
            let mut report = report(first.attempt, 0);
            report.outputs.insert("Stamp".to_owned(), "now".to_owned());
            ant.say(colony_wire::AntMessage::Report(Box::new(report))).await;
            assert!(ant.acknowledged(first.attempt).await);
            let second = ant.order().await;
            assert_eq!(second.phases.script, ["two now us 3 COMPLETED 0"]);
            assert_eq!(second.environment["LOW"], "env");
            assert_eq!(second.environment["Stamp"], "now");
            assert_eq!(second.environment["Own"], "x");
            ant.end(&second, 0).await;
            kit.wait(&id, JobState::Completed).await;
            let execution = kit.execution(&id).await;
            assert_eq!(execution.contexts["Stamp"].value, "now");
        });
    }

    fn a_template_error_fails_the_job(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save("
job_type: broken
retry: 0
tasks:
- task_type: a
  method: SHELL
  retry: 5
  script: ['{{ lt .Missing 3 }}']
").await;
            let _ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("broken").await;
            let request = kit.wait(&id, JobState::Failed).await;
            assert_eq!(request.error_code, "ERR_JOB_EXECUTE");
            assert!(
                request.error_message.starts_with("failed to parse task yaml for 'a' task due to"),
                "{}",
                request.error_message
            );
        });
    }

    fn rendered_fields_decide(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save("
job_type: rendered
job_variables: {Next: c, Tries: 2}
tasks:
- task_type: a
  method: SHELL
  retry: {{ .Tries }}
  delay_between_retries: 1ms
  script: [one]
  on_completed: {{ .Next }}
- task_type: b
  method: SHELL
  except: '{{ eq .Next \"c\" }}'
  script: [two]
- task_type: c
  method: SHELL
  script: [three]
  on_completed: b
").await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("rendered").await;
            let worked = ant.work(4, &[("a", &[1, 1, 0])]).await;
            assert_eq!(worked, ["a", "a", "a", "c"]);
            kit.wait(&id, JobState::Completed).await;
            let execution = kit.execution(&id).await;
            assert_eq!(execution.tasks[2].row.exit_code, "SKIPPED");
        });
    }

    fn cancel_stops_the_attempt_and_cleans_up(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(BRANCH).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("branch").await;
            let order = ant.order().await;
            kit.engine.cancel(&kit.caller, &id).await.unwrap();
            assert_eq!(kit.request(&id).await.job_state, JobState::Cancelled, "at once");
            assert_eq!(ant.cancelled().await, order.attempt);
            assert!(ant.end(&order, 143).await);
            assert_eq!(ant.work(1, &[]).await, ["cleanup"]);
            colony_testkit::wait_for_async(crate::kit::DEADLINE, async || {
                let state = kit.execution(&id).await.row.job_state;
                if state == JobState::Cancelled { Ok(()) } else { Err(state) }
            }).await;
            assert_eq!(kit.tasks(&id).await, "test CANCELLED, cleanup COMPLETED");
            kit.engine.cancel(&kit.caller, &id).await.unwrap();
        });
    }

    fn a_task_that_takes_too_long_is_stopped(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save("
job_type: slow
timeout: 500ms
tasks:
- task_type: a
  method: SHELL
  script: [sleep]
").await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("slow").await;
            let order = ant.order().await;
            assert_eq!(ant.cancelled().await, order.attempt);
            ant.end(&order, 143).await;
            let request = kit.wait(&id, JobState::Failed).await;
            assert_eq!(request.error_code, "ERR_TASK_TIMED_OUT");
        });
    }

    fn an_engine_at_rest_runs_no_query(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(CHAIN).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("chain").await;
            ant.work(3, &[]).await;
            kit.wait(&id, JobState::Completed).await;
            // The loops go round once more after the last event; then nothing.
            let quiet = std::time::Duration::from_millis(300);
            let mut before = store.stats().statements;
            colony_testkit::wait_for_async(crate::kit::DEADLINE, async || {
                tokio::time::sleep(quiet).await;
                let now = store.stats().statements;
                let more = now - std::mem::replace(&mut before, now);
                if more == 0 { Ok(()) } else { Err(format!("{more} statements in {quiet:?}")) }
            }).await;
        });
    }
}
