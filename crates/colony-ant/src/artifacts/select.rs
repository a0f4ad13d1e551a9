//! Finds the files that `artifacts.paths` mean.
//!
//! A path is a file, a directory with all that is in it, or a pattern of `*`, `?`, `[…]` and `**`.
//! Links are followed where they lead to something in the same tree. Only files count: devices,
//! pipes, sockets and empty directories are not stored.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// Entries of one archive, at most: links inside a tree can multiply what is in it without end.
pub(crate) const ENTRIES_MAX: usize = 500_000;

/// The files of an archive.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// Name in the archive and file.
    pub(crate) entries: BTreeMap<String, PathBuf>,
    /// Paths without a wildcard where there is nothing.
    pub(crate) missing: Vec<String>,
    /// Links that lead nowhere or out of the tree.
    pub(crate) skipped: Vec<PathBuf>,
}

/// Why files could not be found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelectError {
    #[error("read the pattern `{pattern}`")]
    Pattern {
        pattern: String,
        #[source]
        source: globset::Error,
    },
    #[error("look at {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("more than {ENTRIES_MAX} files match")]
    TooMany,
}

/// Finds the files that `paths` mean in `directory`. Blocks.
pub(crate) fn select(directory: &Path, paths: &[String]) -> Result<Selection, SelectError> {
    let mut selection = Selection::default();
    for path in paths {
        let plain = directory.join(path);
        if plain.symlink_metadata().is_ok() {
            Tree::of(directory, path)?.add_plain(&mut selection, path)?;
        } else if has_wildcard(path) {
            add_matches(&mut selection, directory, path)?;
        } else {
            selection.missing.push(path.clone());
        }
    }
    Ok(selection)
}

/// The directory that links may not lead out of.
struct Tree {
    root: PathBuf,
    start: PathBuf,
}

impl Tree {
    /// For a path as written: the working directory, or, for one that leaves it by its own words,
    /// the place that it names.
    fn of(directory: &Path, written: &str) -> Result<Self, SelectError> {
        let start = directory.join(written);
        let leaves = Path::new(written)
            .components()
            .any(|part| matches!(part, Component::RootDir | Component::ParentDir));
        let root = if leaves { &start } else { directory };
        let root = root.canonicalize().map_err(|source| SelectError::Read {
            path: root.to_owned(),
            source,
        })?;
        Ok(Self { root, start })
    }

    fn add_plain(&self, selection: &mut Selection, written: &str) -> Result<(), SelectError> {
        let before = selection.skipped.len();
        self.add(
            selection,
            &self.start,
            &entry_name(written),
            &mut Vec::new(),
        )?;
        if selection
            .skipped
            .get(before..)
            .is_some_and(|new| new.contains(&self.start))
        {
            selection.missing.push(written.to_owned());
        }
        Ok(())
    }

    /// Adds a file, or everything in a directory. `above` holds the directories that the walk is
    /// in, by their real paths: a link to one of them would never end.
    fn add(
        &self,
        selection: &mut Selection,
        path: &Path,
        name: &str,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), SelectError> {
        let Some((real, metadata)) = self.resolve(path) else {
            selection.skipped.push(path.to_owned());
            return Ok(());
        };
        if metadata.is_file() {
            // The directory itself has no name; a file always has.
            selection.entries.insert(name.to_owned(), real);
            if selection.entries.len() > ENTRIES_MAX {
                return Err(SelectError::TooMany);
            }
        } else if metadata.is_dir() && !above.contains(&real) {
            above.push(real);
            for (child, path) in children(path)? {
                self.add(selection, &path, &join(name, &child), above)?;
            }
            above.pop();
        }
        Ok(())
    }

    /// What is really there, if it is in the tree.
    fn resolve(&self, path: &Path) -> Option<(PathBuf, fs::Metadata)> {
        let real = path.canonicalize().ok()?;
        let inside = real.starts_with(&self.root);
        let metadata = real.metadata().ok()?;
        inside.then_some((real, metadata))
    }
}

/// Adds what matches a pattern, which is nothing when nothing does.
fn add_matches(
    selection: &mut Selection,
    directory: &Path,
    written: &str,
) -> Result<(), SelectError> {
    let (base, pattern) = split_pattern(written);
    let matcher = GlobBuilder::new(&pattern.replace('{', "\\{").replace('}', "\\}"))
        .literal_separator(true)
        .build()
        .map_err(|source| SelectError::Pattern {
            pattern: written.to_owned(),
            source,
        })?
        .compile_matcher();
    let start = directory.join(base);
    if !start.is_dir() {
        return Ok(());
    }
    let search = Search {
        tree: Tree::of(directory, base)?,
        prefix: entry_name(base),
        matcher,
    };
    search.look_in(selection, &start, "", &mut Vec::new())
}

/// A walk that adds what matches a pattern.
struct Search {
    tree: Tree,
    prefix: String,
    matcher: GlobMatcher,
}

impl Search {
    fn look_in(
        &self,
        selection: &mut Selection,
        directory: &Path,
        below: &str,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), SelectError> {
        let Some((real, metadata)) = self.tree.resolve(directory) else {
            return Ok(());
        };
        if !metadata.is_dir() || above.contains(&real) {
            return Ok(());
        }
        above.push(real);
        for (child, path) in children(directory)? {
            let relative = join(below, &child);
            if self.matcher.is_match(&relative) {
                let name = join(&self.prefix, &relative);
                self.tree.add(selection, &path, &name, &mut Vec::new())?;
            } else {
                self.look_in(selection, &path, &relative, above)?;
            }
        }
        above.pop();
        Ok(())
    }
}

fn children(directory: &Path) -> Result<Vec<(String, PathBuf)>, SelectError> {
    let failed = |source| SelectError::Read {
        path: directory.to_owned(),
        source,
    };
    fs::read_dir(directory)
        .map_err(failed)?
        .map(|entry| {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, entry.path()))
        })
        .collect()
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The leading part without wildcards, and the rest.
fn split_pattern(written: &str) -> (&str, &str) {
    let wildcard = written.find(['*', '?', '[']).unwrap_or(written.len());
    let (head, _) = written.split_at(wildcard);
    let end = head.rfind('/').map_or(0, |slash| slash + 1);
    written.split_at(end)
}

/// A path as written, cleaned: no `.`, no `..`, no leading `/`.
fn entry_name(written: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in Path::new(written).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

#[cfg(test)]
mod tests;
