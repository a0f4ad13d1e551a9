//! The way to a database thread: closures and batches in order, and room for only so many.

use async_channel::{Receiver, Sender};

use crate::job::Job;

/// The threads that run jobs have ended.
#[derive(Debug)]
pub(crate) struct Ended;

/// Where jobs wait for a thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Line {
    jobs: Sender<Box<dyn Job>>,
    room: Room,
}

impl Line {
    /// A queue in which so many closures may wait before their callers wait too, and its end.
    pub(crate) fn new(length: usize) -> (Self, Receiver<Box<dyn Job>>) {
        let (jobs, waiting) = async_channel::unbounded();
        let room = Room::new(length);
        (Self { jobs, room }, waiting)
    }

    /// Room for closures.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// Puts a job at the end. Whoever calls this holds a [`Place`] for it, or is otherwise bounded.
    pub(crate) fn push(&self, job: Box<dyn Job>) -> Result<(), Ended> {
        self.jobs.try_send(job).map_err(|_| Ended)
    }

    /// What waits is still run; nothing more is taken.
    pub(crate) fn close(&self) {
        self.jobs.close();
        self.room.close();
    }
}

/// Room for a number of waiting things.
#[derive(Clone)]
pub(crate) struct Room {
    enter: Sender<()>,
    leave: Receiver<()>,
}

impl Room {
    pub(crate) fn new(size: usize) -> Self {
        let (enter, leave) = async_channel::bounded(size.max(1));
        Self { enter, leave }
    }

    /// Waits for a place.
    pub(crate) async fn enter(&self) -> Result<Place, Ended> {
        self.enter.send(()).await.map_err(|_| Ended)?;
        Ok(Place(self.leave.clone()))
    }

    /// As [`Room::enter`], outside of any async runtime.
    pub(crate) fn enter_blocking(&self) -> Result<Place, Ended> {
        self.enter.send_blocking(()).map_err(|_| Ended)?;
        Ok(Place(self.leave.clone()))
    }

    pub(crate) fn close(&self) {
        self.enter.close();
    }
}

/// A place in a [`Room`], given back on drop.
#[derive(Debug)]
pub(crate) struct Place(Receiver<()>);

impl Drop for Place {
    fn drop(&mut self) {
        // One entry is as good as another.
        let _ = self.0.try_recv();
    }
}
