//! `colony tasks batch`: many tasks from JSON lines.

use anyhow::{anyhow, bail};
use colony_api::runs::{NewTask, Task};
use colony_api::runs_client::ClientError;
use colony_core::id::RunId;
use serde_json::Value;

use super::super::runs::find;
use super::super::{Common, block_on, to_json};
use crate::cli::TasksBatchArgs;
use crate::client::{Ledger, explain};
use crate::exit::{Exit, InputResult as _, Problem};
use crate::{output, source};

/// Tasks in one call, as many as the API takes.
const TASKS_MAX: usize = 1000;

/// Bytes in one call, less than the API takes.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// A task with the line that it stands in.
struct Line {
    number: usize,
    bytes: usize,
    task: NewTask,
}

pub(super) fn batch(args: &TasksBatchArgs, common: &Common) -> Result<Exit, Problem> {
    let ledger = find(&args.client, common)?;
    let text = source::read_stdin().or_bad_input()?;
    let lines = read_lines(&text, args.run).or_bad_input()?;
    block_on(async {
        let mut rest = &lines[..];
        while !rest.is_empty() {
            let (call, more) = rest.split_at(call_size(rest));
            let created = create(&ledger, call).await;
            let created = created.inspect_err(|_| tell_of(lines.len() - rest.len()))?;
            for task in created {
                match args.json {
                    true => output::exact(&to_json(&task)?),
                    false => output::data(&task.id),
                }
            }
            rest = more;
        }
        Ok(Exit::Completed)
    })
}

/// Says how much was done before a call failed.
fn tell_of(done: usize) {
    if done > 0 {
        output::talk(&format!("{done} tasks were created before"));
    }
}

async fn create(ledger: &Ledger, lines: &[Line]) -> Result<Vec<Task>, Problem> {
    let tasks = lines.iter().map(|line| line.task.clone()).collect();
    match ledger.client.create_tasks(tasks).await {
        Ok(created) => Ok(created.tasks),
        Err(error) => match place(&error, lines) {
            Some(text) => Err(Problem::input(anyhow!("{text}"))),
            None => Err(ledger.problem(error)),
        },
    }
}

/// The first problem with the number of its line, when the queen names a task.
fn place(error: &ClientError, lines: &[Line]) -> Option<String> {
    let ClientError::Refused { body, .. } = error else {
        return None;
    };
    let mut item = body.details.as_ref()?.first()?.clone();
    let index = item.path.get(1).and_then(Value::as_u64)?;
    let line = lines.get(usize::try_from(index).ok()?)?;
    item.path.drain(..2);
    let text = explain(&item);
    Some(format!(
        "stdin, line {}: the queen says: {text}",
        line.number
    ))
}

/// How many lines make the next call.
fn call_size(lines: &[Line]) -> usize {
    let mut bytes = 0;
    let fits = lines.iter().take(TASKS_MAX).take_while(|line| {
        bytes += line.bytes;
        bytes <= BYTES_MAX
    });
    // One that is too large alone is refused by the queen.
    fits.count().max(1)
}

fn read_lines(text: &str, run: Option<RunId>) -> anyhow::Result<Vec<Line>> {
    let lines = text.lines().enumerate();
    let filled = lines.filter(|(_, line)| !line.trim().is_empty());
    let read = filled.map(|(index, line)| {
        Ok(Line {
            number: index + 1,
            bytes: line.len(),
            task: read_line(line, run)
                .map_err(|error| anyhow!("stdin, line {}: {error}", index + 1))?,
        })
    });
    let lines: Vec<Line> = read.collect::<anyhow::Result<_>>()?;
    if lines.is_empty() {
        bail!("there are no tasks on stdin; write one JSON object a line");
    }
    Ok(lines)
}

fn read_line(line: &str, run: Option<RunId>) -> anyhow::Result<NewTask> {
    let mut value: Value = serde_json::from_str(line).map_err(|error| {
        let column = error.column();
        anyhow!("column {column}: {}", without_place(&error))
    })?;
    let Some(task) = value.as_object_mut() else {
        bail!("a task is a JSON object, such as {{\"type\": \"resize\", \"inputData\": {{}}}}");
    };
    match run {
        Some(run) if !task.contains_key("runId") => {
            task.insert("runId".to_owned(), Value::from(run.to_string()));
        }
        None if !task.contains_key("runId") => {
            bail!("no `runId`; write one, or give the run on the command line");
        }
        Some(_) | None => {}
    }
    serde_json::from_value(value).map_err(|error| anyhow!("{error}"))
}

/// The parser counts lines, too, but sees only one.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "0190b5c0-aa6a-7d0e-9c59-2f8a6b7c8d9e";

    #[test]
    fn lines_get_the_run_of_the_command_line() {
        let text =
            "{\"type\":\"a\",\"inputData\":1}\n\n{\"type\":\"b\",\"inputData\":2,\"runId\":\"x\"}";
        let lines = read_lines(text, Some(RUN.parse().unwrap())).unwrap();
        let seen: Vec<_> = lines.iter().map(|l| (l.number, &*l.task.run_id)).collect();
        assert_eq!(seen, [(1, RUN), (3, "x")]);
    }

    #[test]
    fn mistakes_have_their_line() {
        let good = "{\"runId\":\"r\",\"type\":\"a\",\"inputData\":1}\n";
        for (line, expected) in [
            ("{\"type\": }", "stdin, line 2: column 10: expected value"),
            ("[1]", "stdin, line 2: a task is a JSON object"),
            ("{\"type\":\"a\"}", "stdin, line 2: no `runId`"),
            (
                "{\"runId\":\"r\",\"type\":\"a\"}",
                "missing field `inputData`",
            ),
        ] {
            let error = read_lines(&format!("{good}{line}"), None).err().unwrap();
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(read_lines(" \n", None).is_err());
    }

    #[test]
    fn calls_are_bounded() {
        let line = |bytes| Line {
            number: 1,
            bytes,
            task: NewTask::default(),
        };
        let many: Vec<Line> = (0..1500).map(|_| line(10)).collect();
        assert_eq!(call_size(&many), TASKS_MAX);
        let large: Vec<Line> = (0..3).map(|_| line(BYTES_MAX / 2)).collect();
        assert_eq!(call_size(&large), 2);
        assert_eq!(call_size(&[line(2 * BYTES_MAX)]), 1);
    }
}
