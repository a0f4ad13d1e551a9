//! Counts the words of its input, the most frequent first.

use std::collections::BTreeMap;
use std::io::Read as _;

fn main() -> std::io::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    for (word, count) in count(&text) {
        println!("{count} {word}");
    }
    Ok(())
}

/// Words and how often they occur: by frequency, then by alphabet.
fn count(text: &str) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_lowercase()).or_insert(0) += 1;
    }
    let mut words: Vec<_> = counts.into_iter().collect();
    words.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    words
}

#[test]
fn frequent_words_come_first_and_case_does_not_matter() {
    let words = count("the ant and The queen and the work");
    assert_eq!(words[0], ("the".to_owned(), 3));
    assert_eq!(words[1], ("and".to_owned(), 2));
    assert_eq!(words[2], ("ant".to_owned(), 1));
}

#[test]
fn nothing_has_no_words() {
    assert_eq!(count(" \n"), []);
}
