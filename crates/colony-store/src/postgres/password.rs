//! The password of a URL that has none, from where libpq's clients look: the variable
//! `PGPASSWORD`, the file that `PGPASSFILE` names, `~/.pgpass`.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Gives the password to a configuration that has none, when there is one.
pub(super) fn supply(config: &mut Config) {
    if config.get_password().is_some() {
        return;
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(password) = set("PGPASSWORD") {
        config.password(password.as_encoded_bytes());
        return;
    }
    let usual = || set("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
    let Some(file) = set("PGPASSFILE").map(PathBuf::from).or_else(usual) else {
        return;
    };
    if let Some(password) = read(&file).and_then(|text| find(&text, config)) {
        config.password(password);
    }
}

/// As libpq, which does not use a file that others may read.
fn read(file: &Path) -> Option<String> {
    let metadata = std::fs::metadata(file).ok()?;
    if !metadata.is_file() {
        return None;
    }
    if metadata.mode() & 0o077 != 0 {
        let name = file.display();
        tracing::warn!("the password file {name} is not used: others may read it; `chmod 600` it");
        return None;
    }
    std::fs::read_to_string(file).ok()
}

/// The password of the first line that fits: `host:port:database:user:password`.
fn find(text: &str, config: &Config) -> Option<String> {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        // A socket is a host of this name there.
        Some(Host::Unix(_)) | None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user()?;
    let database = config.get_dbname().unwrap_or(user);
    let wanted = [&*host, &port.to_string(), database, user];
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(fields).find_map(|mut fields| {
        let fits = fields.len() == 5
            && fields
                .iter()
                .zip(wanted)
                .all(|(field, wanted)| field == "*" || field == wanted);
        fits.then(|| fields.swap_remove(4))
    })
}

/// The parts between colons; `\` takes the character after it as it is. The last one has the rest.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        let is_last = fields.len() == 5;
        let field = match character {
            '\\' => rest.next(),
            ':' if !is_last => {
                fields.push(String::new());
                None
            }
            character => Some(character),
        };
        if let Some(last) = fields.last_mut() {
            last.extend(field);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let file = "# a comment\n\nother:*:*:*:no\nh:1:*:u:wrong port\nh:*:d:u:a\\:b\\\\c:d\n*:*:*:*:last\n";
        let password = |url: &str| find(file, &url.parse().unwrap());
        assert_eq!(password("postgres://u@h/d").as_deref(), Some("a:b\\c:d"));
        assert_eq!(
            password("postgres://u@h:1/x").as_deref(),
            Some("wrong port")
        );
        assert_eq!(password("postgres://u@k/d").as_deref(), Some("last"));
        assert_eq!(find("h:*:d:u", &"postgres://u@h/d".parse().unwrap()), None);
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x").unwrap();
        assert_eq!(read(file.path()).as_deref(), Some("x"));
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o640)).unwrap();
        assert_eq!(read(file.path()), None);
        assert_eq!(read(Path::new("/")), None);
    }
}
