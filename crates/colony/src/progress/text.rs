//! Notices as lines for people.

use std::time::Duration;

use colony_core::job::JobError;
use colony_core::state::{JobState, JobTaskState};
use owo_colors::OwoColorize as _;

use super::notice::{Notice, NoticeKind, TaskEnd};
use crate::output::{data_has_color, plain, task_line};

/// A line and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// Output of a task: data.
    Output(String),
    /// About the run: talk.
    Talk(String),
}

/// A notice as one line. None when nothing is to be said.
pub(crate) fn say(notice: &Notice, color: bool) -> Option<Said> {
    let line = match &notice.kind {
        NoticeKind::Submitted { request_id, job } => {
            format!("{} is request {request_id}", plain(job))
        }
        NoticeKind::Waiting { reason } => format!("waiting: {}", plain(reason)),
        NoticeKind::TaskStarted { task, attempt: 1 } => format!("{} started", plain(task)),
        NoticeKind::TaskStarted { task, attempt } => {
            format!("{} started, attempt {attempt}", plain(task))
        }
        NoticeKind::Output { task, line, .. } => {
            return Some(Said::Output(format!(
                "{} | {}",
                plain(task),
                task_line(&line.text, data_has_color())
            )));
        }
        NoticeKind::TaskRetries {
            task,
            attempt,
            exit_code,
            error,
        } => {
            let mark = mark("↻", color, |text| text.yellow().to_string());
            let why = why(exit_code, error.as_ref());
            format!(
                "{mark} {} attempt {attempt} failed{why}; it is tried again",
                plain(task)
            )
        }
        NoticeKind::TaskEnded(end) => task_ended(end, color),
        NoticeKind::Missed { events } => {
            format!("{events} events came too fast to be shown; the logs have everything")
        }
        NoticeKind::Remark { text } => text.clone(),
        NoticeKind::Ended { .. } => return None,
    };
    Some(Said::Talk(line))
}

fn task_ended(end: &TaskEnd, color: bool) -> String {
    let task = plain(&end.task);
    let time = end
        .took
        .map_or(String::new(), |took| format!(" in {}", duration(took)));
    let attempts = match end.attempts {
        0 | 1 => String::new(),
        attempts => format!(" at attempt {attempts}"),
    };
    let mark = state_mark(end.state, color);
    match end.state {
        JobTaskState::Completed if end.took.is_none() => format!("{mark} {task} skipped"),
        JobTaskState::Completed => format!("{mark} {task} completed{time}{attempts}"),
        JobTaskState::Cancelled => format!("{mark} {task} cancelled{time}"),
        _ => {
            let why = why(&end.exit_code, end.error.as_ref());
            format!("{mark} {task} failed{time}{attempts}{why}")
        }
    }
}

fn why(exit_code: &str, error: Option<&JobError>) -> String {
    match error {
        Some(error) => format!(": {}", plain(error.message.lines().next().unwrap_or(""))),
        None if exit_code.is_empty() || exit_code == "0" => String::new(),
        None => format!(": exit code {}", plain(exit_code)),
    }
}

/// ✓, ✗ or –.
fn state_mark(state: JobTaskState, color: bool) -> String {
    match state {
        JobTaskState::Completed => mark("✓", color, |text| text.green().to_string()),
        JobTaskState::Cancelled => mark("–", color, |text| text.yellow().to_string()),
        _ => mark("✗", color, |text| text.red().to_string()),
    }
}

/// A job's state, colored when wanted.
pub(crate) fn state(state: JobState, color: bool) -> String {
    let paint = |text: &str| match state {
        JobState::Completed => text.green().bold().to_string(),
        JobState::Failed => text.red().bold().to_string(),
        JobState::Cancelled => text.yellow().bold().to_string(),
        _ => text.bold().to_string(),
    };
    mark(state.as_str(), color, paint)
}

fn mark(text: &str, color: bool, paint: impl Fn(&str) -> String) -> String {
    if color { paint(text) } else { text.to_owned() }
}

/// A duration for people: two or three digits that matter.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A number of bytes for people.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use colony_core::time::Timestamp;

    use super::super::notice::Line;
    use super::*;

    fn said(kind: NoticeKind) -> Option<Said> {
        let at = Timestamp::from_millis(0);
        say(&Notice { at, kind }, false)
    }

    #[test]
    fn durations_and_sizes_are_short() {
        for (millis, expected) in [
            (7, "7 ms"),
            (1_249, "1.2 s"),
            (61_000, "1 min 01 s"),
            (3_723_000, "1 h 02 min"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
        for (size, expected) in [(12, "12 B"), (1_500, "1.5 kB"), (2_500_000, "2.5 MB")] {
            assert_eq!(bytes(size), expected);
        }
    }

    #[test]
    fn output_is_prefixed_and_harmless() {
        let line = Line {
            time: String::new(),
            stream: "stdout".to_owned(),
            text: "a\u{7}b".to_owned(),
            partial: false,
        };
        let kind = NoticeKind::Output {
            task: "t".to_owned(),
            attempt: 1,
            line,
        };
        assert_eq!(said(kind), Some(Said::Output("t | a\u{fffd}b".to_owned())));
    }

    #[test]
    fn ends_say_how_and_why() {
        let end = |state, attempts, took, message: &str| TaskEnd {
            task: "t".to_owned(),
            state,
            attempts,
            exit_code: "3".to_owned(),
            took,
            error: Some(JobError::new("ERR_X", message)).filter(|_| !message.is_empty()),
            tail: Vec::new(),
        };
        let second = Some(Duration::from_secs(1));
        for (end, expected) in [
            (
                end(JobTaskState::Completed, 1, second, ""),
                "✓ t completed in 1.0 s",
            ),
            (end(JobTaskState::Completed, 0, None, ""), "✓ t skipped"),
            (
                end(JobTaskState::Failed, 2, second, "boom\nmore"),
                "✗ t failed in 1.0 s at attempt 2: boom",
            ),
            (
                end(JobTaskState::Failed, 1, None, ""),
                "✗ t failed: exit code 3",
            ),
            (
                end(JobTaskState::Cancelled, 1, second, ""),
                "– t cancelled in 1.0 s",
            ),
        ] {
            let talk = Said::Talk(expected.to_owned());
            assert_eq!(said(NoticeKind::TaskEnded(end)), Some(talk));
        }
    }
}
