//! The tag algorithm (`foreman-api` 8.4).

/// Drops every occurrence of the tags in `remove`, then appends those of `add` that are not in the
/// list by then. Duplicates that were there before stay.
pub fn update_tags(stored: &[String], add: &[String], remove: &[String]) -> Vec<String> {
    let mut tags: Vec<String> = stored
        .iter()
        .filter(|tag| !remove.contains(tag))
        .cloned()
        .collect();
    for tag in add {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stored: &[&str], add: &[&str], remove: &[&str], expected: &[&str]) {
        let own = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            update_tags(&own(stored), &own(add), &own(remove)),
            own(expected)
        );
    }

    #[test]
    fn the_examples_of_the_specification() {
        check(
            &["cfg", "b"],
            &["cfg", "new", "zz"],
            &[],
            &["cfg", "b", "new", "zz"],
        );
        check(
            &["cfg", "b", "new", "zz"],
            &["new", "tail"],
            &["new"],
            &["cfg", "b", "zz", "new", "tail"],
        );
    }

    #[test]
    fn duplicates() {
        check(&["a", "b", "a"], &[], &["a"], &["b"]);
        check(&["a", "a"], &["a"], &[], &["a", "a"]);
        check(&[], &["x", "x"], &["unknown"], &["x"]);
        check(&["A"], &["a"], &[], &["A", "a"]);
    }
}
