//! Scripted workers of users: they claim, report, renew, give back and vanish.

use colony_core::id::{AttemptRef, RunId};
use colony_core::queue_key;
use colony_core::state::TaskStatus;
use colony_store::lease::{self, HolderKind};
use colony_store::{StoreError, Tx, queue};
use rand::RngExt as _;
use std::time::Duration;

use super::ants::short;
use super::world::World;
use crate::ledger::{ChangeTask, TaskChange};
use crate::runs::{Change, WorkerClaim, lease_to_worker};

pub(super) struct SimWorker {
    org_id: String,
    held: Vec<(AttemptRef, RunId)>,
}

impl SimWorker {
    pub(super) fn new(org_id: &str) -> Self {
        Self {
            org_id: org_id.to_owned(),
            held: Vec::new(),
        }
    }
}

/// The type of every task of workers.
pub(super) const KIND: &str = "k";

impl World {
    /// A worker claims. False when nothing waits for it.
    pub(super) fn worker_claims(
        &mut self,
        tx: &mut Tx<'_>,
        index: usize,
    ) -> Result<bool, StoreError> {
        let org_id = self.workers[index].org_id.clone();
        let places = queue::front(tx, &queue_key::worker(&org_id, KIND), 2)?;
        if places.is_empty() {
            return Ok(false);
        }
        let now = self.engine.now();
        let claim = |place| WorkerClaim {
            place,
            worker_id: org_id.clone(),
            expires_at: now.after(Duration::from_secs(20)),
        };
        let claims: Vec<WorkerClaim> = places.into_iter().map(claim).collect();
        let claimed = lease_to_worker(tx, &self.engine.ground, &claims, now)?;
        self.tell(format!(
            "worker {org_id} claims {} of {}",
            claimed.leases.len(),
            claims.len()
        ));
        for place in &claimed.stale {
            self.fail(format!("{} is queued but does not wait", place.task_id));
        }
        self.check(tx)?;
        let lost = self.mishap(0.05);
        if lost {
            self.engine.nudges.wake_all();
            self.tell("  its answer is lost".to_owned());
            return Ok(true);
        }
        self.effects.push_back(claimed.effects);
        let held = claimed
            .leases
            .into_values()
            .map(|lease| (lease.attempt, lease.run_id));
        self.workers[index].held.extend(held);
        Ok(true)
    }

    /// A worker changes a task that it holds, or held.
    pub(super) fn worker_reports(&mut self, index: usize) -> bool {
        let count = self.workers[index].held.len();
        let Some(chosen) = self.pick(count) else {
            return false;
        };
        let keeps = self.mishap(0.2);
        let status = match self.rng.random_range(0..8) {
            0..3 => TaskStatus::Completed,
            _ if self.calm => TaskStatus::Completed,
            3 => TaskStatus::Pending,
            4 => TaskStatus::Running,
            5 => TaskStatus::Cancelled,
            6 => TaskStatus::Retrying,
            _ => TaskStatus::Failed,
        };
        let (attempt, _) = self.workers[index].held[chosen];
        if !keeps {
            self.workers[index].held.remove(chosen);
        }
        let item = ChangeTask {
            org_id: self.workers[index].org_id.clone(),
            id: attempt.task_id,
            change: TaskChange {
                status: Some(status),
                ..TaskChange::default()
            },
            lease: Some(attempt),
        };
        let what = format!("worker says {status} of {}", short(attempt));
        self.perform(
            what,
            Change { item },
            Vec::new(),
            move |world, _, output| {
                let ends = status.is_terminal() || status == TaskStatus::Retrying;
                if matches!(output, Some(Ok(_))) && ends {
                    world.accepted(attempt);
                }
                Ok(())
            },
        );
        true
    }

    pub(super) fn worker_renews(
        &mut self,
        tx: &mut Tx<'_>,
        index: usize,
    ) -> Result<bool, StoreError> {
        let worker = &self.workers[index];
        let held: Vec<AttemptRef> = worker.held.iter().map(|(attempt, _)| *attempt).collect();
        if held.is_empty() {
            return Ok(false);
        }
        let expires_at = self.engine.now().after(Duration::from_secs(20));
        let whose = (HolderKind::Worker, Some(worker.org_id.as_str()));
        let current = lease::renew(tx, whose, &held, expires_at)?;
        self.workers[index]
            .held
            .retain(|(attempt, _)| current.iter().any(|held| held.attempt == *attempt));
        self.tell(format!("worker renews {} of {}", current.len(), held.len()));
        Ok(true)
    }

    pub(super) fn worker_vanishes(&mut self, index: usize) -> bool {
        let held = std::mem::take(&mut self.workers[index].held);
        !held.is_empty()
    }
}
