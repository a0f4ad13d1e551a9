//! What of a job's data becomes the environment of a task's commands.

use colony_spec::data::Layers;
use colony_spec::model::Variables;
use colony_wire::Environment;

/// Holds all parameters as one JSON object.
const PARAMS: &str = "COLONY_PARAMS";

/// A longer object is left out: no process can be given a variable of 128 KiB.
const PARAMS_MAX: usize = 96 << 10;

/// The variables, and what to say about those that were left out.
pub(super) fn of_task(layers: &Layers, task_variables: &Variables) -> (Environment, Vec<String>) {
    let (mut environment, reserved) = layers.safe_environment(task_variables);
    let mut warnings: Vec<String> = reserved
        .iter()
        .map(|name| {
            format!(
                "`{name}` is no variable of the commands: its name is reserved; templates and \
                 ${PARAMS} have its value"
            )
        })
        .collect();
    let params = layers.params.iter();
    let params: serde_json::Map<_, _> = params
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    let params = serde_json::Value::Object(params).to_string();
    if params.len() <= PARAMS_MAX {
        environment.insert(PARAMS.to_owned(), params);
    } else {
        warnings.push(format!(
            "{PARAMS} is not set: the parameters are longer than {PARAMS_MAX} bytes; templates \
             have them"
        ));
    }
    (environment, warnings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layers(params: &[(&str, serde_json::Value)]) -> Layers {
        let params = params.iter();
        Layers {
            params: params.map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
            ..Layers::default()
        }
    }

    #[test]
    fn reserved_names_are_left_to_templates_and_the_object() {
        let layers = Layers {
            contexts: [("IFS".to_owned(), json!("x"))].into_iter().collect(),
            ..layers(&[("PATH", json!("/evil")), ("Ref", json!(7))])
        };
        let own = [("HOME".to_owned(), json!("/by-the-author"))];
        let (environment, warnings) = of_task(&layers, &own.into_iter().collect());
        assert_eq!(environment["Ref"], "7");
        assert_eq!(environment["HOME"], "/by-the-author");
        assert!(!environment.contains_key("PATH") && !environment.contains_key("IFS"));
        assert_eq!(environment[PARAMS], r#"{"PATH":"/evil","Ref":7}"#);
        assert!(warnings[0].contains("`IFS`") && warnings[1].contains("`PATH`"));
        assert_eq!(layers.value("PATH"), Some(json!("/evil")));
    }

    #[test]
    fn an_object_that_no_process_can_be_given_is_named() {
        let (environment, warnings) = of_task(
            &layers(&[("Long", json!("x".repeat(PARAMS_MAX)))]),
            &Variables::new(),
        );
        assert!(!environment.contains_key(PARAMS));
        assert!(warnings[0].contains(PARAMS), "{warnings:?}");
    }
}
