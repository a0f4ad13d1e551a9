//! "Did you mean …?": the known word nearest to an unknown one.

/// Longer texts are no slips of the pen, and comparing them takes long.
const WORD_BYTES_MAX: usize = 120;

/// The candidate that differs least from `word`, if any is near enough to be a slip.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let limit = word.chars().count().div_ceil(4).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace) that turn one word into the other, ignoring letter case.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_else() {
        for (word, expected) in [
            ("SHEL", Some("SHELL")),
            ("shell", Some("SHELL")),
            ("DOKCER", Some("DOCKER")),
            ("POTATO", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, ["SHELL", "DOCKER"]), expected, "{word}");
        }
    }
}
