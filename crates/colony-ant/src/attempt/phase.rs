//! A phase: its commands one after the other, until the first that does not succeed.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use colony_wire::{Failure, Order};
use rustix::process::Signal;
use tokio::time::Instant;

use super::capture::{self, Capture};
use super::command::{CommandEnd, Watch, WatchLimits};
use super::want::is_want;
use super::{Attempt, Trouble};
use crate::environment;
use crate::executor::{Session, StartError};
use crate::stop::Level;
use colony_core::text::with_causes;

/// A part of an attempt that runs commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    BeforeScript,
    Script,
    AfterScript,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::BeforeScript => "before_script",
            Self::Script => "script",
            Self::AfterScript => "after_script",
        }
    }

    fn commands(self, order: &Order) -> &[String] {
        match self {
            Self::BeforeScript => &order.phases.before_script,
            Self::Script => &order.phases.script,
            Self::AfterScript => &order.phases.after_script,
        }
    }
}

impl Attempt<'_> {
    /// Runs a phase within a time. Wishes up to `level` do not stop it.
    pub(super) async fn phase(
        &mut self,
        session: &mut dyn Session,
        phase: Phase,
        level: Level,
        limit: Duration,
    ) -> Result<(), Trouble> {
        let limits = WatchLimits {
            deadline: Instant::now() + limit,
            timeout: limit,
            grace: self.crew.config.periods.stop_grace,
        };
        let order = self.order;
        for command in phase.commands(order) {
            self.stop_if_wished(level)?;
            self.log.command(command);
            if let Some((name, value)) = environment::assignment(command) {
                self.environment.insert(name.to_owned(), value.to_owned());
                self.commands += 1;
            } else {
                self.command(session, phase, level, limits, command).await?;
            }
        }
        Ok(())
    }

    fn stop_if_wished(&mut self, level: Level) -> Result<(), Trouble> {
        match self.stop.level() {
            wished if wished <= level => Ok(()),
            Level::Abandon => Err(Trouble::Abandoned),
            _ => {
                self.log.notice("cancelled");
                Err(Trouble::Cancelled)
            }
        }
    }

    async fn command(
        &mut self,
        session: &mut dyn Session,
        phase: Phase,
        level: Level,
        limits: WatchLimits,
        command: &str,
    ) -> Result<(), Trouble> {
        let mut capture = self.new_capture();
        let started_at = self.crew.clock.now();
        session
            .start(command, &self.environment)
            .await
            .map_err(|error| self.not_started(&error))?;
        let watch = Watch {
            session,
            log: &mut self.log,
            capture: &mut capture,
            to_queen: &self.crew.to_queen,
            stop: &mut self.stop,
            level,
            limits,
        };
        let end = watch.follow().await;
        if let CommandEnd::NotStarted(error) = &end {
            return Err(self.not_started(error));
        }
        self.record.timings.started_at.get_or_insert(started_at);
        self.keep(capture, phase);
        self.judge(end, phase, limits, command)
            .inspect_err(|trouble| self.note(trouble))
    }

    fn not_started(&mut self, error: &StartError) -> Trouble {
        let message = self.redactor.mask(&with_causes(error)).into_owned();
        self.log.notice(&format!("failed to {message}"));
        match is_want(error) {
            true => Trouble::Want(message),
            false => Trouble::Failed(Failure::CouldNotStart { message }),
        }
    }

    fn note(&mut self, trouble: &Trouble) {
        match trouble {
            Trouble::Failed(Failure::Exited { code, .. }) => {
                self.log.notice(&format!("exit code {code}"));
            }
            Trouble::Failed(Failure::Signalled { signal, .. }) => {
                self.log.notice(&format!("ended by signal {signal}"));
            }
            _ => {}
        }
    }

    fn new_capture(&mut self) -> Capture {
        let task = self.order.task_type.replace('/', "_");
        let name = format!("{}_{task}_{}.stdout", self.order.request_id, self.commands);
        let file = self.site.file(&format!("{}.stdout", self.commands));
        self.commands += 1;
        Capture::new(name, file)
    }

    fn keep(&mut self, capture: Capture, phase: Phase) {
        let captured = capture.finish();
        if !capture::merge(&mut self.record.outputs, captured.outputs) {
            self.record
                .warn("too much was set by ::set-output: values were dropped".to_owned());
        }
        if let Some(warning) = captured.warning {
            self.record.warn(warning);
        }
        self.record.stdout_files.extend(captured.file);
        if phase == Phase::Script && self.order.report_stdout {
            self.record.stdout.push(captured.text);
        }
    }

    /// What the end of a command means for the attempt.
    fn judge(
        &mut self,
        end: CommandEnd,
        phase: Phase,
        limits: WatchLimits,
        command: &str,
    ) -> Result<(), Trouble> {
        let masked = || self.redactor.mask(command).into_owned();
        let failure = match end {
            CommandEnd::Exited(status) if status.success() => return Ok(()),
            CommandEnd::Stopped(Level::Abandon) => return Err(Trouble::Abandoned),
            CommandEnd::Stopped(_) => return Err(Trouble::Cancelled),
            CommandEnd::Exited(status) => {
                self.record.exit_code.get_or_insert(exit_code(status));
                let command = masked();
                match status.signal() {
                    Some(signal) => Failure::Signalled { signal, command },
                    None => Failure::Exited {
                        code: exit_code(status),
                        command,
                    },
                }
            }
            CommandEnd::TimedOut(status) => {
                self.record.exit_code.get_or_insert(stopped_code(status));
                Failure::TimedOut {
                    phase: phase.name().to_owned(),
                    timeout_ms: u64::try_from(limits.timeout.as_millis()).unwrap_or(u64::MAX),
                    command: masked(),
                }
            }
            CommandEnd::NotStarted(error) => return Err(self.not_started(&error)),
            CommandEnd::Lost(error) => Failure::CouldNotStart {
                message: format!("follow `{}`: {error}", masked()),
            },
        };
        Err(Trouble::Failed(failure))
    }
}

/// The exit code of a command that was stopped: that of SIGTERM, or of SIGKILL where it took that,
/// whatever the command itself said at the end.
fn stopped_code(status: ExitStatus) -> i32 {
    let kill = Signal::KILL.as_raw();
    let term = Signal::TERM.as_raw();
    128 + if status.signal() == Some(kill) {
        kill
    } else {
        term
    }
}

/// The status of a process as a shell shows it.
fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}
