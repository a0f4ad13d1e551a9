//! Variables that look like settings and are none: most likely a slip of the pen.

use colony_spec::nearest;

use super::table::{ALL, CONFIG_VARIABLE};
use crate::secrets::MARK;

/// With which the names of all variables of the program begin.
const PREFIX: &str = "COLONY_";

/// What commands of tasks find in their environment (`colony worker`, SHELL tasks).
const OF_TASKS: [&str; 6] = [
    "COLONY_TASK_ID",
    "COLONY_RUN_ID",
    "COLONY_TASK_TYPE",
    "COLONY_ATTEMPT",
    "COLONY_WORKER_ID",
    "COLONY_PARAMS",
];

/// Variables of the tests of Colony itself.
const OF_TESTS: &str = "COLONY_TEST_";

/// What to tell about the names of an environment. Inside of a task nothing: its parameters are
/// variables as well, and whoever started it was told.
pub(super) fn warnings(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.filter(|name| name.starts_with(PREFIX)).collect();
    if names.iter().any(|name| OF_TASKS.contains(&&**name)) {
        return Vec::new();
    }
    names.retain(|name| !is_known(name));
    names.sort();
    names.iter().map(|name| warning(name)).collect()
}

/// The end of a sentence about a name that is no setting's.
pub(super) fn advice<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`colony config` shows all".to_owned(),
    }
}

fn warning(name: &str) -> String {
    let known = ALL.iter().map(|setting| setting.variable);
    let advice = advice(name, known.chain([CONFIG_VARIABLE]));
    format!("the variable `{name}` is no setting and has no effect; {advice}")
}

fn is_known(name: &str) -> bool {
    let is_setting = ALL.iter().any(|setting| setting.variable == name);
    is_setting || [CONFIG_VARIABLE, MARK].contains(&name) || name.starts_with(OF_TESTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str]) -> Vec<String> {
        warnings(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn slips_are_told_with_the_nearest_name() {
        let said = told(&[
            "COLONY_LISEN",
            "PATH",
            "COLONY_URL",
            "COLONY_CONFIG",
            "COLONY_",
        ]);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[1].contains("`COLONY_LISEN`"), "{said:?}");
        assert!(
            said[1].contains("did you mean `COLONY_LISTEN`?"),
            "{said:?}"
        );
        let said = told(&["COLONY_SOMETHING_ELSE"]);
        assert!(said[0].contains("colony config"), "{said:?}");
    }

    #[test]
    fn tasks_and_tests_are_not_bothered() {
        assert!(told(&["COLONY_TEST_POSTGRES_URL", "COLONYX"]).is_empty());
        assert!(told(&["COLONY_TASK_ID", "COLONY_MY_PARAMETER"]).is_empty());
        assert!(told(&["COLONY_PARAMS", "COLONY_MY_PARAMETER"]).is_empty());
        assert!(told(&[MARK]).is_empty());
    }
}
