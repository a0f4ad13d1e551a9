//! The tasks.

use std::process::Command;

use crate::command::{Failure, Interrupt};
use crate::services::Services;

/// Everything that must pass. What is quick and fails often comes first; the lines of the tests
/// come last.
pub(crate) fn test() -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    interrupt.run(&mut cargo(&["fmt", "--all", "--check"]))?;
    interrupt.run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    interrupt
        .run(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    with_services(&interrupt, &mut cargo(&["test", "--workspace"]))
}

/// Any command, with the services up.
pub(crate) fn services(program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    with_services(&interrupt, Command::new(program).args(arguments))
}

/// A benchmark by its name.
pub(crate) fn bench(name: &str, arguments: &[&str]) -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    let bench = |package| {
        let mut command = cargo(&["bench", "--package", package, "--"]);
        command.args(arguments);
        command
    };
    match name {
        "store" => with_services(&interrupt, &mut bench("colony-store")),
        "runs-api" => with_services(&interrupt, &mut bench("colony-server")),
        "template" => interrupt.run(&mut bench("colony-template")),
        "engine" => {
            // The shipped profile: the queen that is measured is the one that people run.
            let mut command =
                cargo(&["bench", "--profile", "release", "--package", "colony", "--"]);
            command.args(arguments);
            with_services(&interrupt, &mut command)
        }
        other => Err(Failure::Usage(format!("there is no benchmark `{other}`"))),
    }
}

fn with_services(interrupt: &Interrupt, command: &mut Command) -> Result<(), Failure> {
    // Dropped, and so stopped, whatever happens.
    let services = Services::start()?;
    interrupt.run(command.envs(services.variables()))
}

fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments);
    command
}
