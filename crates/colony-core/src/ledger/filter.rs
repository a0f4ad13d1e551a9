//! Which entries of run data a query wants (`foreman-api` 9.2).

use super::pattern::KeyPattern;

/// How the two tag filters combine their items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TagMode {
    /// One item is enough.
    #[default]
    Any,
    /// Every item must hold.
    All,
}

/// The filters of a query. `None` means that a filter was not given; an empty list matches nothing
/// only where it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataFilter {
    /// Exactly this key.
    pub key: Option<String>,
    /// One of these keys.
    pub keys: Option<Vec<String>>,
    /// One of these prefixes.
    pub key_prefixes: Option<Vec<String>>,
    /// This glob.
    pub pattern: Option<KeyPattern>,
    /// These tags.
    pub tags: Option<Vec<String>>,
    /// Tags that begin so.
    pub tag_prefixes: Option<Vec<String>>,
    /// Rules both tag filters.
    pub tag_mode: TagMode,
}

impl DataFilter {
    /// Whether any filter of keys was given. They widen each other.
    pub fn has_key_filter(&self) -> bool {
        self.key.is_some()
            || self.keys.is_some()
            || self.key_prefixes.is_some()
            || self.pattern.is_some()
    }

    /// Whether any filter of tags was given. They narrow.
    pub fn has_tag_filter(&self) -> bool {
        self.tags.is_some() || self.tag_prefixes.is_some()
    }

    /// Whether the key fits one of the filters of keys, or none was given.
    pub fn matches_key(&self, key: &str) -> bool {
        !self.has_key_filter()
            || self.key.as_deref() == Some(key)
            || self.keys.iter().flatten().any(|wanted| wanted == key)
            || (self.key_prefixes.iter().flatten()).any(|prefix| key.starts_with(prefix.as_str()))
            || (self.pattern.as_ref()).is_some_and(|pattern| pattern.matches(key))
    }

    /// Whether the tags fit both filters of tags.
    pub fn matches_tags(&self, tags: &[String]) -> bool {
        let exact = |wanted: &String| tags.contains(wanted);
        let prefix = |wanted: &String| tags.iter().any(|tag| tag.starts_with(wanted.as_str()));
        self.hold(self.tags.as_deref(), exact) && self.hold(self.tag_prefixes.as_deref(), prefix)
    }

    fn hold(&self, items: Option<&[String]>, holds: impl Fn(&String) -> bool) -> bool {
        match (items, self.tag_mode) {
            (None, _) => true,
            (Some(items), TagMode::Any) => items.iter().any(holds),
            (Some(items), TagMode::All) => items.iter().all(holds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&str]) -> Option<Vec<String>> {
        Some(items.iter().map(|&item| item.to_owned()).collect())
    }

    #[test]
    fn key_filters_widen_each_other() {
        let filter = DataFilter {
            key: Some("a".into()),
            keys: list(&["b"]),
            key_prefixes: list(&["c."]),
            pattern: Some(KeyPattern::new("d?")),
            ..DataFilter::default()
        };
        for (key, expected) in [
            ("a", true),
            ("b", true),
            ("c.x", true),
            ("dd", true),
            ("d", false),
            ("c", false),
        ] {
            assert_eq!(filter.matches_key(key), expected, "{key}");
        }
        assert!(DataFilter::default().matches_key("anything"));
        let nothing = DataFilter {
            keys: list(&[]),
            ..DataFilter::default()
        };
        assert!(!nothing.matches_key("anything"));
    }

    #[test]
    fn tag_filters_narrow() {
        let tags = list(&["env", "prod"]).unwrap();
        for (exact, prefixes, tag_mode, expected) in [
            (list(&["prod", "x"]), None, TagMode::Any, true),
            (list(&["prod", "x"]), None, TagMode::All, false),
            (list(&["prod"]), list(&["eu"]), TagMode::Any, false),
            (list(&["prod"]), list(&["en"]), TagMode::All, true),
            (None, list(&[""]), TagMode::Any, true),
            (list(&[""]), None, TagMode::Any, false),
        ] {
            let filter = DataFilter {
                tags: exact,
                tag_prefixes: prefixes,
                tag_mode,
                ..DataFilter::default()
            };
            assert_eq!(filter.matches_tags(&tags), expected, "{filter:?}");
        }
        let any = DataFilter {
            tag_prefixes: list(&[""]),
            ..DataFilter::default()
        };
        assert!(!any.matches_tags(&[]));
    }
}
