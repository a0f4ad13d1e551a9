//! What runs again when a job is tried again, and what is not.

use colony_core::state::JobState;
use colony_testkit::{block_on, both_databases};

use crate::ant::ScriptedAnt;
use crate::kit::Kit;

both_databases! {
    fn a_hard_reset_repeats_every_task(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save("
job_type: hard
retry: 3
delay_between_retries: 1ms
hard_reset_after_retries: 1
tasks:
- task_type: a
  method: SHELL
  script: [one]
  on_completed: b
- task_type: b
  method: SHELL
  script: [two]
  on_completed: c
- task_type: c
  method: SHELL
  script: [three]
").await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("hard").await;
            let worked = ant.work(7, &[("c", &[1, 1, 0])]).await;
            assert_eq!(worked, ["a", "b", "c", "c", "a", "b", "c"]);
            kit.wait(&id, JobState::Completed).await;
        });
    }
}
