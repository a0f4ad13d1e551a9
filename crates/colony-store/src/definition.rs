//! Stored versions of job definitions.

use std::collections::BTreeMap;

use colony_core::id::DefinitionId;
use colony_core::plan::Plan;
use colony_core::time::Timestamp;

use crate::error::StoreError;
use crate::list::{self, Column, Kind, ListError, ListQuery, Listing, Page};
use crate::params;
use crate::row::{Row, readable};
use crate::tx::Tx;
use crate::value::Json;

/// One stored version of a job's YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionRow {
    /// Id of this version.
    pub id: DefinitionId,
    /// Owner.
    pub org_id: String,
    /// Who saved it; empty without authentication.
    pub user_id: String,
    /// Name, unique per owner.
    pub job_type: String,
    /// Counts the versions of a type, from 0.
    pub version: u32,
    /// The author's version; may be empty.
    pub sem_version: String,
    /// The text, byte for byte.
    pub raw_yaml: String,
    /// Copied from the text.
    pub description: String,
    /// Copied from the text.
    pub url: String,
    /// Copied from the text.
    pub platform: String,
    /// Union of the tasks' tags, comma-joined.
    pub tags: String,
    /// Union of the tasks' methods, joined by `, `.
    pub methods: String,
    /// Copied from the text.
    pub cron_trigger: String,
    /// Published for all organizations.
    pub public_plugin: bool,
    /// Runs at once.
    pub max_concurrency: u32,
    /// The newest version of its type.
    pub active: bool,
    /// Gone from lists and from look-up by type.
    pub deleted: bool,
    /// Not scheduled.
    pub disabled: bool,
    /// When this version was saved.
    pub created_at: Timestamp,
    /// Last change of this row.
    pub updated_at: Timestamp,
}

/// Columns of [`DefinitionRow`], in order.
const COLUMNS: &str = "id, org_id, user_id, job_type, version, sem_version, raw_yaml, description, \
    url, platform, tags, methods, cron_trigger, public_plugin, max_concurrency, active, deleted, \
    disabled, created_at, updated_at";

impl DefinitionRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            org_id: row.get(1)?,
            user_id: row.get(2)?,
            job_type: row.get(3)?,
            version: row.get(4)?,
            sem_version: row.get(5)?,
            raw_yaml: row.get(6)?,
            description: row.get(7)?,
            url: row.get(8)?,
            platform: row.get(9)?,
            tags: row.get(10)?,
            methods: row.get(11)?,
            cron_trigger: row.get(12)?,
            public_plugin: row.get(13)?,
            max_concurrency: row.get(14)?,
            active: row.get(15)?,
            deleted: row.get(16)?,
            disabled: row.get(17)?,
            created_at: row.get(18)?,
            updated_at: row.get(19)?,
        })
    }

    /// Requests of one organization and type queue under this key.
    pub fn schedule_key(&self) -> String {
        schedule_key(&self.org_id, &self.job_type)
    }
}

/// The newest version of a type, deleted or not, locked until the end of the transaction.
///
/// # Errors
///
/// The database's.
pub fn lock_newest_definition(
    tx: &mut Tx<'_>,
    org_id: &str,
    job_type: &str,
) -> Result<Option<DefinitionRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM definitions WHERE org_id = $1 AND job_type = $2 AND active{}",
        tx.for_update()
    );
    let row = tx.query_opt(&sql, &[&org_id, &job_type])?;
    row.as_ref().map(DefinitionRow::from_row).transpose()
}

/// Stores a new version with its control flow, and retires the one it replaces.
///
/// # Errors
///
/// The database's, also when another transaction saved the same type first.
pub fn insert_definition(
    tx: &mut Tx<'_>,
    new: &DefinitionRow,
    plan: &Plan,
    replaces: Option<DefinitionId>,
) -> Result<(), StoreError> {
    if let Some(old) = replaces {
        tx.execute(
            "UPDATE definitions SET active = FALSE, updated_at = $2 WHERE id = $1",
            &[&old, &new.created_at],
        )?;
    }
    let sql = format!(
        "INSERT INTO definitions ({COLUMNS}, plan) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
         $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)"
    );
    tx.execute(
        &sql,
        &[
            &new.id,
            &new.org_id,
            &new.user_id,
            &new.job_type,
            &new.version,
            &new.sem_version,
            &new.raw_yaml,
            &new.description,
            &new.url,
            &new.platform,
            &new.tags,
            &new.methods,
            &new.cron_trigger,
            &new.public_plugin,
            &new.max_concurrency,
            &new.active,
            &new.deleted,
            &new.disabled,
            &new.created_at,
            &new.updated_at,
            &Json(plan),
        ],
    )?;
    Ok(())
}

/// The control flow of a version as it was understood when it was saved; none of one that was saved
/// by a program that did not store it, or that is not there.
///
/// # Errors
///
/// The database's.
pub fn find_plan(tx: &mut Tx<'_>, id: DefinitionId) -> Result<Option<Plan>, StoreError> {
    let row = tx.query_opt("SELECT plan FROM definitions WHERE id = $1", &[&id])?;
    let plan = row
        .map(|row| row.get::<Option<Json<Plan>>>(0))
        .transpose()?;
    Ok(plan.flatten().map(|json| json.0))
}

/// What may change of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// Runs at once.
    pub max_concurrency: u32,
    /// The newest version of its type.
    pub active: bool,
    /// Gone from lists and from look-up by type.
    pub deleted: bool,
    /// Not scheduled.
    pub disabled: bool,
}

