//! One command: follows it to its end, and ends it when time is up or the queen says so.

use std::process::ExitStatus;
use std::time::Duration;

use colony_wire::AntMessage;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::capture::Capture;
use crate::executor::{Event, Session, StartError, Stop};
use crate::log::Log;
use crate::stop::{Level, StopSignal, Wish};

/// Being late by so much means that this process was frozen or the machine asleep.
const LATE: Duration = Duration::from_secs(1);

/// How long to wait for the news that a command has ended meanwhile.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How a command ended.
#[derive(Debug)]
pub(super) enum CommandEnd {
    /// By itself.
    Exited(ExitStatus),
    /// Because the phase's time was up.
    TimedOut(ExitStatus),
    /// Because of a wish of this strength.
    Stopped(Level),
    /// Not at all: it could not be started.
    NotStarted(StartError),
    /// Its end could not be learned.
    Lost(std::io::Error),
}

/// Follows a command that was started.
pub(super) struct Watch<'a> {
    pub(super) session: &'a mut dyn Session,
    pub(super) log: &'a mut Log,
    pub(super) capture: &'a mut Capture,
    pub(super) to_queen: &'a mpsc::Sender<AntMessage>,
    pub(super) stop: &'a mut StopSignal,
    /// Weaker wishes are not listened to.
    pub(super) level: Level,
    pub(super) limits: WatchLimits,
}

/// When to lose patience.
#[derive(Debug, Clone, Copy)]
pub(super) struct WatchLimits {
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
    /// Between the soft and the hard stop.
    pub(super) grace: Duration,
}

/// That a command is being stopped.
#[derive(Debug, Clone, Copy)]
struct Stopping {
    why: Why,
    /// When to kill; none once that was done.
    kill_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Why {
    Time,
    Wish(Level),
}

/// What the loop below waits for.
enum Happening {
    Event(Event),
    /// The queen has room for a chunk, or is gone.
    Room,
    Wish(Wish),
    Clock,
}

impl Watch<'_> {
    pub(super) async fn follow(mut self) -> CommandEnd {
        let mut buffer = Vec::new();
        let mut stopping = None;
        loop {
            match self.next(&mut buffer, stopping).await {
                Happening::Event(event) => {
                    if let Some(end) = self.take(event, &buffer, stopping) {
                        return end;
                    }
                }
                Happening::Room => self.send_chunk(),
                Happening::Wish(wish) => stopping = Some(self.obey(&wish, stopping)),
                Happening::Clock => {
                    // One that was over in time is over, although this process was asleep.
                    if self.is_late(stopping)
                        && let Some(end) = self.last_words(&mut buffer).await
                    {
                        return end;
                    }
                    stopping = self.look_at_clock(stopping);
                }
            }
        }
    }

    async fn next(&mut self, buffer: &mut Vec<u8>, stopping: Option<Stopping>) -> Happening {
        let now = Instant::now();
        let send_at = self.log.send_at(now);
        let send_now = send_at.is_some_and(|at| at <= now);
        let end_at = match stopping {
            None => Some(self.limits.deadline),
            Some(stopping) => stopping.kill_at,
        };
        let alarm = [end_at, send_at.filter(|_| !send_now)];
        let alarm = alarm.into_iter().flatten().min();
        let level = match stopping {
            Some(Stopping {
                why: Why::Wish(level),
                ..
            }) => level,
            _ => self.level,
        };
        tokio::select! {
            event = self.session.next(buffer), if !self.log.is_full() => Happening::Event(event),
            _ = self.to_queen.reserve(), if send_now => Happening::Room,
            wish = self.stop.above(level), if level < Level::Abandon => Happening::Wish(wish),
            () = sleep_until(alarm), if alarm.is_some() => Happening::Clock,
        }
    }

    /// Notes what happened; gives how the command ended, when it did.
    fn take(
        &mut self,
        event: Event,
        buffer: &[u8],
        stopping: Option<Stopping>,
    ) -> Option<CommandEnd> {
        match event {
            Event::Output(stream) => {
                self.log.output(stream, buffer, self.capture);
                None
            }
            Event::Exited(status) => {
                self.log.finish_item(self.capture);
                Some(end(status, stopping))
            }
            Event::NotStarted(error) => Some(CommandEnd::NotStarted(error)),
            Event::Lost(error) => Some(CommandEnd::Lost(error)),
        }
    }

    /// Whether the command's time was up a while ago: nobody has looked since.
    fn is_late(&self, stopping: Option<Stopping>) -> bool {
        stopping.is_none() && self.limits.deadline.elapsed() > LATE
    }

    /// How the command ended while nobody looked, if it did.
    async fn last_words(&mut self, buffer: &mut Vec<u8>) -> Option<CommandEnd> {
        let until = Instant::now() + LAST_WORDS;
        loop {
            let event = tokio::time::timeout_at(until, self.session.next(buffer)).await;
            if let Some(end) = self.take(event.ok()?, buffer, None) {
                return Some(end);
            }
            if self.log.is_full() {
                return None;
            }
        }
    }

    /// Sends a chunk if there is still room. Without a queen it is only kept.
    fn send_chunk(&mut self) {
        match self.to_queen.try_reserve() {
            Err(mpsc::error::TrySendError::Full(())) => {}
            permit => {
                let chunk = self.log.take_chunk().map(AntMessage::Log);
                if let (Ok(permit), Some(chunk)) = (permit, chunk) {
                    permit.send(chunk);
                }
            }
        }
    }

    fn obey(&mut self, wish: &Wish, stopping: Option<Stopping>) -> Stopping {
        let (level, notice) = match wish {
            Wish::Run => (Level::Run, String::new()),
            Wish::Cancel { reason } => (Level::Cancel, format!("cancelled: {reason}")),
            Wish::Abandon { reason } => (Level::Abandon, format!("stopped: {reason}")),
        };
        self.log.notice(&notice);
        let kill_at = match stopping {
            Some(stopping) => stopping.kill_at,
            None => self.stop_softly(),
        };
        Stopping {
            why: Why::Wish(level),
            kill_at,
        }
    }

    fn stop_softly(&mut self) -> Option<Instant> {
        self.session.stop(Stop::Soft);
        Some(Instant::now() + self.limits.grace)
    }

    fn look_at_clock(&mut self, stopping: Option<Stopping>) -> Option<Stopping> {
        let now = Instant::now();
        match stopping {
            None if self.limits.deadline <= now => {
                let timeout = self.limits.timeout.as_millis();
                self.log.notice(&format!(
                    "timeout of {timeout} ms reached (context deadline exceeded): stopping"
                ));
                let kill_at = self.stop_softly();
                let why = Why::Time;
                Some(Stopping { why, kill_at })
            }
            Some(Stopping {
                why,
                kill_at: Some(at),
            }) if at <= now => {
                let grace = self.limits.grace.as_millis();
                self.log
                    .notice(&format!("still there after {grace} ms: killed"));
                self.session.stop(Stop::Hard);
                Some(Stopping { why, kill_at: None })
            }
            other => other,
        }
    }
}

fn end(status: ExitStatus, stopping: Option<Stopping>) -> CommandEnd {
    match stopping.map(|stopping| stopping.why) {
        None => CommandEnd::Exited(status),
        Some(Why::Time) => CommandEnd::TimedOut(status),
        Some(Why::Wish(level)) => CommandEnd::Stopped(level),
    }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}
