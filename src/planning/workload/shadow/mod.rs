//! The shadow tables of a profile: how its empty copies are defined.
//!
//! Only names, types, NOT NULL and keys are taken over. Defaults, checks,
//! index and generation expressions are left out, so that nothing that the
//! profile brings along is ever evaluated, and no text of the profile gets
//! into the definitions but as a quoted identifier or literal. Functions and
//! operators are stubs (`stub`).

mod stub;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::name::IDENTIFIER_BYTES_MAX;
use crate::model::name::QualifiedName;
use crate::model::name::cut;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::name::quote_literal;
use crate::model::profile::Constraint;
use crate::model::profile::ConstraintKind;
use crate::model::profile::ObjectName;
use crate::model::profile::Profile;
use crate::model::profile::Table;
use crate::model::profile::TypeName;
use crate::model::profile::UserType;
use crate::model::profile::UserTypeKind;
use crate::model::shadow::ShadowPart;
use crate::model::shadow::ShadowPlan;
use crate::model::shadow::ShadowStep;
use crate::model::shadow::ShadowView;

/// What is here already.
#[derive(Debug, Clone, Default)]
pub struct Existing {
    /// Schema and name of the types that can be used as they are.
    pub types: BTreeSet<(String, String)>,
    /// Of the collations that this database can use.
    pub collations: BTreeSet<(String, String)>,
    pub functions: BTreeSet<(String, String)>,
    pub operators: BTreeSet<(String, String)>,
    pub schemas: BTreeSet<String>,
}

/// Plans the shadow of all tables, types and views of a profile, and of the
/// functions and operators that its statements or views may call. `tag` goes
/// into the names of the shadow schemas.
#[must_use]
pub fn plan(profile: &Profile, existing: &Existing, tag: &str) -> ShadowPlan {
    let mut planner = Planner { existing, plan: ShadowPlan::default(), types: BTreeSet::new() };
    planner.schemas(profile, tag);
    planner.collations(profile);
    planner.types_and_tables(profile);
    planner.stubs(profile);
    for view in &profile.views {
        planner.plan.views.push(ShadowView {
            name: QualifiedName::new(&view.schema, &view.view),
            definition: view.definition.trim().trim_end_matches(';').to_owned(),
            security_barrier: view.security_barrier,
        });
    }
    planner.plan
}

struct Planner<'a> {
    existing: &'a Existing,
    plan: ShadowPlan,
    /// The types that are made, by their names in the profile.
    types: BTreeSet<QualifiedName>,
}

