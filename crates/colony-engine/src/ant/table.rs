//! Who is connected, what each ant works on, and what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use colony_core::id::{AttemptRef, RequestId, RunId};
use colony_core::method::Method;
use colony_core::queue_key;
use colony_wire::{Hello, Order, QueenMessage};
use tokio::sync::mpsc;

/// An ant with an open link.
struct Session {
    hello: Hello,
    to_ant: mpsc::Sender<QueenMessage>,
    running: BTreeMap<AttemptRef, Assigned>,
    /// Stops of attempts that are leased but not known here yet, and why. Of those that are over
    /// some stay.
    early_stops: BTreeMap<AttemptRef, String>,
    embedded: bool,
    /// Places that are kept for tasks about to be leased.
    kept: u32,
}

impl Session {
    /// Keeps one place of the room that there is.
    fn keep(&mut self, room: AntRoom) -> AntRoom {
        self.kept += 1;
        AntRoom { free: 1, ..room }
    }
}

/// An attempt that is with an ant, or about to be.
struct Assigned {
    request_id: RequestId,
    run_id: RunId,
    /// Its order was sent: a stop may follow.
    started: bool,
    /// Why it is not to start at all.
    stop: Option<String>,
}

/// Early stops that are kept for an ant.
const EARLY_STOPS_MAX: usize = 1024;

/// What became of an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is on its way.
    Started,
    /// Someone asked meanwhile to stop it.
    Stopped,
    /// The ant is gone or does not listen.
    Gone,
}

/// An ant as the dispatcher sees it.
#[derive(Debug, Clone)]
pub(crate) struct AntRoom {
    pub(crate) ant_id: String,
    pub(crate) host: String,
    pub(crate) methods: Vec<Method>,
    pub(crate) tags: Vec<String>,
    pub(crate) capacity: u32,
    pub(crate) free: u32,
}

impl AntRoom {
    /// Whether the ant may take from a queue.
    pub(crate) fn serves(&self, key: &str) -> bool {
        let Some((method, mut tags)) = queue_key::needs(key) else {
            return false;
        };
        self.methods.iter().any(|own| own.as_str() == method) && tags.all(|tag| self.has_tag(tag))
    }

    /// An ant with the tag `*` takes tasks with any.
    fn has_tag(&self, tag: &str) -> bool {
        let fits = |own: &String| own == "*" || own.eq_ignore_ascii_case(tag);
        self.tags.iter().any(fits)
    }
}

/// All connected ants.
#[derive(Default)]
pub(crate) struct Ants {
    sessions: Mutex<BTreeMap<String, Session>>,
}

impl Ants {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An ant has opened a link.
    pub(crate) fn arrive(&self, hello: Hello, to_ant: mpsc::Sender<QueenMessage>, embedded: bool) {
        let ant_id = hello.ant_id.clone();
        let session = Session {
            hello,
            to_ant,
            running: BTreeMap::new(),
            early_stops: BTreeMap::new(),
            embedded,
            kept: 0,
        };
        self.lock().insert(ant_id, session);
    }

    /// The link is closed. The ant may have opened another one meanwhile.
    pub(crate) fn leave(&self, ant_id: &str, link: &mpsc::Sender<QueenMessage>) {
        let mut sessions = self.lock();
        if sessions
            .get(ant_id)
            .is_some_and(|session| session.to_ant.same_channel(link))
        {
            sessions.remove(ant_id);
        }
    }

    /// Every ant and the attempts that are with it, or about to be.
    pub(super) fn known(&self) -> Vec<(String, BTreeSet<AttemptRef>)> {
        let sessions = self.lock();
        let known = sessions.iter().map(|(ant_id, session)| {
            let attempts = session.running.keys().copied().collect();
            (ant_id.clone(), attempts)
        });
        known.collect()
    }

    /// Every ant and how many attempts it has room for.
    pub(crate) fn rooms(&self) -> Vec<AntRoom> {
        let rooms = self.lock();
        rooms
            .iter()
            .map(|(ant_id, session)| room(ant_id, session))
            .collect()
    }

    /// Keeps all room that there is for tasks about to be leased, and tells whether nobody kept any
    /// before.
    pub(crate) fn keep_all(&self) -> (Vec<AntRoom>, bool) {
        let mut sessions = self.lock();
        let all = sessions.values().all(|session| session.kept == 0);
        let rooms = sessions.iter_mut().filter_map(|(ant_id, session)| {
            let room = room(ant_id, session);
            session.kept += room.free;
            (room.free > 0).then_some(room)
        });
        (rooms.collect(), all)
    }

    /// Keeps a place at an ant that serves a queue, if there is one.
    pub(crate) fn keep_one(&self, key: &str) -> Option<AntRoom> {
        let mut sessions = self.lock();
        sessions.iter_mut().find_map(|(ant_id, session)| {
            let room = room(ant_id, session);
            (room.free > 0 && room.serves(key)).then(|| session.keep(room))
        })
    }