/// The flags of versions as they are now. Those that are unknown or make no sense are left out.
///
/// # Errors
///
/// The database's.
pub fn flags_of(
    tx: &mut Tx<'_>,
    ids: &[DefinitionId],
) -> Result<BTreeMap<DefinitionId, Flags>, StoreError> {
    let sql = "SELECT id, max_concurrency, active, deleted, disabled FROM definitions \
               WHERE id IN ({list})";
    let rows = tx.query_list(sql, &[], ids)?;
    let flags = readable(&rows, |row| {
        let flags = Flags {
            max_concurrency: row.get(1)?,
            active: row.get(2)?,
            deleted: row.get(3)?,
            disabled: row.get(4)?,
        };
        Ok((row.get(0)?, flags))
    })?;
    Ok(flags.into_iter().collect())
}

/// The newest undeleted versions of some types (organization and name), by schedule key.
///
/// # Errors
///
/// The database's.
pub fn newest_versions(
    tx: &mut Tx<'_>,
    types: &[(String, String)],
) -> Result<BTreeMap<String, DefinitionId>, StoreError> {
    let rows = tx.query_rows(
        "WITH wanted (org_id, job_type) AS (VALUES {rows: text, text}) \
         SELECT definitions.org_id, definitions.job_type, definitions.id FROM wanted \
         JOIN definitions ON definitions.org_id = wanted.org_id \
         AND definitions.job_type = wanted.job_type AND active AND NOT deleted",
        &[],
        types,
        |(org_id, job_type)| params![org_id, job_type],
    )?;
    rows.iter()
        .map(|row| Ok((schedule_key(row.get(0)?, row.get(1)?), row.get(2)?)))
        .collect()
}

/// Requests of one organization and type queue under this key.
pub fn schedule_key(org_id: &str, job_type: &str) -> String {
    format!("{org_id}/{job_type}")
}

/// The definition of that id, whatever its owner and version.
///
/// # Errors
///
/// The database's.
pub fn find_definition(
    tx: &mut Tx<'_>,
    id: DefinitionId,
) -> Result<Option<DefinitionRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM definitions WHERE id = $1");
    let row = tx.query_opt(&sql, &[&id])?;
    row.as_ref().map(DefinitionRow::from_row).transpose()
}

/// The newest undeleted version of a type, or the newest one with that `sem_version`, retired ones
/// included (`formicary-api` 7.1, 8.5).
///
/// # Errors
///
/// The database's.
pub fn find_definition_by_type(
    tx: &mut Tx<'_>,
    org_id: &str,
    job_type: &str,
    sem_version: &str,
) -> Result<Option<DefinitionRow>, StoreError> {
    let wanted = if sem_version.is_empty() {
        "active AND NOT deleted AND $3 = ''"
    } else {
        "sem_version = $3"
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM definitions WHERE org_id = $1 AND job_type = $2 AND {wanted} \
         ORDER BY version DESC LIMIT 1"
    );
    let row = tx.query_opt(&sql, &[&org_id, &job_type, &sem_version])?;
    row.as_ref().map(DefinitionRow::from_row).transpose()
}

/// Sets whether a version may be scheduled. False when there is no such row.
///
/// # Errors
///
/// The database's.
pub fn set_disabled(
    tx: &mut Tx<'_>,
    id: DefinitionId,
    disabled: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "UPDATE definitions SET disabled = $2, updated_at = $3 WHERE id = $1";
    Ok(tx.execute(sql, &[&id, &disabled, &now])? == 1)
}

/// Hides a version from lists and look-up by type. False when there is no such row.
///
/// # Errors
///
/// The database's.
pub fn delete_definition(
    tx: &mut Tx<'_>,
    id: DefinitionId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "UPDATE definitions SET deleted = TRUE, updated_at = $2 WHERE id = $1";
    Ok(tx.execute(sql, &[&id, &now])? == 1)
}

/// One page of the newest, undeleted version of each type.
///
/// # Errors
///
/// The query names what is not there, or the database failed.
pub fn list_definitions(
    tx: &mut Tx<'_>,
    query: &ListQuery,
) -> Result<Page<DefinitionRow>, ListError> {
    list::list(tx, &LISTING, query, DefinitionRow::from_row)
}

/// `GET /api/jobs/definitions` (`formicary-api` 7.1).
const LISTING: Listing = Listing {
    table: "definitions",
    columns: COLUMNS,
    only: "active AND NOT deleted",
    fields: &[
        Column {
            name: "id",
            kind: Kind::Id,
        },
        Column {
            name: "job_type",
            kind: Kind::Text,
        },
        Column {
            name: "platform",
            kind: Kind::Text,
        },
        Column {
            name: "tags",
            kind: Kind::Text,
        },
        Column {
            name: "sem_version",
            kind: Kind::Text,
        },
        Column {
            name: "cron_trigger",
            kind: Kind::Text,
        },
        Column {
            name: "disabled",
            kind: Kind::Bool,
        },
        Column {
            name: "public_plugin",
            kind: Kind::Bool,
        },
        Column {
            name: "max_concurrency",
            kind: Kind::Int,
        },
        Column {
            name: "description",
            kind: Kind::Text,
        },
        Column {
            name: "url",
            kind: Kind::Text,
        },
        Column {
            name: "user_id",
            kind: Kind::Text,
        },
        Column {
            name: "organization_id",
            kind: Kind::Text,
        },
        Column {
            name: "methods",
            kind: Kind::Text,
        },
        Column {
            name: "created_at",
            kind: Kind::Time,
        },
        Column {
            name: "updated_at",
            kind: Kind::Time,
        },
    ],
    search_contains: &["raw_yaml", "description", "user_id", "org_id"],
    search_equals: &["job_type", "platform"],
    search_latest: None,
};
