//! Names of queues: what a task waits for.
//!
//! A key is a method with its sorted tags, or an organization with a type of tasks. Claiming takes
//! from the front of one key, so whoever can do the same work shares a key.

use std::borrow::Cow;

use crate::method::Method;

/// Tasks that the queen has to render before it is known who can do them.
pub const RENDER: &str = "render";

const ANT: &str = "ant:";
const WORKER: &str = "worker:";

/// The least text that is greater than every key of ants.
pub const ANT_END: &str = "ant;";

/// The queue of tasks for ants that offer `method` and have all of `tags` (lower case, sorted).
pub fn ant(method: Method, tags: &[String]) -> String {
    match tags {
        [] => format!("{ANT}{method}"),
        tags => format!("{ANT}{method}|{}", tags.join(",")),
    }
}

/// The queue of an organization's tasks of a type, which its workers claim by that name.
pub fn worker(org_id: &str, kind: &str) -> String {
    format!("{WORKER}{}/{kind}", escape(org_id))
}

/// An organization's name without the character that ends it in a key.
fn escape(org_id: &str) -> Cow<'_, str> {
    match org_id.contains(['%', '/']) {
        false => Cow::Borrowed(org_id),
        true => Cow::Owned(org_id.replace('%', "%25").replace('/', "%2F")),
    }
}

/// Method and tags that a key asks of ants; none when it is not for ants.
pub fn needs(key: &str) -> Option<(&str, impl Iterator<Item = &str>)> {
    let (method, tags) = {
        let key = key.strip_prefix(ANT)?;
        key.split_once('|').unwrap_or((key, ""))
    };
    Some((method, tags.split(',').filter(|tag| !tag.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_ants_say_what_they_ask_for() {
        let tags = ["big".to_owned(), "gpu".to_owned()];
        let key = ant(Method::Shell, &tags);
        assert_eq!(key, "ant:SHELL|big,gpu");
        let (method, found) = needs(&key).unwrap();
        assert_eq!(
            (method, found.collect::<Vec<_>>()),
            ("SHELL", vec!["big", "gpu"])
        );
        assert_eq!(needs(&ant(Method::Shell, &[])).unwrap().1.count(), 0);
        assert!(needs(RENDER).is_none());
        assert!(*key < *ANT_END && *worker("a", "b") > *ANT_END);
    }

    #[test]
    fn organizations_with_odd_names_share_no_queue() {
        let keys = [
            worker("a/b", "c"),
            worker("a", "b/c"),
            worker("a%2Fb", "c"),
            worker("a%2F", "b"),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert!(needs(&keys[0]).is_none());
    }
}
