//! The clean environment of commands: a few variables of the ant's own process, then the order's.

use std::path::Path;

use colony_wire::Environment;

/// Variables that commands always see, where the ant's process has them.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// `PATH` where the ant's process has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What every command sees of this process's environment.
pub(crate) fn inherited() -> Environment {
    let mut environment = Environment::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    pass(&mut environment, INHERITED);
    environment
}

/// Copies variables of this process, where they are set to text.
pub(crate) fn pass<'n>(environment: &mut Environment, names: impl IntoIterator<Item = &'n str>) {
    for name in names {
        if let Ok(value) = std::env::var(name) {
            environment.insert(name.to_owned(), value);
        }
    }
}

/// The environment of an attempt's commands, and the names that no process can be given.
pub(crate) fn of_attempt(
    base: &Environment,
    order: &Environment,
    temp: &Path,
) -> (Environment, Vec<String>) {
    let mut all = base.clone();
    all.insert("TMPDIR".to_owned(), temp.to_string_lossy().into_owned());
    let mut refused = Vec::new();
    for (name, value) in order {
        if can_be_set(name, value) {
            all.insert(name.clone(), value.clone());
        } else {
            refused.push(name.clone());
        }
    }
    (all, refused)
}

/// The kernel's format is `NAME=value\0`; everything else is allowed, also odd names.
fn can_be_set(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

/// Reads `env NAME=value` as a whole item (`job-definitions` 10.4): name and value.
///
/// Anything that a shell would treat as more than that single word is left to the shell.
pub(crate) fn assignment(item: &str) -> Option<(&str, &str)> {
    let rest = item.trim().strip_prefix("env")?;
    let word = rest.strip_prefix([' ', '\t'])?.trim();
    let (name, value) = word.split_once('=')?;
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then_some(())?;
    Some((name, plain_value(value)?))
}

/// The value of a word that needs no shell: bare, or in one pair of quotes.
fn plain_value(text: &str) -> Option<&str> {
    for (quote, special) in [('\'', &['\''][..]), ('"', &['"', '$', '`', '\\'][..])] {
        if let Some(rest) = text.strip_prefix(quote) {
            let inner = rest.strip_suffix(quote)?;
            return (!inner.contains(special)).then_some(inner);
        }
    }
    let special = |c: char| c.is_whitespace() || "'\"$`\\;|&<>()*?[]{}~#!".contains(c);
    (!text.contains(special)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_assignment_is_one() {
        for (item, expected) in [
            ("env A=b", Some(("A", "b"))),
            ("  env   A_1=b=c \n", Some(("A_1", "b=c"))),
            ("env A=", Some(("A", ""))),
            ("env A='b c'", Some(("A", "b c"))),
            ("env A=\"b c\"", Some(("A", "b c"))),
            ("env A=b cmd", None),
            ("env A=$HOME", None),
            ("env A=\"$HOME\"", None),
            ("env A='b' 'c'", None),
            ("env -i A=b", None),
            ("env 1A=b", None),
            ("environment A=b", None),
            ("env A=b; echo", None),
            ("env A=b\necho x", None),
            ("env", None),
        ] {
            assert_eq!(assignment(item), expected, "{item:?}");
        }
    }

    #[test]
    fn the_order_wins_and_impossible_names_are_named() {
        let base = Environment::from([("A".into(), "base".into()), ("B".into(), "base".into())]);
        let order = Environment::from([
            ("A".into(), "order".into()),
            ("odd-name".into(), "kept".into()),
            ("x=y".into(), "refused".into()),
        ]);
        let (all, refused) = of_attempt(&base, &order, Path::new("/t"));
        let expected = [
            ("A", "order"),
            ("B", "base"),
            ("TMPDIR", "/t"),
            ("odd-name", "kept"),
        ];
        let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(all, Environment::from(expected));
        assert_eq!(refused, ["x=y"]);
    }
}
