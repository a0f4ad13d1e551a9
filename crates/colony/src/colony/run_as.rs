//! Whom the tasks of the ant inside this process belong to.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use colony_ant::{RunAs, User};
use colony_store::Database;
use nix::unistd::{Uid, User as Account};

use crate::settings::{RunAsText, Settings};

/// The user that the settings name; none = the one of this process.
pub(super) fn find(settings: &Settings) -> anyhow::Result<Option<RunAs>> {
    let named = settings.ant.as_ref().and_then(|ant| ant.run_as.as_ref());
    let Some(named) = named else {
        return Ok(None);
    };
    if !rustix::process::geteuid().is_root() {
        bail!(
            "failed to use the setting `ant.run_as`: only root can run tasks as another user, and \
             this process is not root; start it as root, or leave `ant.run_as` away"
        );
    }
    let run_as = account(named).context("failed to use the setting `ant.run_as`")?;
    let mut closed = vec![settings.data_dir.path().to_owned()];
    if let Database::Sqlite { path } = &settings.database {
        closed.push(path.clone());
    }
    Ok(Some(RunAs { closed, ..run_as }))
}

fn account(named: &RunAsText) -> anyhow::Result<RunAs> {
    let (user, account) = match named {
        RunAsText::Name(name) => by_name(name)?,
        RunAsText::Numbers { uid, gid } => by_number(*uid, *gid)?,
    };
    if user.uid == 0 {
        bail!("that user is root itself; give another");
    }
    if user.gid == 0 {
        let uid = user.uid;
        bail!("the group of that user is root's; give another: {uid}:GID");
    }
    let name = account.as_ref().map(|account| account.name.clone());
    Ok(RunAs {
        user,
        name: name.unwrap_or_else(|| user.uid.to_string()),
        home: account.and_then(home),
        closed: Vec::new(),
        porter: RunAs::porter_of_this_program(),
    })
}

fn by_name(name: &str) -> anyhow::Result<(User, Option<Account>)> {
    let account = Account::from_name(name).context("failed to look for the user")?;
    let account = account.with_context(|| format!("there is no user `{name}` on this machine"))?;
    let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
    Ok((User { uid, gid }, Some(account)))
}

fn by_number(uid: u32, gid: Option<u32>) -> anyhow::Result<(User, Option<Account>)> {
    let account = Account::from_uid(Uid::from_raw(uid)).context("failed to look for the user")?;
    let own = account.as_ref().map(|account| account.gid.as_raw());
    let gid = gid.or(own).with_context(|| {
        format!("there is no user {uid} on this machine; give a group as well: {uid}:GID")
    })?;
    Ok((User { uid, gid }, account))
}

/// Some users have a home that is not there.
fn home(account: Account) -> Option<PathBuf> {
    Some(account.dir).filter(|dir| dir.is_absolute() && dir.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(named: &RunAsText) -> String {
        format!("{:#}", account(named).unwrap_err())
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        let named = account(&RunAsText::Name("nobody".to_owned())).unwrap();
        assert_eq!(named.name, "nobody");
        let User { uid, gid } = named.user;
        let numbered = account(&RunAsText::Numbers { uid, gid: None }).unwrap();
        assert_eq!((numbered.name, numbered.user.gid), (named.name, gid));
        let gid = Some(4_000_000_123);
        let uid = 4_000_000_124;
        let stranger = account(&RunAsText::Numbers { uid, gid }).unwrap();
        assert_eq!((&*stranger.name, stranger.home), ("4000000124", None));
    }

    #[test]
    fn who_cannot_be_meant_is_refused() {
        let name = |name: &str| RunAsText::Name(name.to_owned());
        assert!(error(&name("no-such-user-here")).contains("there is no user `no-such-user-here`"));
        assert!(error(&name("root")).contains("root itself"));
        let numbers = |uid, gid| RunAsText::Numbers { uid, gid };
        assert!(error(&numbers(4_000_000_124, None)).contains("4000000124:GID"));
        assert!(error(&numbers(4_000_000_124, Some(0))).contains("root's"));
    }
}
