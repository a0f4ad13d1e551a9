//! Following a request that runs inside this process, until it ends or the user has had enough.

use std::time::Duration;

use anyhow::bail;
use colony_core::id::RequestId;
use colony_core::state::JobState;
use colony_core::time::{Clock as _, SystemClock};
use colony_engine::{Caller, RunEvent};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::colony::Running;
use crate::exit::Exit;
use crate::progress::{Display, Notice, NoticeKind, Tracker};
use crate::signals::Signals;

/// How often the display looks at the time.
const TICK: Duration = Duration::from_millis(250);

/// How the following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The request is in this final state.
    Ended(JobState),
    /// The user asked twice: whatever runs is to be stopped now.
    Hurried,
}

impl Outcome {
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Ended(state) => state.into(),
            Self::Hurried => Exit::Cancelled,
        }
    }
}

/// Shows a request and listens to the user.
pub(super) struct Follower {
    request_id: RequestId,
    tracker: Tracker,
    display: Display,
    events: Receiver<RunEvent>,
    signals: Signals,
    cancelling: bool,
    /// Events were missed, the end perhaps among them: look at the row.
    unsure: bool,
}

impl Follower {
    pub(super) fn new(
        request_id: RequestId,
        tracker: Tracker,
        display: Display,
        events: Receiver<RunEvent>,
        signals: Signals,
    ) -> Self {
        Self {
            request_id,
            tracker,
            display,
            events,
            signals,
            cancelling: false,
            unsure: false,
        }
    }

    pub(super) fn into_parts(self) -> (Display, Signals) {
        (self.display, self.signals)
    }

    /// Until the request ends.
    pub(super) async fn follow(&mut self, running: &mut Running) -> anyhow::Result<Outcome> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let store = running.engine().store().clone();
        loop {
            let ended = tokio::select! {
                event = self.events.recv() => self.hear(event)?,
                () = self.signals.next() => {
                    if self.cancelling {
                        return Ok(Outcome::Hurried);
                    }
                    self.cancel(running).await?;
                    None
                }
                error = running.ant_failed() => return Err(error),
                reason = store.taken_over() => {
                    return Err(anyhow::anyhow!("the database was lost: {reason}"));
                }
                _ = tick.tick() => self.tick(running).await?,
            };
            if let Some(state) = ended {
                return Ok(Outcome::Ended(state));
            }
        }
    }

    fn hear(&mut self, event: Result<RunEvent, RecvError>) -> anyhow::Result<Option<JobState>> {
        let notices = match event {
            Ok(event) => self.tracker.hear(event),
            Err(RecvError::Lagged(events)) => {
                self.unsure = true;
                vec![notice(NoticeKind::Missed { events })]
            }
            Err(RecvError::Closed) => bail!("the engine inside this process is gone"),
        };
        self.display.show(&notices, &self.tracker);
        Ok(notices.iter().find_map(|notice| match notice.kind {
            NoticeKind::Ended { state, .. } => Some(state),
            _ => None,
        }))
    }

    async fn cancel(&mut self, running: &Running) -> anyhow::Result<()> {
        self.cancelling = true;
        let text = "cancelling the job; once more stops it at once".to_owned();
        self.display
            .show(&[notice(NoticeKind::Remark { text })], &self.tracker);
        let id = self.request_id.to_string();
        Ok(running.engine().cancel(&Caller::anonymous(), &id).await?)
    }

    async fn tick(&mut self, running: &Running) -> anyhow::Result<Option<JobState>> {
        let waiting = self.tracker.tick(SystemClock.now());
        if let Some(waiting) = waiting {
            self.display.show(&[waiting], &self.tracker);
        }
        if !self.unsure {
            return Ok(None);
        }
        let id = self.request_id.to_string();
        let (request, _) = running
            .engine()
            .find_request(&Caller::anonymous(), &id)
            .await?;
        Ok(Some(request.job_state).filter(|state| state.is_terminal()))
    }
}

fn notice(kind: NoticeKind) -> Notice {
    Notice {
        at: SystemClock.now(),
        kind,
    }
}
