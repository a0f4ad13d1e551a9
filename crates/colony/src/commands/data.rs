//! `colony data`: run data of the Runs API.

use colony_api::runs::{ChangeTags, NewData};

use super::runs::{find, page_query, pairs, show_id, show_list};
use super::{Common, block_on, json};
use crate::cli::{DataCommand, DataDeleteArgs, DataListArgs, DataTagArgs, DataWriteArgs};
use crate::client::show;
use crate::exit::{Exit, InputResult as _, Problem};
use crate::output;

pub(super) fn data(command: &DataCommand, common: &Common) -> Result<Exit, Problem> {
    match command {
        DataCommand::List(args) => list(args, common),
        DataCommand::Write(args) => write(args, common),
        DataCommand::Tag(args) => tag(args, common),
        DataCommand::Delete(args) => delete(args, common),
    }
}

fn list(args: &DataListArgs, common: &Common) -> Result<Exit, Problem> {
    let ledger = find(&args.page.client, common)?;
    let mut query = page_query(&args.page, args.limit, args.sort_by.as_str());
    // One key may hold a comma, which separates several.
    let keys = if args.key.len() == 1 { "key" } else { "keys" };
    let lists = [
        (keys, &args.key),
        ("keyStartsWith", &args.prefix),
        ("tags", &args.tag),
        ("tagStartsWith", &args.tag_prefix),
    ];
    let given = lists.into_iter().filter(|(_, texts)| !texts.is_empty());
    query.extend(given.map(|(name, texts)| (name, texts.join(","))));
    query.extend(args.pattern.clone().map(|pattern| ("keyPattern", pattern)));
    query.push(("tagMode", args.tag_mode.as_str().to_owned()));
    query.push(("includeAll", args.all.to_string()));
    block_on(async {
        let run = args.run.to_string();
        let page = ledger.client.query_data(&run, &pairs(&query)).await;
        let page = page.map_err(|error| ledger.problem(error))?;
        show_list(&page.data, page.pagination.total, &args.page, show::data)
    })
}

fn write(args: &DataWriteArgs, common: &Common) -> Result<Exit, Problem> {
    let new = NewData {
        key: args.key.clone(),
        value: json::read("the value", &args.value).or_bad_input()?,
        task_id: args.task.to_string(),
        tags: args.tag.clone(),
        metadata: json::object("--metadata", args.metadata.as_deref()).or_bad_input()?,
    };
    let ledger = find(&args.client, common)?;
    block_on(async {
        let entry = ledger.client.write_data(&args.run.to_string(), &new).await;
        let entry = entry.map_err(|error| ledger.problem(error))?;
        show_id(&entry, &entry.id, args.json)
    })
}

fn tag(args: &DataTagArgs, common: &Common) -> Result<Exit, Problem> {
    let change = ChangeTags {
        add: args.add.clone(),
        remove: args.remove.clone(),
    };
    let ledger = find(&args.client, common)?;
    block_on(async {
        let (run, id) = (args.run.to_string(), args.id.to_string());
        let entry = ledger.client.tag_data(&run, &id, &change).await;
        let entry = entry.map_err(|error| ledger.problem(error))?;
        if args.json {
            return show_id(&entry, &entry.id, true);
        }
        output::talk(&format!(
            "{} has the tags {}",
            entry.id,
            entry.tags.join(", ")
        ));
        Ok(Exit::Completed)
    })
}

fn delete(args: &DataDeleteArgs, common: &Common) -> Result<Exit, Problem> {
    let ledger = find(&args.client, common)?;
    let id = args.id.map(|id| id.to_string());
    let query = [("key", args.key.as_deref()), ("id", id.as_deref())];
    let query: Vec<_> = (query.into_iter())
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    block_on(async {
        let deleted = ledger
            .client
            .delete_data(&args.run.to_string(), &query)
            .await;
        let deleted = deleted.map_err(|error| ledger.problem(error))?.deleted;
        output::talk(&format!("deleted {deleted}"));
        Ok(Exit::Completed)
    })
}
