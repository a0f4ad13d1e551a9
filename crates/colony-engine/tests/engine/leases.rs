//! Lost ants, late and doubled reports, restarts of the engine.

use std::time::Duration;

use colony_core::state::JobState;
use colony_engine::EngineSettings;
use colony_testkit::{block_on, both_databases, wait_for_async};
use colony_wire::{AntMessage, QueenMessage};

use crate::ant::{ScriptedAnt, later, report};
use crate::kit::{DEADLINE, Kit};

const ONE: &str = "
job_type: one
tasks:
- task_type: a
  method: SHELL
  script: [one]
";

both_databases! {
    fn only_the_current_lease_may_report(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(ONE).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], false).await;
            let id = kit.submit("one").await;
            let order = ant.order().await;
            ant.say(AntMessage::Report(Box::new(report(later(order.attempt), 1)))).await;
            assert!(!ant.acknowledged(later(order.attempt)).await, "a lease nobody has");
            assert!(ant.end(&order, 0).await);
            assert!(!ant.end(&order, 1).await, "reported twice");
            let request = kit.wait(&id, JobState::Completed).await;
            assert_eq!(request.error_code, "");
        });
    }

    fn the_tasks_of_a_silent_ant_are_leased_again(store) {
        block_on(async {
            let settings = EngineSettings {
                lease_duration: Duration::from_millis(200),
                ..EngineSettings::default()
            };
            let kit = Kit::with(&store, settings);
            kit.save(ONE).await;
            let mut silent = ScriptedAnt::connect(&kit.engine, "silent", &[], false).await;
            let id = kit.submit("one").await;
            let lost = silent.order().await;
            let mut other = ScriptedAnt::connect(&kit.engine, "other", &[], false).await;
            let again = other.order().await;
            assert_eq!(again.attempt.task_id, lost.attempt.task_id);
            assert!(again.attempt.epoch > lost.attempt.epoch);
            assert!(!silent.end(&lost, 1).await, "too late");
            assert!(other.end(&again, 0).await);
            kit.wait(&id, JobState::Completed).await;
        });
    }

    fn a_heartbeat_keeps_leases_and_names_lost_ones(store) {
        block_on(async {
            let settings = EngineSettings {
                lease_duration: Duration::from_millis(400),
                ..EngineSettings::default()
            };
            let kit = Kit::with(&store, settings);
            kit.save(ONE).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], false).await;
            kit.submit("one").await;
            let order = ant.order().await;
            let start = std::time::Instant::now();
            wait_for_async(DEADLINE, async || {
                let running = vec![order.attempt];
                ant.say(AntMessage::Heartbeat { running }).await;
                let elapsed = start.elapsed();
                if elapsed > Duration::from_millis(1200) { Ok(()) } else { Err(format!("{elapsed:?}")) }
            })
            .await;
            assert!(ant.end(&order, 0).await, "the lease was kept three times its length");
            ant.say(AntMessage::Heartbeat { running: vec![order.attempt] }).await;
            let lost = ant.expect(|message| match message {
                QueenMessage::LeaseLost { attempt } => Some(*attempt),
                _ => None,
            }).await;
            assert_eq!(lost, order.attempt);
        });
    }

    fn a_heartbeat_is_answered_with_stops(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(ONE).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], false).await;
            let id = kit.submit("one").await;
            let order = ant.order().await;
            kit.engine.cancel(&kit.caller, &id).await.unwrap();
            // The first one may be lost on its way.
            assert_eq!(ant.cancelled().await, order.attempt);
            ant.say(AntMessage::Heartbeat { running: vec![order.attempt] }).await;
            assert_eq!(ant.cancelled().await, order.attempt);
            assert!(ant.end(&order, 143).await);
            kit.wait(&id, JobState::Cancelled).await;
        });
    }

    fn what_an_ant_gives_back_runs_again_at_once(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(ONE).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], false).await;
            let id = kit.submit("one").await;
            for _ in 0..8 {
                let order = ant.order().await;
                ant.say(AntMessage::GiveBack { attempt: order.attempt }).await;
            }
            ant.work(1, &[]).await;
            kit.wait(&id, JobState::Completed).await;
        });
    }

    fn a_new_engine_takes_over_what_the_old_one_left(store) {
        block_on(async {
            let id;
            {
                let kit = Kit::new(&store);
                kit.save(ONE).await;
                let mut ant = ScriptedAnt::connect(&kit.engine, "embedded", &[], true).await;
                id = kit.submit("one").await;
                ant.order().await;
                // The engine and its ant go without a word; the lease stays behind.
            }
            let kit = Kit::new(&store);
            let mut ant = ScriptedAnt::connect(&kit.engine, "embedded", &[], true).await;
            ant.work(1, &[]).await;
            kit.wait(&id, JobState::Completed).await;
        });
    }
}
