//! How failures and warnings are put for others: paths relative to the directory of the colony, and
//! nothing that could forge a line.

use std::path::Path;

use colony_core::text;
use colony_wire::Failure;

/// A failure as it is reported. The text of a command is its author's and stays as it is.
pub(super) fn failure(failure: Failure, work_root: &Path) -> Failure {
    let shown = |message: String| self::message(&message, work_root);
    match failure {
        Failure::CouldNotStart { message } => Failure::CouldNotStart {
            message: shown(message),
        },
        Failure::Dependencies { message } => Failure::Dependencies {
            message: shown(message),
        },
        Failure::Artifacts { message } => Failure::Artifacts {
            message: shown(message),
        },
        other => other,
    }
}

/// A message without the place of the directory in which the work root is.
pub(super) fn message(message: &str, work_root: &Path) -> String {
    let home = work_root.parent().filter(|home| *home != Path::new("/"));
    let relative = match home {
        Some(home) => message.replace(&format!("{}/", home.display()), ""),
        None => message.to_owned(),
    };
    text::escape(&relative).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_and_in_one_line() {
        for (text, root, expected) in [
            (
                "read /home/a/.colony/work/1/x: no",
                "/home/a/.colony/work",
                "read work/1/x: no",
            ),
            ("read /work/1/x: no", "/work", "read /work/1/x: no"),
            (
                "there is no `a\nb\u{1b}[2J`",
                "/d/work",
                "there is no `a\\nb\\u{1b}[2J`",
            ),
        ] {
            assert_eq!(message(text, Path::new(root)), expected);
        }
    }
}
