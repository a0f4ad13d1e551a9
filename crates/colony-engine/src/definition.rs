//! Use-cases of definitions (`formicary-api` 7.1, 8.1, 8.2).

use std::sync::Arc;

use colony_core::id::DefinitionId;
use colony_core::text::with_causes;
use colony_spec::{Definition, Diagnostic, Format};
use colony_store::definition::{self, DefinitionRow};
use colony_store::request;
use colony_store::{ListQuery, Page, Tx};

use crate::compile::{self, Compiled, max_concurrency};
use crate::engine::{Caller, Engine};
use crate::error::EngineError;

/// A definition to be saved.
#[derive(Debug, Clone)]
pub struct SaveDefinition {
    /// YAML or JSON.
    pub text: String,
    /// How the text is written.
    pub format: Format,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The active version from now on.
    pub compiled: Arc<Compiled>,
    /// It is the first version of its type.
    pub created: bool,
    /// What its author should know.
    pub warnings: Vec<Diagnostic>,
}

impl Engine {
    /// Reads a definition as [`Engine::save_definition`] would, without storing it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn check_definition(
        &self,
        text: &str,
        format: Format,
    ) -> Result<colony_spec::Loaded, Vec<Diagnostic>> {
        self.definitions.loader().load(text, format)
    }

    /// Stores a definition as the newest version of its type. A text that equals the stored one
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidDefinition`] with everything that is wrong with it.
    pub async fn save_definition(
        &self,
        caller: &Caller,
        save: SaveDefinition,
    ) -> Result<Saved, EngineError> {
        let loaded = self.check_definition(&save.text, save.format);
        let loaded = loaded.map_err(EngineError::InvalidDefinition)?;
        let (engine, caller) = (self.clone(), caller.clone());
        let definition = loaded.definition;
        let (compiled, created) = self
            .store
            .write(move |tx| engine.store_definition(tx, &caller, &definition))
            .await?;
        // Requests of the type that wait move to the new version.
        self.nudges.schedule([compiled.row.schedule_key()]);
        Ok(Saved {
            compiled,
            created,
            warnings: loaded.warnings,
        })
    }

    fn store_definition(
        &self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        definition: &Definition,
    ) -> Result<(Arc<Compiled>, bool), EngineError> {
        let job_type = &definition.job_type;
        let old = definition::lock_newest_definition(tx, &caller.org_id, job_type)?;
        if let Some(old) = old.as_ref().filter(|old| is_unchanged(old, definition)) {
            return Ok((self.definitions.load(tx, old.id)?, false));
        }
        let new = self.new_version(caller, definition, old.as_ref());
        let plan = compile::plan(definition)?;
        definition::insert_definition(tx, &new, &plan, old.as_ref().map(|old| old.id))?;
        request::reconsider(tx, &new.schedule_key())?;
        Ok((self.definitions.load(tx, new.id)?, old.is_none()))
    }

    fn new_version(
        &self,
        caller: &Caller,
        definition: &Definition,
        old: Option<&DefinitionRow>,
    ) -> DefinitionRow {
        let inherited = old.filter(|_| definition.max_concurrency.is_none());
        let now = self.now();
        DefinitionRow {
            id: DefinitionId::new(self.ids.next_uuid()),
            org_id: caller.org_id.clone(),
            user_id: caller.user_text(),
            job_type: definition.job_type.clone(),
            version: old.map_or(0, |old| old.version + 1),
            sem_version: definition.sem_version.clone(),
            raw_yaml: definition.raw_yaml.clone(),
            description: definition.description.clone(),
            url: definition.url.clone(),
            platform: definition.platform.clone(),
            tags: definition.tags(),
            methods: definition.methods(),
            cron_trigger: definition.cron_trigger.clone(),
            public_plugin: definition.public_plugin,
            max_concurrency: inherited
                .map_or_else(|| max_concurrency(definition), |old| old.max_concurrency),
            active: true,
            deleted: false,
            disabled: old.is_some_and(|old| old.disabled),
            created_at: now,
            updated_at: now,
        }
    }

    /// The definition with that id, or the newest of that type, or the type's version with that
    /// `sem_version`.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] when there is none within the caller's scope.
    pub async fn find_definition(
        &self,
        caller: &Caller,
        name: &str,
        sem_version: &str,
    ) -> Result<Arc<Compiled>, EngineError> {
        let (engine, caller) = (self.clone(), caller.clone());
        let (name, sem_version) = (name.to_owned(), sem_version.to_owned());
        self.store
            .read(move |tx| {
                let row = lookup(tx, &caller, &name, &sem_version)?;
                engine.current(tx, row)
            })
            .await
    }

    /// One page of the newest, undeleted definitions. One that this version cannot compile is left
    /// out: it must not hide the others.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] for unknown fields.
    pub async fn list_definitions(
        &self,
        caller: &Caller,
        mut query: ListQuery,
    ) -> Result<Page<Arc<Compiled>>, EngineError> {
        query.org_id = Some(caller.org_id.clone());
        let engine = self.clone();
        self.store
            .read(move |tx| {
                let page = definition::list_definitions(tx, &query)?;
                let mut rows = Vec::with_capacity(page.rows.len());
                for row in page.rows {
                    let id = row.id;
                    match engine.current(tx, row) {
                        Err(error) if error.is_about_rows() => {
                            tracing::error!(definition.id = %id, "left out of a list: {}", with_causes(&error));
                        }
                        compiled => rows.push(compiled?),
                    }
                }
                let total = page.total;
                Ok(Page { rows, total })
            })
            .await
    }

    /// The compiled definition with the row's flags as they are now.
    fn current(&self, tx: &mut Tx<'_>, row: DefinitionRow) -> Result<Arc<Compiled>, EngineError> {
        let cached = self.definitions.load(tx, row.id)?;
        if cached.row == row {
            return Ok(cached);
        }
        let (definition, plan) = (cached.definition.clone(), cached.plan.clone());
        Ok(Arc::new(Compiled {
            row,
            definition,
            plan,
        }))
    }

    /// Lets a definition be scheduled again, or not.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] when there is none with that id within the caller's scope.
    pub async fn set_definition_disabled(
        &self,
        caller: &Caller,
        id: &str,
        disabled: bool,
    ) -> Result<(), EngineError> {
        let now = self.now();
        let key = self.change_definition(caller, id, move |tx, id| {
            definition::set_disabled(tx, id, disabled, now).map(drop)
        });
        self.nudges.schedule([key.await?]);
        Ok(())
    }

    /// Hides a definition: it is no longer listed, found by type, or scheduled.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] when there is none with that id within the caller's scope.
    pub async fn delete_definition(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        let now = self.now();
        self.change_definition(caller, id, move |tx, id| {
            definition::delete_definition(tx, id, now).map(drop)
        })
        .await
        .map(drop)
    }

    /// Changes a version of the caller's; gives its schedule key.
    async fn change_definition(
        &self,
        caller: &Caller,
        name: &str,
        change: impl Fn(&mut Tx<'_>, DefinitionId) -> Result<(), colony_store::StoreError>
        + Send
        + 'static,
    ) -> Result<String, EngineError> {
        let (caller, name) = (caller.clone(), name.to_owned());
        self.store
            .write(move |tx| {
                let not_found = || EngineError::not_found("definition", &name);
                let id = name.parse().map_err(|_| not_found())?;
                let row = definition::find_definition(tx, id)?;
                let row = row.filter(|row| row.org_id == caller.org_id);
                let key = row.ok_or_else(not_found)?.schedule_key();
                change(tx, id)?;
                Ok(key)
            })
            .await
    }
}

/// An id when it looks like one and there is one, else a type (`formicary-api` 7.1).
pub(crate) fn lookup(
    tx: &mut Tx<'_>,
    caller: &Caller,
    name: &str,
    sem_version: &str,
) -> Result<DefinitionRow, EngineError> {
    if let Ok(id) = name.parse::<DefinitionId>() {
        let row = definition::find_definition(tx, id)?;
        if let Some(row) = row.filter(|row| row.org_id == caller.org_id) {
            return Ok(row);
        }
    }
    definition::find_definition_by_type(tx, &caller.org_id, name, sem_version)?
        .ok_or_else(|| EngineError::not_found("definition", name))
}

fn is_unchanged(old: &DefinitionRow, new: &Definition) -> bool {
    !old.deleted
        && old.raw_yaml == new.raw_yaml
        && new
            .max_concurrency
            .is_none_or(|max| max == old.max_concurrency)
}
