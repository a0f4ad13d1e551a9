//! Glob patterns of keys (`foreman-api` 9.3).

/// A pattern: `*` any run of characters, `?` exactly one, `\` makes the next one literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Char(char),
    One,
    Any,
}

impl KeyPattern {
    /// Reads a pattern; every text is one.
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            parts.push(match char {
                '*' => Part::Any,
                '?' => Part::One,
                // A lone one at the end stands for itself.
                '\\' => Part::Char(chars.next().unwrap_or('\\')),
                char => Part::Char(char),
            });
        }
        parts.dedup_by(|a, b| *a == Part::Any && *b == Part::Any);
        Self { parts }
    }

    /// Whether the whole key fits.
    pub fn matches(&self, key: &str) -> bool {
        let key: Vec<char> = key.chars().collect();
        let (mut part, mut at) = (0, 0);
        // Where to go on when the latest `*` must take one character more.
        let mut retry: Option<(usize, usize)> = None;
        while at < key.len() {
            match self.parts.get(part) {
                Some(Part::Any) => {
                    part += 1;
                    retry = Some((part, at));
                }
                Some(Part::One) => (part, at) = (part + 1, at + 1),
                Some(Part::Char(char)) if *char == key[at] => (part, at) = (part + 1, at + 1),
                Some(Part::Char(_)) | None => match &mut retry {
                    Some((after, from)) => {
                        *from += 1;
                        (part, at) = (*after, *from);
                    }
                    None => return false,
                },
            }
        }
        self.parts[part..].iter().all(|part| *part == Part::Any)
    }

    /// The one text that fits, when there is no wildcard.
    pub fn literal(&self) -> Option<String> {
        let char = |part: &Part| match part {
            Part::Char(char) => Some(*char),
            Part::One | Part::Any => None,
        };
        self.parts.iter().map(char).collect()
    }

    /// Whether all that begins with [`KeyPattern::literal_prefix`] fits, and nothing else.
    pub fn is_prefix(&self) -> bool {
        match self.parts.as_slice() {
            [literal @ .., Part::Any] => (literal.iter()).all(|part| matches!(part, Part::Char(_))),
            _ => false,
        }
    }

    /// The text that every matching key begins with; narrows a search in an index.
    pub fn literal_prefix(&self) -> String {
        self.parts
            .iter()
            .map_while(|part| match part {
                Part::Char(char) => Some(*char),
                Part::One | Part::Any => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, fits: &[&str], fits_not: &[&str]) {
        let pattern = KeyPattern::new(pattern);
        for key in fits {
            assert!(pattern.matches(key), "{pattern:?} {key}");
        }
        for key in fits_not {
            assert!(!pattern.matches(key), "{pattern:?} {key}");
        }
    }

    #[test]
    fn wildcards_and_literals() {
        check("", &[""], &["a"]);
        check("*", &["", "a", "a.b\nc"], &[]);
        check(
            "sensor.*",
            &["sensor.", "sensor.x"],
            &["sensor", "xsensor.a"],
        );
        check(
            "sensor?temp",
            &["sensor.temp", "sensorétemp"],
            &["sensortemp"],
        );
        check("*temp", &["temp", "xtemp", "temptemp"], &["tempx"]);
        check("a*b*c", &["abc", "a--b--b-c"], &["ab", "acb"]);
        check("a**b", &["ab", "axb"], &["a"]);
        check("100%", &["100%"], &["100x"]);
        check("a_b", &["a_b"], &["axb"]);
        check("[sc]*", &["[sc]x"], &["sensor"]);
        check("{a,b}", &["{a,b}"], &["a"]);
    }

    #[test]
    fn escapes() {
        check(r"star\*", &["star*"], &["stars", r"star\*"]);
        check(r"back\\slash", &[r"back\slash"], &["backslash"]);
        check(r"back\slash", &["backslash"], &[r"back\slash"]);
        check(r"end\", &[r"end\"], &["end"]);
    }

    #[test]
    fn the_prefix_before_the_first_wildcard() {
        for (pattern, prefix) in [("a.*", "a."), ("*", ""), (r"a\*?b", "a*"), ("abc", "abc")] {
            assert_eq!(KeyPattern::new(pattern).literal_prefix(), prefix);
        }
    }

    #[test]
    fn patterns_that_are_a_text_or_a_prefix() {
        for (pattern, literal, is_prefix) in [
            ("abc", Some("abc"), false),
            (r"star\*", Some("star*"), false),
            ("", Some(""), false),
            ("a.*", None, true),
            ("**", None, true),
            ("a?*", None, false),
            ("a*b", None, false),
            ("a?", None, false),
        ] {
            let pattern = KeyPattern::new(pattern);
            assert_eq!(pattern.literal().as_deref(), literal, "{pattern:?}");
            assert_eq!(pattern.is_prefix(), is_prefix, "{pattern:?}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        let pattern = KeyPattern::new(&"*a".repeat(120));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(254))));
    }
}
