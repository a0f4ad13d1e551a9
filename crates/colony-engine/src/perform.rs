//! Operations on their way into a batch, and what they leave to be done.

use colony_core::time::Timestamp;
use colony_store::{StoreError, Tx};

use crate::ant::AntRoom;
use crate::effects::Effects;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::Subject;
use crate::runs::{Ask, Operation, run_operations};

impl Engine {
    /// Carries an operation out, together with others that wait. What follows from it happens also
    /// when the caller has gone.
    ///
    /// # Errors
    ///
    /// The operation's own, or the database's.
    pub(crate) async fn perform<O: Operation>(
        &self,
        operation: O,
    ) -> Result<O::Output, EngineError> {
        self.perform_with(operation, Vec::new()).await
    }

    /// As [`Engine::perform`], with places at ants for what becomes ready.
    pub(crate) async fn perform_with<O: Operation>(
        &self,
        operation: O,
        rooms: Vec<AntRoom>,
    ) -> Result<O::Output, EngineError> {
        if rooms.is_empty() {
            return self.perform_now(operation, rooms).await;
        }
        // Goes on when the caller goes away: the places are given back in any case.
        let engine = self.clone();
        let performed = tokio::spawn(async move {
            let places = rooms.iter().map(|room| (room.ant_id.clone(), room.free));
            let places = places.collect();
            let done = engine.perform_now(operation, rooms).await;
            if done.is_err() && engine.ants.free(places) {
                engine.nudges.room_freed();
            }
            done
        });
        let performed = performed.await;
        performed.unwrap_or(Err(EngineError::Store(StoreError::Closed)))
    }

    async fn perform_now<O: Operation>(
        &self,
        operation: O,
        rooms: Vec<AntRoom>,
    ) -> Result<O::Output, EngineError> {
        let (ask, promised) = Ask::new(operation, (self.now(), self.seed()), rooms);
        self.runs.run(ask).await?;
        promised
            .take()
            .ok_or(EngineError::Store(StoreError::Closed))
    }

    /// Carries operations out. What they are about ends FAILED where they cannot be carried out because
    /// of its rows.
    pub(crate) async fn perform_each<O: Operation>(
        &self,
        operations: Vec<(Subject, O)>,
    ) -> Result<(), EngineError> {
        self.perform_all(operations, Vec::new()).await.map(drop)
    }

    /// As [`Engine::perform_each`], with places at ants for what becomes ready. Gives what each did.
    pub(crate) async fn perform_all<O: Operation>(
        &self,
        operations: Vec<(Subject, O)>,
        rooms: Vec<AntRoom>,
    ) -> Result<Vec<Option<O::Output>>, EngineError> {
        let mut rooms = Some(rooms);
        let (mut subjects, mut waiting) = (Vec::new(), Vec::new());
        for (subject, operation) in operations {
            subjects.push(subject);
            let rooms = rooms.take().unwrap_or_default();
            waiting.push(self.perform_with(operation, rooms));
        }
        let mut outputs = Vec::with_capacity(subjects.len());
        let outcomes = futures_util::future::join_all(waiting).await;
        for (subject, outcome) in subjects.into_iter().zip(outcomes) {
            match outcome {
                Ok(output) => outputs.push(Some(output)),
                Err(error) if error.is_about_rows() => {
                    self.give_up(subject, &error).await?;
                    outputs.push(None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(outputs)
    }

    /// Carries an operation out in a transaction that is about something else as well. Its effects are
    /// to be carried out once that is committed.
    pub(crate) fn perform_in<O: Operation>(
        &self,
        tx: &mut Tx<'_>,
        operation: O,
        (now, seed): (Timestamp, u64),
    ) -> Result<(O::Output, Effects), EngineError> {
        let (ask, promised) = Ask::new(operation, (now, seed), Vec::new());
        let (outcomes, effects) = run_operations(tx, &self.ground, &[ask])?;
        outcomes.into_iter().collect::<Result<(), _>>()?;
        let output = promised.take();
        Ok((
            output.ok_or(EngineError::Store(StoreError::Closed))?,
            effects,
        ))
    }
}