impl Planner<'_> {
    fn schemas(&mut self, profile: &Profile, tag: &str) {
        let of_functions = profile.functions.iter().map(|function| &function.schema);
        let wanted: BTreeSet<&String> = (profile.tables.iter().map(|table| &table.schema))
            .chain(profile.views.iter().map(|view| &view.schema))
            .chain(
                profile.types.iter().filter(|user| !self.exists(&user.schema, &user.name)).map(|t| &t.schema),
            )
            .chain(profile.collations.iter().map(|collation| &collation.schema))
            .chain(of_functions)
            .chain(profile.operators.iter().map(|operator| &operator.schema))
            .filter(|name| usable(name))
            .collect();
        let taken = |name: &String| self.existing.schemas.contains(name);
        let mut number = 0;
        let mut found = BTreeMap::new();
        for original in wanted {
            let shadow = loop {
                number += 1;
                let suffix = format!("_{number}");
                let stem = format!("presplit_shadow_{tag}");
                let stem = cut(stem.trim_end_matches('_'), IDENTIFIER_BYTES_MAX - suffix.len());
                let name = format!("{stem}{suffix}");
                if !taken(&name) {
                    break name;
                }
            };
            found.insert(original.clone(), shadow);
        }
        for shadow in found.values() {
            let sql = format!("CREATE SCHEMA {}", quote_identifier(shadow));
            self.plan.steps.push(ShadowStep { sql, makes: ShadowPart::Schema });
        }
        self.plan.schemas = found;
    }

    fn exists(&self, schema: &str, name: &str) -> bool {
        self.existing.types.contains(&(schema.to_owned(), name.to_owned()))
    }

    /// Collations of which only the name counts: the columns that have them
    /// must differ from those that have not. One of `pg_catalog` that this
    /// server does not know is made beside the table that wants it.
    fn collations(&mut self, profile: &Profile) {
        let of_columns = profile.tables.iter().flat_map(|table| {
            table.columns.iter().filter_map(|column| Some((&table.schema, column.collation.as_ref()?)))
        });
        let of_domains = profile.types.iter().filter_map(|user| match &user.kind {
            UserTypeKind::Domain { collation: Some(collation), .. } => Some((&user.schema, collation)),
            _ => None,
        });
        let named = profile.collations.iter().map(|collation| (&collation.schema, collation));
        let wanted: BTreeSet<(String, String)> = of_columns
            .chain(of_domains)
            .chain(named)
            .filter(|(_, collation)| !self.collation_exists(collation))
            .map(|(near, collation)| (home(near, collation).to_owned(), collation.name.clone()))
            .collect();
        for (schema, name) in wanted {
            if let Ok(shadow) = self.shadow_name(&schema, &name) {
                self.plan.steps.push(ShadowStep {
                    sql: format!("CREATE COLLATION {shadow} FROM pg_catalog.\"C\""),
                    makes: ShadowPart::Collation(QualifiedName::new(schema, name)),
                });
            }
        }
    }

    fn collation_exists(&self, collation: &ObjectName) -> bool {
        self.existing.collations.contains(&(collation.schema.clone(), collation.name.clone()))
    }

    /// ` COLLATE …`, or nothing for a type's own.
    fn collate(&self, near: &str, collation: Option<&ObjectName>) -> Result<String, String> {
        let Some(collation) = collation else { return Ok(String::new()) };
        let name = if self.collation_exists(collation) {
            format!("{}.{}", identifier(&collation.schema)?, identifier(&collation.name)?)
        } else {
            self.shadow_name(home(near, collation), &collation.name)?
        };
        Ok(format!(" COLLATE {name}"))
    }

    /// Types may build on one another and on the row types of tables, and
    /// tables on types: each round makes what has its parts, until nothing is
    /// left or nothing can be made.
    fn types_and_tables(&mut self, profile: &Profile) {
        let rows: BTreeSet<QualifiedName> = profile.tables.iter().map(Table::name).collect();
        let mut types: Vec<&UserType> = profile
            .types
            .iter()
            .filter(|user| !self.exists(&user.schema, &user.name))
            .filter(|user| !rows.contains(&QualifiedName::new(&user.schema, &user.name)))
            .collect();
        let mut tables: Vec<&Table> = profile.tables.iter().collect();
        loop {
            let before = types.len() + tables.len();
            let failed_types = self.types(types);
            let mut failed_tables = Vec::new();
            for table in tables {
                if let Err(reason) = self.table(table) {
                    failed_tables.push((table, reason));
                }
            }
            let left = failed_types.len() + failed_tables.len();
            if left == before || left == 0 {
                let types = failed_types.into_iter().map(|(user, reason)| (&user.schema, &user.name, reason));
                let tables =
                    failed_tables.into_iter().map(|(table, reason)| (&table.schema, &table.table, reason));
                for (schema, name, reason) in types.chain(tables) {
                    self.plan.failed.insert(QualifiedName::new(schema, name), reason);
                }
                return;
            }
            types = failed_types.into_iter().map(|(user, _)| user).collect();
            tables = failed_tables.into_iter().map(|(table, _)| table).collect();
        }
    }

    /// Makes types until none is left or none can be made; returns those with
    /// the reasons.
    fn types<'p>(&mut self, types: Vec<&'p UserType>) -> Vec<(&'p UserType, String)> {
        let mut pending = types;
        loop {
            let mut left: Vec<(&UserType, String)> = Vec::new();
            let before = pending.len();
            for user in pending {
                match self.type_definition(user) {
                    Ok(sql) => self.made(user, sql),
                    Err(reason) => left.push((user, reason)),
                }
            }
            if left.len() == before || left.is_empty() {
                return left;
            }
            pending = left.into_iter().map(|(user, _)| user).collect();
        }
    }

    /// A range brings its multirange along.
    fn made(&mut self, user: &UserType, sql: String) {
        let name = QualifiedName::new(&user.schema, &user.name);
        let mut names = vec![name];
        if let UserTypeKind::Range { multirange: Some(multirange), .. } = &user.kind
            && multirange.schema == user.schema
        {
            names.push(QualifiedName::new(&multirange.schema, &multirange.name));
        }
        self.types.extend(names.iter().cloned());
        let makes = match &user.kind {
            UserTypeKind::Range { .. } => ShadowPart::Range(names),
            _ => ShadowPart::Type(names.swap_remove(0)),
        };
        self.plan.steps.push(ShadowStep { sql, makes });
    }

    fn type_definition(&self, user: &UserType) -> Result<String, String> {
        let name = self.shadow_name(&user.schema, &user.name)?;
        match &user.kind {
            UserTypeKind::Enum { labels } => {
                if labels.iter().any(|label| !usable_label(label)) {
                    return Err(format!("a label of type {} is not valid", plain(&user.schema, &user.name)));
                }
                let labels: Vec<String> = labels.iter().map(|label| quote_literal(label)).collect();
                Ok(format!("CREATE TYPE {name} AS ENUM ({})", labels.join(", ")))
            }
            UserTypeKind::Domain { base, collation, .. } => {
                let collate = self.collate(&user.schema, collation.as_ref())?;
                Ok(format!("CREATE DOMAIN {name} AS {}{collate}", self.type_reference(base)?))
            }
            UserTypeKind::Range { subtype, multirange } => {
                let multirange = match multirange.as_ref().filter(|found| found.schema == user.schema) {
                    Some(found) => {
                        let name = self.shadow_name(&found.schema, &found.name)?;
                        format!(", MULTIRANGE_TYPE_NAME = {name}")
                    }
                    None => String::new(),
                };
                let subtype = self.type_reference(subtype)?;
                Ok(format!("CREATE TYPE {name} AS RANGE (SUBTYPE = {subtype}{multirange})"))
            }
            UserTypeKind::Composite { attributes } => {
                let mut parts = Vec::new();
                for attribute in attributes {
                    let of = self.type_reference(&attribute.type_name)?;
                    parts.push(format!("{} {of}", identifier(&attribute.name)?));
                }
                Ok(format!("CREATE TYPE {name} AS ({})", parts.join(", ")))
            }
            UserTypeKind::Other => {
                Err(format!("type {} cannot be rebuilt here", plain(&user.schema, &user.name)))
            }
        }
    }

    fn shadow_name(&self, schema: &str, name: &str) -> Result<String, String> {
        let shadow = self
            .plan
            .schemas
            .get(schema)
            .ok_or_else(|| format!("name {} is not valid", plain(schema, name)))?;
        Ok(format!("{}.{}", quote_identifier(shadow), identifier(name)?))
    }

    /// The type by name, without modifiers: they change no comparison.
    fn type_reference(&self, of: &TypeName) -> Result<String, String> {
        let name = if of.schema == "pg_catalog" || self.exists(&of.schema, &of.name) {
            format!("{}.{}", identifier(&of.schema)?, identifier(&of.name)?)
        } else if self.types.contains(&QualifiedName::new(&of.schema, &of.name)) {
            self.shadow_name(&of.schema, &of.name)?
        } else {
            return Err(format!("type {} does not exist here", plain(&of.schema, &of.name)));
        };
        Ok(if of.array { format!("{name}[]") } else { name })
    }

    fn table(&mut self, table: &Table) -> Result<(), String> {
        let (shadow, sql) = self.table_definition(table)?;
        self.plan.steps.push(ShadowStep { sql, makes: ShadowPart::Table(table.name()) });
        for sql in keys(&shadow, table) {
            self.plan.steps.push(ShadowStep { sql, makes: ShadowPart::Key });
        }
        self.types.insert(table.name());
        Ok(())
    }

    fn table_definition(&self, table: &Table) -> Result<(String, String), String> {
        let shadow = self.shadow_name(&table.schema, &table.table)?;
        let mut columns = Vec::new();
        for column in &table.columns {
            let of = self
                .type_reference(&column.type_name)
                .map_err(|reason| format!("column {:?}: {reason}", column.name))?;
            let not_null = if column.not_null { " NOT NULL" } else { "" };
            let collate = self.collate(&table.schema, column.collation.as_ref())?;
            columns.push(format!("{} {of}{collate}{not_null}", identifier(&column.name)?));
        }
        let sql = format!("CREATE TABLE {shadow} ({})", columns.join(", "));
        Ok((shadow, sql))
    }
}

