//! Which database: a URL, or a file that holds one.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use colony_store::Database;

use super::layers::Origin;
use super::parse::{optional, parse_database};
use super::reader::Reader;
use super::table::{DATABASE_URL, DATABASE_URL_FILE};

impl Reader<'_> {
    /// The database, and what the user should know about how it was given.
    pub(super) fn database(
        &mut self,
        default: String,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<Database> {
        let file = self.read(&DATABASE_URL_FILE, |text| Ok(optional(text)))?;
        let rank = |setting| self.layers.find(setting).map(|(_, origin)| origin.rank());
        let (of_file, of_url) = (rank(&DATABASE_URL_FILE), rank(&DATABASE_URL));
        match file {
            Some(_) if of_file == of_url => bail!(
                "failed to use the settings `database_url` and `database_url_file`: both are set \
                 in the same place; set one of them"
            ),
            Some(file) if of_url.is_none_or(|rank| of_file < Some(rank)) => {
                let text = read_file(Path::new(&file), warnings)?;
                let origin = Origin::File(file.into());
                self.take(&DATABASE_URL, &text, origin, parse_database)
            }
            _ => {
                let database = self.read_or(&DATABASE_URL, default, parse_database)?;
                let on_command_line = of_url == Some(Origin::Flag("").rank());
                if on_command_line && database.has_password() {
                    warnings.push(
                        "the flag --database-url has a password in it, which every user of this \
                         machine can see in the list of processes; give the URL in a file with \
                         --database-url-file, or the password in the variable PGPASSWORD or the \
                         file ~/.pgpass"
                            .to_owned(),
                    );
                }
                Ok(database)
            }
        }
    }
}

fn read_file(path: &Path, warnings: &mut Vec<String>) -> anyhow::Result<String> {
    let name = path.display();
    let failed = || format!("failed to read the file {name} of the setting `database_url_file`");
    let text = std::fs::read_to_string(path).with_context(failed)?;
    let mode = std::fs::metadata(path).with_context(failed)?.mode();
    if mode & 0o044 != 0 {
        warnings.push(format!(
            "the file {name} with the database URL can be read by other users; make it private \
             with `chmod 600`"
        ));
    }
    match text.trim() {
        "" => bail!(
            "{}: it is empty; write the URL of the database into it",
            failed()
        ),
        text => Ok(text.to_owned()),
    }
}
