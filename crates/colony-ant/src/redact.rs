//! Keeps secrets out of everything that leaves the ant (`job-definitions` 10.8).
//!
//! Looked for are each secret, the lines of secrets that have several, and how all of these look
//! in base64 and in a URL. Whatever matches is replaced by [`MASK`].

use std::borrow::Cow;
use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// What takes the place of a secret.
const MASK: &str = "[****]";

/// Shorter texts are everywhere and are no secrets.
const SECRET_MIN: usize = 3;

/// A secret shorter than this is looked for in base64 only where it starts at a whole group: its
/// other two forms are too short to tell.
const SHIFTED_MIN: usize = 8;

/// Finds the secrets of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Redactor {
    /// None when there is nothing to hide.
    finder: Option<AhoCorasick>,
    longest: usize,
}

impl Redactor {
    /// For these secrets. A secret too large to be searched for is refused by name of its size.
    pub(crate) fn new(secrets: &[String]) -> Result<Self, aho_corasick::BuildError> {
        let patterns = patterns(secrets);
        if patterns.is_empty() {
            return Ok(Self::default());
        }
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)?;
        Ok(Self {
            longest: finder.max_pattern_len(),
            finder: Some(finder),
        })
    }

    /// The text with every secret masked.
    pub(crate) fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match &self.finder {
            Some(finder) if finder.is_match(text) => {
                let mut masked = String::with_capacity(text.len());
                finder.replace_all_with(text, &mut masked, |_, _, to| {
                    to.push_str(MASK);
                    true
                });
                Cow::Owned(masked)
            }
            _ => Cow::Borrowed(text),
        }
    }

    /// The bytes with every secret masked.
    pub(crate) fn mask_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        match &self.finder {
            Some(finder) if finder.is_match(bytes) => {
                let mut masked = Vec::with_capacity(bytes.len());
                finder.replace_all_with_bytes(bytes, &mut masked, |_, _, to| {
                    to.extend_from_slice(MASK.as_bytes());
                    true
                });
                Cow::Owned(masked)
            }
            _ => Cow::Borrowed(bytes),
        }
    }

    /// Masks a text in place.
    pub(crate) fn mask_string(&self, text: &mut String) {
        if let Cow::Owned(masked) = self.mask(text) {
            *text = masked;
        }
    }

    /// Where bytes whose rest is not known yet may be cut so that no secret is cut. Above zero when
    /// there are more bytes than the longest secret has.
    pub(crate) fn safe_cut(&self, bytes: &[u8]) -> usize {
        let Some(finder) = &self.finder else {
            // Held back is only what may be the start of a character.
            return bytes.len().saturating_sub(3);
        };
        let cut = (bytes.len() + 1).saturating_sub(self.longest.max(1));
        finder
            .find_iter(bytes)
            .take_while(|found| found.start() < cut)
            .find(|found| found.end() > cut)
            .map_or(cut, |found| found.end())
    }
}

/// Everything that is looked for.
fn patterns(secrets: &[String]) -> BTreeSet<String> {
    secrets
        .iter()
        .flat_map(|secret| std::iter::once(secret.as_str()).chain(secret.lines()))
        .chain(secrets.iter().map(|secret| secret.trim()))
        .filter(|text| text.len() >= SECRET_MIN)
        .flat_map(forms)
        .collect()
}

/// A text and its encodings.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned()];
    forms.extend(url_forms(text));
    for engine in [STANDARD, URL_SAFE] {
        let whole = engine.encode(text);
        forms.push(whole.trim_end_matches('=').to_owned());
        forms.push(whole);
        let shifts = if text.len() < SHIFTED_MIN { 0..1 } else { 0..3 };
        forms.extend(shifts.map(|shift| base64_inside(&engine, text, shift)));
    }
    forms
}

/// The characters of a longer base64 text that come from `text` alone, when it starts `shift` bytes
/// into a group of three.
fn base64_inside(engine: &impl base64::Engine, text: &str, shift: usize) -> String {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(text.as_bytes());
    let whole_chars = bytes.len() * 8 / 6;
    let first = (shift * 8).div_ceil(6);
    let encoded = engine.encode(&bytes);
    encoded.get(first..whole_chars).unwrap_or("").to_owned()
}

/// Percent-encoded forms: digits in either case, and spaces also as `+`.
fn url_forms(text: &str) -> [String; 3] {
    let encode = |hex: &dyn Fn(u8) -> String| {
        text.bytes()
            .map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    char::from(byte).to_string()
                }
                other => hex(other),
            })
            .collect::<String>()
    };
    let upper = encode(&|byte| format!("%{byte:02X}"));
    let lower = encode(&|byte| format!("%{byte:02x}"));
    let form = upper.replace("%20", "+");
    [upper, lower, form]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        let secrets: Vec<String> = secrets.iter().map(|text| (*text).to_owned()).collect();
        Redactor::new(&secrets).unwrap()
    }

    #[test]
    fn secrets_and_their_forms_are_masked() {
        let pem = "-----BEGIN-----\nabcdef\n-----END-----\n";
        for (secrets, text, expected) in [
            (&["s3cret"][..], "x s3cret y s3crets", "x [****] y [****]s"),
            (&["ab"], "ab", "ab"),
            (&["abc", "abcdef"], "abcdefg", "[****]g"),
            (&[pem], "key: abcdef.", "key: [****]."),
            (&["pass word&1"], "?p=pass%20word%261", "?p=[****]"),
            (&["pass word&1"], "p=pass+word%261&", "p=[****]&"),
            (&["päss/word"], "p%c3%a4ss%2fword", "[****]"),
            (&["hunter22"], "aHVudGVyMjI=", "[****]"),
            (&["hunter22"], "aHVudGVyMjI", "[****]"),
        ] {
            assert_eq!(redactor(secrets).mask(text), expected, "{text}");
        }
    }

    #[test]
    fn base64_is_masked_wherever_the_secret_stands_in_it() {
        let secret = "correct horse battery";
        let redactor = redactor(&[secret]);
        for prefix in ["", "a", "ab", "abc", "user:"] {
            for suffix in ["", "\n", "zz", "zzz"] {
                let encoded = STANDARD.encode(format!("{prefix}{secret}{suffix}"));
                let masked = redactor.mask(&encoded);
                assert!(masked.contains(MASK), "{prefix:?} {suffix:?}: {masked}");
                assert!(masked.len() < 24, "{prefix:?} {suffix:?}: {masked}");
            }
        }
    }

    #[test]
    fn a_cut_never_splits_a_secret() {
        let redactor = redactor(&["abcd", "abcdefgh", "xyz"]);
        for text in [
            "--abcdefgh--",
            "abcdefgh",
            "------------",
            "abcabcabcdabxyzab",
        ] {
            let text = &text.repeat(3);
            for known in redactor.longest..=text.len() {
                let cut = redactor.safe_cut(&text.as_bytes()[..known]);
                assert!(cut > 0 && cut <= known);
                let (head, tail) = text.split_at(cut);
                let parts = format!("{}{}", redactor.mask(head), redactor.mask(tail));
                assert_eq!(parts, redactor.mask(text), "{text} cut at {cut}");
            }
        }
    }
}