/// Primary keys and unique constraints by name, other plain unique indexes
/// without.
fn keys(shadow: &str, table: &Table) -> Vec<String> {
    let known = |columns: &[String]| {
        !columns.is_empty() && columns.iter().all(|column| table.column(column).is_some())
    };
    let constraint = |constraint: &Constraint| {
        let word = match constraint.kind {
            ConstraintKind::PrimaryKey => "PRIMARY KEY",
            ConstraintKind::Unique => "UNIQUE",
            _ => return None,
        };
        let name = identifier(&constraint.name).ok().filter(|_| known(&constraint.columns))?;
        let columns = quote_identifiers(&constraint.columns);
        Some(format!("ALTER TABLE {shadow} ADD CONSTRAINT {name} {word} ({columns})"))
    };
    let mut found: Vec<String> = table.constraints.iter().filter_map(constraint).collect();
    for index in &table.indexes {
        let columns: Option<Vec<String>> = index.columns.iter().cloned().collect();
        if let Some(columns) = columns.filter(|columns| known(columns))
            && index.unique
            && !index.partial
            && !index.of_constraint
        {
            found.push(format!("CREATE UNIQUE INDEX ON {shadow} ({})", quote_identifiers(&columns)));
        }
    }
    found
}

/// The schema whose shadow holds a collation that does not exist here.
fn home<'n>(near: &'n str, collation: &'n ObjectName) -> &'n str {
    if collation.schema == "pg_catalog" { near } else { &collation.schema }
}

fn usable(name: &str) -> bool {
    !name.is_empty() && name.len() <= IDENTIFIER_BYTES_MAX && !name.contains('\0')
}

fn usable_label(label: &str) -> bool {
    label.len() <= IDENTIFIER_BYTES_MAX && !label.contains('\0')
}

fn identifier(name: &str) -> Result<String, String> {
    if usable(name) { Ok(quote_identifier(name)) } else { Err(format!("name {name:?} is not valid")) }
}

fn plain(schema: &str, name: &str) -> String {
    QualifiedName::new(schema, name).to_string()
}