    /// An attempt has ended: its place is kept for the next one. Gives the place and the attempt's run.
    pub(crate) fn trade(
        &self,
        ant_id: &str,
        attempt: AttemptRef,
    ) -> (Option<AntRoom>, Option<RunId>) {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(ant_id) else {
            return (None, None);
        };
        let assigned = session.running.remove(&attempt);
        let room = room(ant_id, session);
        let place = (room.free > 0).then(|| session.keep(room));
        (place, assigned.map(|assigned| assigned.run_id))
    }

    /// Places that were kept are free again. True when there were any.
    pub(crate) fn free(&self, places: Vec<(String, u32)>) -> bool {
        let mut sessions = self.lock();
        let mut freed = false;
        for (ant_id, count) in places {
            if let Some(session) = sessions.get_mut(&ant_id) {
                session.kept = session.kept.saturating_sub(count);
                freed |= count > 0;
            }
        }
        freed
    }

    /// Notes that an attempt is with an ant, in a place that was kept for it. False when it is gone.
    pub(crate) fn assign(
        &self,
        holder: &str,
        attempt: AttemptRef,
        (request_id, run_id): (RequestId, RunId),
    ) -> bool {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(holder) else {
            return false;
        };
        let assigned = Assigned {
            request_id,
            run_id,
            started: false,
            stop: session.early_stops.remove(&attempt),
        };
        session.kept = session.kept.saturating_sub(1);
        session.running.insert(attempt, assigned);
        true
    }

    /// Sends the order of an assigned attempt, unless it was stopped meanwhile. `before` is called
    /// before it is on its way.
    pub(crate) fn start(&self, holder: &str, order: Box<Order>, before: impl FnOnce()) -> Sent {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(holder) else {
            return Sent::Gone;
        };
        if let Some(assigned) = session.running.get_mut(&order.attempt) {
            if assigned.stop.is_some() {
                return Sent::Stopped;
            }
            assigned.started = true;
        }
        before();
        match session.to_ant.try_send(QueenMessage::Start(order)) {
            Ok(()) => Sent::Started,
            Err(_) => Sent::Gone,
        }
    }

    /// Tells an ant to stop an attempt. One whose order was not sent yet will not start.
    pub(crate) fn stop(&self, holder: &str, attempt: AttemptRef, reason: String) {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(holder) else {
            return;
        };
        match session.running.get_mut(&attempt) {
            Some(assigned) if !assigned.started => {
                assigned.stop = Some(reason);
                return;
            }
            Some(_) => {}
            // About to be assigned, or running since before this link was opened.
            None => {
                session.early_stops.insert(attempt, reason.clone());
                if session.early_stops.len() > EARLY_STOPS_MAX {
                    session.early_stops.pop_first();
                }
            }
        }
        // When the ant does not listen, the answer to its next heartbeat says it again.
        let cancel = QueenMessage::Cancel { attempt, reason };
        let _ = session.to_ant.try_send(cancel);
    }

    /// The attempt is no longer with the ant. Gives the request and run that it was part of.
    pub(crate) fn release(&self, holder: &str, attempt: AttemptRef) -> Option<(RequestId, RunId)> {
        let mut sessions = self.lock();
        let released = sessions.get_mut(holder)?.running.remove(&attempt)?;
        Some((released.request_id, released.run_id))
    }

    pub(super) fn request_of(&self, holder: &str, attempt: AttemptRef) -> Option<RequestId> {
        let sessions = self.lock();
        let assigned = sessions.get(holder)?.running.get(&attempt)?;
        Some(assigned.request_id)
    }

    /// Sends a message to an ant. False when it is gone or does not listen.
    pub(crate) fn send(&self, holder: &str, message: QueenMessage) -> bool {
        let to_ant = self
            .lock()
            .get(holder)
            .map(|session| session.to_ant.clone());
        to_ant.is_some_and(|to_ant| to_ant.try_send(message).is_ok())
    }

    /// Whether an ant inside this process works on the attempt: its lease needs no proof of life.
    pub(crate) fn works_inside(&self, holder: &str, attempt: AttemptRef) -> bool {
        let sessions = self.lock();
        sessions
            .get(holder)
            .is_some_and(|session| session.embedded && session.running.contains_key(&attempt))
    }
}

fn room(ant_id: &str, session: &Session) -> AntRoom {
    let running = u32::try_from(session.running.len()).unwrap_or(u32::MAX);
    let taken = running.saturating_add(session.kept);
    let capacity = session.hello.capacity;
    AntRoom {
        ant_id: ant_id.to_owned(),
        host: session.hello.host.clone(),
        methods: session.hello.methods.clone(),
        tags: session.hello.tags.clone(),
        capacity,
        free: capacity.saturating_sub(taken),
    }
}

#[cfg(test)]
mod tests;
