//! What concurrent callers want of one kind goes into one transaction: the commands of the lanes.

use colony_core::id::{RunId, TaskId};
use colony_store::ledger::{DataRow, RunRow};
use colony_store::{Command, Tx};
use uuid::Uuid;

use super::change::{Changed, Changes, change_tasks};
use super::create::{CreatedTask, NewTasks, create_runs, create_tasks};
use super::data::write_data;
use super::error::LedgerError;
use super::signals::Signals;

/// What a transaction makes of each of its operations.
pub(super) type Outs<Out> = colony_store::Outs<Out, LedgerError>;

/// Creates runs.
pub(super) struct CreateRunsLane;

impl Command for CreateRunsLane {
    type Op = RunRow;
    type Out = RunRow;
    type Error = LedgerError;

    fn run(&self, tx: &mut Tx<'_>, ops: &[RunRow]) -> Outs<RunRow> {
        create_runs(tx, ops)
    }

    fn key(&self, op: &RunRow) -> u64 {
        key_of_run(op.id)
    }
}

/// Creates tasks, those of one operation all or none.
pub(super) struct CreateTasksLane(pub(super) Signals);

impl Command for CreateTasksLane {
    type Op = NewTasks;
    type Out = Vec<CreatedTask>;
    type Error = LedgerError;

    fn run(&self, tx: &mut Tx<'_>, ops: &[NewTasks]) -> Outs<Vec<CreatedTask>> {
        create_tasks(tx, ops)
    }

    fn weight(&self, op: &NewTasks) -> usize {
        op.tasks.len()
    }

    fn key(&self, op: &NewTasks) -> u64 {
        let first = op.tasks.first();
        first.map_or(0, |task| key_of_run(task.row.run_id))
    }

    fn committed(&self, tasks: &Vec<CreatedTask>) {
        let new = tasks.iter().filter(|task| !task.existed);
        self.0.tasks_changed(new.map(|task| &task.row));
    }
}

/// Changes tasks, each with an outcome of its own.
pub(super) struct ChangeTasksLane(pub(super) Signals);

impl Command for ChangeTasksLane {
    type Op = Changes;
    type Out = Changed;
    type Error = LedgerError;

    fn run(&self, tx: &mut Tx<'_>, ops: &[Changes]) -> Outs<Changed> {
        change_tasks(tx, ops)
    }

    fn weight(&self, op: &Changes) -> usize {
        op.items.len()
    }

    fn key(&self, op: &Changes) -> u64 {
        let first = op.items.first();
        first.map_or(0, |item| key_of_task(item.id))
    }

    fn committed(&self, tasks: &Changed) {
        self.0.tasks_changed(tasks.iter().flatten());
    }
}

/// Writes entries of run data.
pub(super) struct WriteDataLane;

impl Command for WriteDataLane {
    type Op = DataRow;
    type Out = DataRow;
    type Error = LedgerError;

    fn run(&self, tx: &mut Tx<'_>, ops: &[DataRow]) -> Outs<DataRow> {
        write_data(tx, ops)
    }

    fn key(&self, op: &DataRow) -> u64 {
        key_of_run(op.run_id)
    }
}

fn key_of_run(id: RunId) -> u64 {
    key_of(id.uuid())
}

fn key_of_task(id: TaskId) -> u64 {
    key_of(id.uuid())
}

/// The random part of an id.
fn key_of(id: Uuid) -> u64 {
    id.as_u64_pair().1
}
