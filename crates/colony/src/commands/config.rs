//! `colony config`: every setting, its value, and where that came from.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};

use super::Common;
use crate::cli::ConfigArgs;
use crate::exit::{Exit, Problem};
use crate::output;
use crate::settings::{Origin, Profile, Settings};

pub(super) fn config(args: &ConfigArgs, common: &Common) -> Result<Exit, Problem> {
    let settings = common.settings(args.data_dir.flags(), Profile::Queen)?;
    if args.json {
        output::exact(&json_list(&settings).to_string());
        return Ok(Exit::Completed);
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["SETTING", "VALUE", "FROM", "ABOUT"]);
    for shown in settings.shown() {
        let value = match &*shown.value {
            "" => "-",
            value => &output::plain(value),
        };
        table.add_row([
            shown.setting.name,
            value,
            &shown.origin.to_string(),
            shown.setting.about,
        ]);
    }
    output::data(&table.to_string());
    if settings
        .shown()
        .iter()
        .any(|shown| shown.origin == Origin::Default)
    {
        output::talk(
            "`colony run` has other defaults: data_dir .colony, jobs.default_method SHELL, log error",
        );
    }
    Ok(Exit::Completed)
}

fn json_list(settings: &Settings) -> Value {
    let entries = settings.shown().iter().map(|shown| {
        json!({"setting": shown.setting.name, "value": shown.value,
            "from": shown.origin.to_string(), "variable": shown.setting.variable,
            "default": shown.setting.default_for_people(), "about": shown.setting.about})
    });
    entries.collect()
}
