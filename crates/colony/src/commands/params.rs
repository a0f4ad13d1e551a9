//! Parameters as written on the command line.

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

/// Reads `NAME=text` and `NAME:=json`.
pub(super) fn parse(params: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut map = Map::new();
    for param in params {
        let (name, value) = one(param)?;
        if map.insert(name.to_owned(), value).is_some() {
            bail!("failed to read -p {param}: the parameter {name} is given twice");
        }
    }
    Ok(map)
}

fn one(param: &str) -> anyhow::Result<(&str, Value)> {
    let Some((name, value)) = param.split_once('=') else {
        bail!(
            "failed to read -p {param}: a parameter is NAME=VALUE, such as -p Name=World, or \
             NAME:=JSON, such as -p Count:=3"
        );
    };
    let (name, value) = match name.strip_suffix(':') {
        Some(name) => {
            let value = serde_json::from_str(value).with_context(|| {
                format!(
                    "failed to read -p {param}: after := there must be JSON; for a text write \
                     -p {name}=…"
                )
            })?;
            (name, value)
        }
        None => (name, Value::from(value)),
    };
    if name.is_empty() {
        bail!("failed to read -p {param}: there is no name before the =");
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_stay_texts_and_json_is_asked_for() {
        let params = ["A=3", "B:=3", "C=", "D=x=y", "E:=[\"a\"]"].map(str::to_owned);
        let expected = json!({"A": "3", "B": 3, "C": "", "D": "x=y", "E": ["a"]});
        assert_eq!(Value::Object(parse(&params).unwrap()), expected);
    }

    #[test]
    fn mistakes_are_named() {
        for (params, expected) in [
            (vec!["A"], "NAME=VALUE"),
            (vec!["=1"], "no name"),
            (vec!["A:=x"], "there must be JSON"),
            (vec!["A=1", "A=2"], "given twice"),
        ] {
            let params: Vec<String> = params.into_iter().map(str::to_owned).collect();
            let error = parse(&params).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
