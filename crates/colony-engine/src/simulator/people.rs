//! What people do: submit, cancel, restart, disable; and what happens to clocks.

use std::sync::Arc;
use std::time::Duration;

use colony_core::id::{IdSource as _, RequestId};
use colony_core::state::JobState;
use colony_core::time::TimeShift;
use colony_store::{StoreError, Tx, clock_shift, definition, request, timer};
use rand::RngExt as _;

use super::world::World;
use crate::engine::Caller;
use crate::readiness::readiness;
use crate::restart::restart_locked;
use crate::runs::{Cancel, Cancelled, Readiness, Submission, Submitted};
use crate::submit::Submit;

impl World {
    /// As `Engine::submit`.
    pub(super) fn submit(&mut self) {
        let index = self.rng.random_range(0..self.definitions.len());
        let compiled = Arc::clone(&self.definitions[index]);
        let later = self
            .chance(0.1)
            .then(|| self.engine.now().after(Duration::from_secs(30)));
        let submit = Submit {
            job_type: compiled.row.job_type.clone(),
            job_priority: self.rng.random_range(-1..2),
            timeout_ms: if self.chance(0.1) { 10_000 } else { 0 },
            user_key: self.chance(0.1).then(|| "key".to_owned()),
            params: serde_json::json!({"Tag": "gpu"})
                .as_object()
                .cloned()
                .unwrap_or_default(),
            scheduled_at: later,
            ..Submit::default()
        };
        let caller = Caller {
            org_id: compiled.row.org_id.clone(),
            user_id: None,
        };
        let row = self.engine.request_row(&caller, &submit, &compiled.row);
        let due = later.is_none();
        let readiness = match due {
            true => readiness(&self.engine, &row, &compiled),
            false => Ok(Readiness::Ready),
        };
        let readiness = match readiness {
            Ok(readiness) => readiness,
            Err(error) => return self.fail(format!("readiness: {error}")),
        };
        let rooms = self.engine.room_for(due, &readiness, &compiled);
        let id = row.id;
        let what = format!("submit {} {} {readiness:?}", name(id), row.schedule_key);
        let submission = Submission {
            row,
            compiled,
            readiness,
            looked_up: true,
        };
        self.perform(what, submission, rooms, move |world, _, stored| {
            if matches!(stored, Some(Submitted::Stored)) {
                world.requests.push(id);
            }
            Ok(())
        });
    }

    /// As `Engine::cancel`.
    pub(super) fn cancel(&mut self, tx: &mut Tx<'_>, id: RequestId) -> Result<(), StoreError> {
        let Some(row) = request::find_request(tx, id)? else {
            return Ok(());
        };
        let cancel = Cancel {
            org_id: row.org_id,
            id,
        };
        let what = format!("cancel {}", name(id));
        self.perform(what, cancel, Vec::new(), move |world, _, done| {
            if done == Some(Cancelled::Done) {
                world.tell(format!("  cancel of {} is acknowledged", name(id)));
                world.cancelled(id);
            }
            Ok(())
        });
        Ok(())
    }

    /// As `Engine::restart`.
    pub(super) fn restart(&mut self, tx: &mut Tx<'_>, id: RequestId) -> Result<bool, StoreError> {
        let Some(row) = request::find_request(tx, id)? else {
            return Ok(false);
        };
        let waits = matches!(
            row.job_state,
            JobState::Paused | JobState::ManualApprovalRequired
        );
        if !waits && !row.job_state.is_terminal() {
            return Ok(false);
        }
        let hard = self.chance(0.3);
        if let Err(error) = restart_locked(tx, &row, hard, "", self.engine.now()) {
            self.fail(format!("restart of {}: {error}", name(id)));
        }
        self.tell(format!("restart {} hard={hard}", name(id)));
        self.restarted(&row);
        self.check(tx)?;
        self.engine.nudges.schedule([row.schedule_key]);
        Ok(true)
    }

    /// A definition is disabled or enabled.
    pub(super) fn disable(
        &mut self,
        tx: &mut Tx<'_>,
        index: usize,
        disabled: bool,
    ) -> Result<(), StoreError> {
        let row = &self.definitions[index].row;
        let (id, key) = (row.id, row.schedule_key());
        definition::set_disabled(tx, id, disabled, self.engine.now())?;
        self.tell(format!("{key} is disabled: {disabled}"));
        self.engine.nudges.schedule([key]);
        Ok(())
    }

    /// Time passes: some seconds, or until something is due.
    pub(super) fn advance(&mut self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let due = timer::next_due(tx)?.map(|at| at.since(self.engine.now()));
        let some = Duration::from_millis(self.rng.random_range(1..20_000));
        let rest = match due {
            Some(due) if !due.is_zero() && self.chance(0.6) => due,
            _ => some,
        };
        self.clock.advance(rest);
        self.tell(format!("{rest:?} pass"));
        Ok(true)
    }

    /// The wall clock is set, and followed.
    pub(super) fn jump(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let millis = self.rng.random_range(-7_200_000..7_200_000_i64);
        let nonce = self.ids.next_uuid();
        clock_shift::shift_times(tx, TimeShift::from_millis(millis), nonce)?;
        let now = self.engine.now().as_millis();
        self.clock.set_millis(now + millis);
        self.forget_times();
        self.engine.nudges.due_at(crate::jump::LONG_AGO);
        self.tell(format!("the clock is set by {millis} ms"));
        Ok(())
    }
}

/// A request in a history.
pub(super) fn name(id: RequestId) -> String {
    let (_, number) = id.uuid().as_u64_pair();
    format!("r{number}")
}
