//! Restarting requests.

use colony_core::state::JobState;
use colony_engine::EngineError;
use colony_testkit::{block_on, both_databases};

use crate::ant::{ScriptedAnt, report};
use crate::kit::Kit;

const TWO: &str = "
job_type: two
tasks:
- task_type: a
  method: SHELL
  script: [one]
  on_completed: b
- task_type: b
  method: SHELL
  script: ['two {{.Value}}']
";

both_databases! {
    fn a_soft_restart_reuses_what_completed(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(TWO).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("two").await;
            let a = ant.order().await;
            let mut exported = report(a.attempt, 0);
            exported.outputs.insert("Value".to_owned(), "kept".to_owned());
            ant.say(colony_wire::AntMessage::Report(Box::new(exported))).await;
            ant.acknowledged(a.attempt).await;
            ant.work(1, &[("b", &[1])]).await;
            let before = kit.wait(&id, JobState::Failed).await;

            kit.engine.restart(&kit.caller, &id, false, "").await.unwrap();
            let b = ant.order().await;
            assert_eq!(b.task_type, "b");
            assert_eq!(b.phases.script, ["two kept"], "contexts came along");
            ant.end(&b, 0).await;
            let after = kit.wait(&id, JobState::Completed).await;
            assert_ne!(after.run_id, before.run_id);
            assert_eq!(after.last_run_id, before.run_id);
            assert_eq!(after.retried, 1);
            let tasks = kit.execution(&id).await.tasks;
            assert!(tasks[0].row.reused && !tasks[1].row.reused);
            assert_eq!(tasks[0].artifacts.len(), 1, "its log came along");
        });
    }

    fn a_hard_restart_repeats_everything_with_the_newest_definition(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(TWO).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("two").await;
            ant.work(2, &[]).await;
            kit.wait(&id, JobState::Completed).await;
            kit.save(&TWO.replace("one", "newer")).await;
            // A completed request has nothing left for a soft restart: it is hard.
            kit.engine.restart(&kit.caller, &id, false, "").await.unwrap();
            let a = ant.order().await;
            assert_eq!(a.phases.script, ["newer"]);
            ant.end(&a, 0).await;
            ant.work(1, &[]).await;
            kit.wait(&id, JobState::Completed).await;
        });
    }

    fn only_what_waits_or_ended_can_be_restarted(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(TWO).await;
            let id = kit.submit("two").await;
            let refused = kit.engine.restart(&kit.caller, &id, false, "").await;
            assert!(matches!(refused, Err(EngineError::Conflict(_))), "{refused:?}");
            kit.engine.cancel(&kit.caller, &id).await.unwrap();
            assert_eq!(kit.request(&id).await.job_state, JobState::Cancelled);
            let unknown = kit.engine.restart(&kit.caller, &id, false, "9.9").await;
            assert!(matches!(unknown, Err(EngineError::NotFound { .. })), "{unknown:?}");
            kit.engine.restart(&kit.caller, &id, false, "latest").await.unwrap();
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            ant.work(2, &[]).await;
            kit.wait(&id, JobState::Completed).await;
        });
    }
}
