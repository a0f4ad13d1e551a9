//! Who calls (`foreman-api` 3).

use axum::http::{HeaderMap, header};
use colony_core::id::TokenId;
use serde_json::Value;

use super::check::{Length, check_length};
use super::refusal::Refusal;
use super::settings::AuthMode;
use super::state::RunsState;

/// A caller: the organization that it acts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// The organization.
    pub(super) org_id: String,
    /// Whose requests are counted; none = those of the address.
    pub(super) counted_as: Option<String>,
    /// The stored key that was shown: what goes on for long ends with it.
    pub(super) key: Option<TokenId>,
}

/// An organization's id: 1 to 255 characters.
const ORGANIZATION: Length = Length(1, 255);

/// The caller of a request.
pub(super) async fn authenticate(
    state: &RunsState,
    headers: &HeaderMap,
) -> Result<Caller, Refusal> {
    let named = named_organization(headers)?;
    let settings = state.settings();
    let default = || settings.default_organization.clone();
    if settings.auth == AuthMode::Off {
        return Ok(Caller {
            org_id: named.unwrap_or_else(default),
            counted_as: None,
            key: None,
        });
    }
    let key = presented_key(headers).ok_or(Refusal::NoKey)?;
    if let Some(secret) = &settings.static_key
        && is_same(secret.0.as_bytes(), key.as_bytes())
    {
        return Ok(Caller {
            org_id: named.unwrap_or_else(default),
            counted_as: Some(key),
            key: None,
        });
    }
    let org_id = organization_of(&key).ok_or(Refusal::BadKey)?.to_owned();
    let mut stored = None;
    if !settings.trust_well_formed_keys {
        let owner = state.ledger().recognize_key(&key).await;
        let owner = owner.map_err(|error| Refusal::internal(&error))?;
        let owner = owner.filter(|owner| owner.org_id == org_id);
        stored = Some(owner.ok_or(Refusal::BadKey)?.id);
    }
    if named.is_some_and(|named| named != org_id) {
        return Err(Refusal::WrongOrganization);
    }
    Ok(Caller {
        org_id,
        counted_as: Some(key),
        key: stored,
    })
}

/// The header `x-org-id`; empty is as absent.
fn named_organization(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get("x-org-id") else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    if text.is_empty() {
        return Ok(None);
    }
    match check_length(&[Value::from("x-org-id")], &text, ORGANIZATION) {
        Some(problem) => Err(Refusal::Invalid(vec![problem])),
        None => Ok(Some(text)),
    }
}

/// The key that is shown: a bearer token, else `x-api-key` (3.1).
fn presented_key(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| {
        let value = headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| key.to_owned())
    });
    (bearer.filter(|key| !key.is_empty()))
        .or_else(|| text("x-api-key").filter(|key| !key.is_empty()))
}

/// The organization in a well-formed key: `fmn_[environment]_[organization]_[random]`.
fn organization_of(key: &str) -> Option<&str> {
    let mut parts = key.splitn(4, '_');
    let (fmn, environment) = (parts.next()?, parts.next()?);
    let (organization, random) = (parts.next()?, parts.next()?);
    let filled = !environment.is_empty() && !organization.is_empty() && !random.is_empty();
    let fits = check_length(&[], organization, ORGANIZATION).is_none();
    (fmn == "fmn" && filled && fits).then_some(organization)
}

/// Compares in a time that does not depend on where the texts differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organizations_in_keys() {
        for (key, expected) in [
            ("fmn_prod_acme_x", Some("acme")),
            ("fmn_prod_acme_a_b", Some("acme")),
            ("fmn_prod_acme", None),
            ("fmn_prod__x", None),
            ("fmn__acme_x", None),
            ("fmn_prod_acme_", None),
            ("FMN_prod_acme_x", None),
            ("wrong-token", None),
        ] {
            assert_eq!(organization_of(key), expected, "{key}");
        }
    }

    #[test]
    fn bearer_tokens_and_api_keys() {
        for (authorization, api_key, expected) in [
            (None, None, None),
            (Some("Basic x"), None, None),
            (Some("Bearer"), None, None),
            (Some("Bearer "), None, None),
            (Some("bEARER k"), None, Some("k")),
            (Some("Bearer  k"), None, Some(" k")),
            (Some("Bearer k"), Some("other"), Some("k")),
            (Some("Basic x"), Some("k"), Some("k")),
            (None, Some(""), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = authorization {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            if let Some(value) = api_key {
                headers.insert("x-api-key", value.parse().unwrap());
            }
            let key = presented_key(&headers);
            assert_eq!(key.as_deref(), expected, "{authorization:?} {api_key:?}");
        }
    }
}
