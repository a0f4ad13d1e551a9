//! Query strings: pages, order and filters (`formicary-api` 1.3, 1.4).

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use colony_store::{Compare, Filter, ListQuery};

use crate::jobs::error::{ApiError, Class};

/// Objects a page when the caller does not say.
const PAGE_SIZE_DEFAULT: u32 = 200;
/// Most objects a page.
const PAGE_SIZE_MAX: u32 = 1000;
/// Parameters that are no filters.
const NOT_FILTERS: [&str; 7] = [
    "page",
    "page_size",
    "pageSize",
    "order",
    "q",
    "pretty",
    "authorization",
];

/// The query string of a call, decoded.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let invalid = |message: &str| ApiError::invalid("query", message);
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| invalid("the query string cannot be decoded"))?;
        let pairs = query.0;
        if pairs
            .iter()
            .any(|(k, v)| k.contains('\0') || v.contains('\0'))
        {
            return Err(invalid("the query must not hold the character NUL"));
        }
        Ok(Self(pairs))
    }
}

impl Query {
    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(known, _)| known == name)?;
        Some(&pair.1)
    }

    /// A wait in milliseconds, at most `max`.
    pub(super) fn wait(&self, max: std::time::Duration) -> Result<std::time::Duration, ApiError> {
        let Some(text) = self.get("wait_ms") else {
            return Ok(std::time::Duration::ZERO);
        };
        let millis: u64 = text.parse().map_err(|_| {
            ApiError::invalid(
                "wait_ms",
                format!("`{text}` is not a number of milliseconds"),
            )
        })?;
        Ok(std::time::Duration::from_millis(millis).min(max))
    }

    /// The query of a list.
    pub(super) fn list(&self) -> Result<ListQuery, ApiError> {
        Ok(ListQuery {
            org_id: None,
            filters: self.filters()?,
            search: self
                .get("q")
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            order: self.order()?,
            page: self.number("page").unwrap_or(0),
            page_size: self.page_size(),
        })
    }

    fn number(&self, name: &str) -> Option<u32> {
        let number: i64 = self.get(name)?.parse().ok()?;
        Some(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
    }

    fn page_size(&self) -> u32 {
        let wanted = match self.get("page_size") {
            Some(_) => self.number("page_size"),
            None => self.number("pageSize"),
        };
        match wanted {
            None | Some(0) => PAGE_SIZE_DEFAULT,
            Some(size) => size.min(PAGE_SIZE_MAX),
        }
    }

    fn order(&self) -> Result<Vec<(String, bool)>, ApiError> {
        let orders = self.0.iter().filter(|(name, _)| name == "order");
        orders
            .filter(|(_, text)| !text.trim().is_empty())
            .map(|(_, text)| order_term(text))
            .collect()
    }

    fn filters(&self) -> Result<Vec<Filter>, ApiError> {
        let mut filters: Vec<Filter> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (key, value) in &self.0 {
            if NOT_FILTERS.contains(&key.as_str()) || seen.contains(&key.as_str()) {
                continue;
            }
            seen.push(key);
            let (field, operator) = key.split_once(':').unwrap_or((key, ""));
            filters.push(Filter {
                field: snake_case(field),
                compare: compare(operator)?,
                value: value.clone(),
            });
        }
        Ok(filters)
    }
}

fn order_term(text: &str) -> Result<(String, bool), ApiError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let descending = match words.as_slice() {
        [_] => false,
        [_, direction] if direction.eq_ignore_ascii_case("asc") => false,
        [_, direction] if direction.eq_ignore_ascii_case("desc") => true,
        _ => {
            let message =
                format!("`{text}` is no order; write `column`, `column asc` or `column desc`");
            return Err(ApiError::invalid("order", message));
        }
    };
    Ok((snake_case(words[0]), descending))
}

fn compare(operator: &str) -> Result<Compare, ApiError> {
    Ok(match operator {
        "" => Compare::Equal,
        "like" => Compare::Contains,
        "in" => Compare::OneOf,
        "!" | "<>" => Compare::NotEqual,
        "<" => Compare::Less,
        "<=" => Compare::LessOrEqual,
        ">" => Compare::Greater,
        ">=" => Compare::GreaterOrEqual,
        operator if operator.starts_with("contain") => Compare::Contains,
        operator => {
            let message = format!(
                "there is no filter operator `{operator}`; known: like, contains, in, !, <>, <, <=, \
                 >, >="
            );
            return Err(ApiError::invalid("query", message));
        }
    })
}

/// `jobType` to `job_type`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            if !snake.is_empty() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        } else {
            snake.push(letter);
        }
    }
    snake
}

/// An id or name in a path. What cannot be one is not found.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) if !name.contains('\0') => Ok(Self(name)),
            Ok(_) | Err(_) => Err(ApiError::new(
                Class::NotFound,
                "there is no object of that name",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(pairs: &[(&str, &str)]) -> Result<ListQuery, ApiError> {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Query(pairs.collect()).list()
    }

    #[test]
    fn pages_have_defaults_and_bounds() {
        for (pairs, expected) in [
            (&[][..], (0, 200)),
            (&[("page", "2"), ("page_size", "5")], (2, 5)),
            (&[("pageSize", "5")], (0, 5)),
            (&[("pageSize", "5"), ("page_size", "7")], (0, 7)),
            (&[("page_size", "0")], (0, 200)),
            (&[("page_size", "-3"), ("page", "-1")], (0, 200)),
            (&[("page_size", "many"), ("page", "x")], (0, 200)),
            (&[("page_size", "99999")], (0, 1000)),
        ] {
            let query = list(pairs).unwrap();
            assert_eq!((query.page, query.page_size), expected, "{pairs:?}");
        }
    }

    #[test]
    fn filters_have_operators_and_the_first_of_equals_counts() {
        for (key, field, compare) in [
            ("job_type", "job_type", Compare::Equal),
            ("jobType", "job_type", Compare::Equal),
            ("tags:like", "tags", Compare::Contains),
            ("tags:contains", "tags", Compare::Contains),
            ("job_state:in", "job_state", Compare::OneOf),
            ("job_state:!", "job_state", Compare::NotEqual),
            ("job_state:<>", "job_state", Compare::NotEqual),
            ("createdAt:<", "created_at", Compare::Less),
            ("created_at:>=", "created_at", Compare::GreaterOrEqual),
        ] {
            let query = list(&[(key, "v"), (key, "w"), ("q", ""), ("pretty", "")]).unwrap();
            let filter = Filter {
                field: field.to_owned(),
                compare,
                value: "v".to_owned(),
            };
            assert_eq!(query.filters, [filter], "{key}");
            assert_eq!(query.search, None);
        }
        assert!(list(&[("job_type:near", "v")]).is_err());
    }

    #[test]
    fn orders_name_a_column_and_a_direction() {
        let order = |text| list(&[("order", text)]).map(|query| query.order).ok();
        let term = |name: &str, descending| Some(vec![(name.to_owned(), descending)]);
        assert_eq!(order("createdAt"), term("created_at", false));
        assert_eq!(order("created_at ASC"), term("created_at", false));
        assert_eq!(order("created_at desc"), term("created_at", true));
        assert_eq!(order(""), Some(vec![]));
        assert_eq!(order("created_at down"), None);
        assert_eq!(order("a b c"), None);
    }
}
