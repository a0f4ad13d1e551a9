use std::os::unix::fs::symlink;

use super::*;

/// A tree with files, links and things that are no files.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    let work = dir.path().join("work");
    for directory in ["outside", "work/out/deep", "work/src", "work/empty"] {
        fs::create_dir_all(dir.path().join(directory)).unwrap();
    }
    for file in [
        "a.txt",
        "b.txt",
        ".hidden",
        "out/x.bin",
        "out/deep/y.txt",
        "src/{odd}.txt",
    ] {
        fs::write(work.join(file), file).unwrap();
    }
    fs::write(outside.join("secret"), "secret").unwrap();
    symlink("../../outside/secret", work.join("out/leak")).unwrap();
    symlink("../a.txt", work.join("out/link.txt")).unwrap();
    symlink("..", work.join("out/loop")).unwrap();
    symlink("nowhere", work.join("dangling")).unwrap();
    symlink(&outside, work.join("away")).unwrap();
    let _ = std::os::unix::net::UnixListener::bind(work.join("socket")).unwrap();
    dir
}

fn names(dir: &tempfile::TempDir, paths: &[&str]) -> (Vec<String>, Vec<String>) {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    let selection = select(&dir.path().join("work"), &paths).unwrap();
    (selection.entries.into_keys().collect(), selection.missing)
}

#[test]
fn paths_directories_and_patterns() {
    let dir = tree();
    for (paths, expected, missing) in [
        (&["a.txt"][..], &["a.txt"][..], &[][..]),
        (&["./a.txt", "out/../b.txt"], &["a.txt", "b.txt"], &[]),
        (&["nope.txt", "a.txt"], &["a.txt"], &["nope.txt"]),
        (&["*.txt"], &["a.txt", "b.txt"], &[]),
        (&["[ab].txt", "?.txt"], &["a.txt", "b.txt"], &[]),
        (&["*.none", "none/*"], &[], &[]),
        (&["out/*.bin"], &["out/x.bin"], &[]),
        (&["src/{odd}.*"], &["src/{odd}.txt"], &[]),
        (&["o*/de?p"], &["out/deep/y.txt"], &[]),
        (&["out/deep"], &["out/deep/y.txt"], &[]),
        (&["out/deep/"], &["out/deep/y.txt"], &[]),
        (&["empty", "socket"], &[], &[]),
        (
            &["dangling", "away", "out/leak"],
            &[],
            &["dangling", "away", "out/leak"],
        ),
        (&["out/link.txt"], &["out/link.txt"], &[]),
        (&["../outside"], &["outside/secret"], &[]),
        (&["**/y.txt"], &["out/deep/y.txt"], &[]),
    ] {
        let (found, not_there) = names(&dir, paths);
        assert_eq!(found, expected, "{paths:?}");
        assert_eq!(not_there, missing, "{paths:?}");
    }
}

#[test]
fn a_whole_tree_ends_and_leaks_nothing() {
    let dir = tree();
    let (found, _) = names(&dir, &["."]);
    for file in [".hidden", "a.txt", "out/deep/y.txt", "out/link.txt"] {
        assert!(found.iter().any(|name| name == file), "{file} in {found:?}");
    }
    assert!(
        !found
            .iter()
            .any(|name| name.contains("secret") || name.contains("leak"))
    );
}

#[test]
fn an_absolute_path_keeps_its_words() {
    let dir = tree();
    let file = dir.path().join("outside/secret");
    let written = file.to_str().unwrap();
    assert_eq!(names(&dir, &[written]).0, [written.trim_start_matches('/')]);
}

#[test]
fn a_bad_pattern_is_named() {
    let dir = tree();
    let error = select(&dir.path().join("work"), &["out/[".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "read the pattern `out/[`");
}
