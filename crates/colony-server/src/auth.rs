//! Who a request comes from (`formicary-api` 3). Each API turns a failure into its own envelope.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use colony_engine::{Caller, EngineError};

use crate::state::{Auth, ServerState};

/// Why the caller is unknown.
#[derive(Debug)]
pub enum AuthError {
    /// There is no token, or it is malformed.
    Missing,
    /// The token is unknown, revoked or expired.
    Invalid,
    /// It could not be looked up.
    Engine(EngineError),
}

/// The caller of a request with these headers.
///
/// # Errors
///
/// See [`AuthError`].
pub async fn authenticate(state: &ServerState, headers: &HeaderMap) -> Result<Caller, AuthError> {
    match state.auth {
        Auth::Off => Ok(Caller::anonymous()),
        Auth::On => {
            let token = bearer_token(headers).ok_or(AuthError::Missing)?;
            let caller = state.engine.authenticate(token).await;
            caller.map_err(AuthError::Engine)?.ok_or(AuthError::Invalid)
        }
    }
}

/// The token of `Authorization: Bearer <token>`; the scheme in any letter case.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_counts() {
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("bEaReR  abc ", Some("abc")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic abc", None),
            ("abc", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer_token(&headers), expected, "{value:?}");
        }
        assert_eq!(bearer_token(&HeaderMap::new()), None);
    }
}
