//! Running programs, and stopping them when asked to.

use std::fmt;
use std::io::Write;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Why a task failed.
pub(crate) enum Failure {
    /// A program failed and has said why; end with this code.
    Exit(u8),
    /// The command line makes no sense.
    Usage(String),
    /// Anything else.
    Message(String),
}

/// Builds a [`Failure::Message`] from what was tried and why it failed.
pub(crate) fn failed_to<E: fmt::Display>(what: &str) -> impl Fn(E) -> Failure + '_ {
    move |error| Failure::Message(format!("failed to {what}: {error}"))
}

/// Talks to the developer.
pub(crate) fn say(text: &str) {
    // Nobody is left to tell when even this fails.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Catches signals instead of dying from them, so that what was started is stopped first.
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn catch() -> Result<Self, Failure> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag))
                .map_err(failed_to("catch signals"))?;
        }
        Ok(Self(flag))
    }

    fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Shows the command, runs it to its end, or to an interrupt.
    pub(crate) fn run(&self, command: &mut Command) -> Result<(), Failure> {
        say(&format!("==> {}", shown(command)));
        let mut child = command
            .spawn()
            .map_err(failed_to(&format!("start {:?}", command.get_program())))?;
        let status = self.wait(&mut child)?;
        if status.success() {
            return Ok(());
        }
        say(&format!("==> failed ({status}): {}", shown(command)));
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Err(Failure::Exit(code.unwrap_or(1)))
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus, Failure> {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        // A terminal sends Ctrl-C to the child too, which then has this long to end by itself.
        const PATIENCE: u32 = 100;
        let mut patience = PATIENCE;
        loop {
            if let Some(status) = child.try_wait().map_err(failed_to("wait"))? {
                return Ok(status);
            }
            if self.is_asked() {
                patience -= 1;
                if patience == 0 {
                    child.kill().map_err(failed_to("stop a program"))?;
                    child.wait().map_err(failed_to("wait"))?;
                    return Err(Failure::Exit(130));
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}
