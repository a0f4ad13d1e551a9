//! The first start: organization, admin and token; and recognizing tokens later.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use colony_core::id::{TokenId, UserId};
use colony_store::identity::{self, FirstAdmin};
use sha2::{Digest as _, Sha256};

use crate::engine::{Caller, Engine};
use crate::error::EngineError;

/// Id of the organization that the first start makes.
pub const DEFAULT_ORGANIZATION: &str = "default";

/// How tokens begin, so that people and scanners recognize them.
const PREFIX: &str = "colony_";

/// Fewer characters after the prefix are not a token of ours.
const LENGTH_MIN: usize = 43;

/// A new token in clear text, shown once. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(String);

impl AdminToken {
    /// A token from 32 random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// A token as it was written to its file. None when the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let token = text.strip_prefix(PREFIX)?;
        (token.len() >= LENGTH_MIN).then(|| Self(text.to_owned()))
    }

    /// The text, for the file that only its owner can read.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(***)")
    }
}

/// Lower-case hex SHA-256 of a token: what is stored.
pub fn hash_token(token: &str) -> String {
    hash_parts(&[token.as_bytes()])
}

/// The same of a text in parts.
pub fn hash_parts(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

impl Engine {
    /// Makes organization, admin and the hash of their token in an empty database. False when it
    /// is not empty: then the token is not valid.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn bootstrap(&self, token: &AdminToken) -> Result<bool, EngineError> {
        let first = FirstAdmin {
            org_id: DEFAULT_ORGANIZATION.to_owned(),
            user_id: UserId::new(self.ids.next_uuid()),
            username: "admin".to_owned(),
            token_id: TokenId::new(self.ids.next_uuid()),
            token_sha256: hash_token(token.expose()),
            now: self.now(),
        };
        Ok(self
            .store
            .write(move |tx| identity::bootstrap(tx, &first))
            .await?)
    }

    /// Who a token belongs to; none when it is unknown, revoked or expired.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Caller>, EngineError> {
        let (hash, now) = (hash_token(token), self.now());
        let owner = self
            .store
            .read(move |tx| identity::find_token_owner(tx, &hash, now))
            .await?;
        Ok(owner.map(|owner| Caller {
            org_id: owner.org_id,
            user_id: owner.user_id,
        }))
    }
}

impl Caller {
    /// The caller when authentication is off: the first organization, no user.
    pub fn anonymous() -> Self {
        Self {
            org_id: DEFAULT_ORGANIZATION.to_owned(),
            user_id: None,
        }
    }
}
