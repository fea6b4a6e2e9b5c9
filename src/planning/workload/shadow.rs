//! The shadow tables of a profile: how its empty copies are defined.
//!
//! Only names, types, NOT NULL and keys are taken over. Defaults, checks,
//! index and generation expressions are left out, so that nothing that the
//! profile brings along is ever evaluated, and no text of the profile gets
//! into the definitions but as a quoted identifier or literal.

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
    pub schemas: BTreeSet<String>,
}

/// Plans the shadow of all tables, types and views of a profile. `tag` goes
/// into the names of the shadow schemas.
#[must_use]
pub fn plan(profile: &Profile, existing: &Existing, tag: &str) -> ShadowPlan {
    let mut planner = Planner { existing, plan: ShadowPlan::default() };
    planner.schemas(profile, tag);
    planner.types(&profile.types);
    for table in &profile.tables {
        planner.table(table);
    }
    for view in &profile.views {
        planner.plan.views.push(ShadowView {
            name: QualifiedName::new(&view.schema, &view.view),
            definition: view.definition.trim().trim_end_matches(';').to_owned(),
        });
    }
    planner.plan
}

struct Planner<'a> {
    existing: &'a Existing,
    plan: ShadowPlan,
}

impl Planner<'_> {
    fn schemas(&mut self, profile: &Profile, tag: &str) {
        let tables = profile.tables.iter().map(|table| &table.schema);
        let views = profile.views.iter().map(|view| &view.schema);
        let types = profile.types.iter().filter(|user| !self.exists(&user.schema, &user.name));
        let wanted: BTreeSet<&String> =
            tables.chain(views).chain(types.map(|user| &user.schema)).filter(|name| usable(name)).collect();
        let taken = |name: &String| self.existing.schemas.contains(name);
        let names: BTreeSet<&String> = wanted;
        let mut number = 0;
        let mut found = BTreeMap::new();
        for original in names {
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

    /// Types may build on one another: each round makes those whose parts are
    /// there, until none is left or none can be made.
    fn types(&mut self, types: &[UserType]) {
        let mut pending: Vec<&UserType> =
            types.iter().filter(|user| !self.exists(&user.schema, &user.name)).collect();
        loop {
            let mut left: Vec<(&UserType, String)> = Vec::new();
            let before = pending.len();
            for user in pending {
                match self.type_definition(user) {
                    Ok(sql) => {
                        let name = QualifiedName::new(&user.schema, &user.name);
                        self.plan.types.insert(name.clone());
                        self.plan.steps.push(ShadowStep { sql, makes: ShadowPart::Type(name) });
                    }
                    Err(reason) => left.push((user, reason)),
                }
            }
            if left.len() == before || left.is_empty() {
                for (user, reason) in left {
                    self.plan.failed.insert(QualifiedName::new(&user.schema, &user.name), reason);
                }
                return;
            }
            pending = left.into_iter().map(|(user, _)| user).collect();
        }
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
            UserTypeKind::Domain { base, .. } => {
                Ok(format!("CREATE DOMAIN {name} AS {}", self.type_reference(base)?))
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
        } else if self.plan.types.contains(&QualifiedName::new(&of.schema, &of.name)) {
            self.shadow_name(&of.schema, &of.name)?
        } else {
            return Err(format!("type {} does not exist here", plain(&of.schema, &of.name)));
        };
        Ok(if of.array { format!("{name}[]") } else { name })
    }

    fn table(&mut self, table: &Table) {
        match self.table_definition(table) {
            Ok((shadow, sql)) => {
                self.plan.steps.push(ShadowStep { sql, makes: ShadowPart::Table(table.name()) });
                for sql in keys(&shadow, table) {
                    self.plan.steps.push(ShadowStep { sql, makes: ShadowPart::Key });
                }
            }
            Err(reason) => {
                self.plan.failed.insert(table.name(), reason);
            }
        }
    }

    fn table_definition(&self, table: &Table) -> Result<(String, String), String> {
        let shadow = self.shadow_name(&table.schema, &table.table)?;
        let mut columns = Vec::new();
        for column in &table.columns {
            let of = self
                .type_reference(&column.type_name)
                .map_err(|reason| format!("column {:?}: {reason}", column.name))?;
            let not_null = if column.not_null { " NOT NULL" } else { "" };
            columns.push(format!("{} {of}{not_null}", identifier(&column.name)?));
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn profile(types: serde_json::Value, tables: serde_json::Value) -> Profile {
        Profile::from_json(json!({
            "format": "pg_presplit profile", "version": 1, "captured_at": "2026-01-02T03:04:05Z",
            "server_version_num": 150020, "database": "d", "types": types, "tables": tables,
            "views": [{"schema": "app", "view": "v", "definition": " SELECT 1; "}],
        }))
        .unwrap()
    }

    fn table(name: &str, columns: serde_json::Value) -> serde_json::Value {
        json!({"schema": "app", "table": name, "kind": "ordinary", "rows": 0.0, "heap_bytes": 0.0,
               "index_bytes": 0.0, "toast_bytes": 0.0, "columns": columns,
               "constraints": [{"name": "k", "kind": "primary_key", "columns": ["id"]},
                               {"name": "c", "kind": "check", "columns": ["id"]}],
               "indexes": [{"name": "u", "method": "btree", "unique": true, "columns": ["id"]},
                           {"name": "e", "method": "btree", "unique": true, "columns": [null]}]})
    }

    fn column(name: &str, schema: &str, of: &str, array: bool) -> serde_json::Value {
        json!({"name": name, "type": {"schema": schema, "name": of, "text": "evil() --", "array": array},
               "not_null": name == "id"})
    }

    fn check(types: serde_json::Value, columns: serde_json::Value, expected: &[&str]) {
        let plan = plan(&profile(types, json!([table("t", columns)])), &Existing::default(), "");
        let failed = plan.failed.iter().map(|(name, reason)| format!("{name}: {reason}"));
        let found: Vec<String> = plan.statements().map(str::to_owned).chain(failed).collect();
        assert_eq!(found, expected);
    }

    const KEYS: [&str; 2] = [
        "ALTER TABLE presplit_shadow_1.t ADD CONSTRAINT k PRIMARY KEY (id)",
        "CREATE UNIQUE INDEX ON presplit_shadow_1.t (id)",
    ];

    #[test]
    fn tables_get_types_and_keys_and_nothing_else() {
        check(
            json!([]),
            json!([column("id", "pg_catalog", "int8", false), column("Tags", "pg_catalog", "text", true)]),
            &[
                "CREATE SCHEMA presplit_shadow_1",
                "CREATE TABLE presplit_shadow_1.t (id pg_catalog.int8 NOT NULL, \"Tags\" pg_catalog.text[])",
                KEYS[0],
                KEYS[1],
            ],
        );
    }

    #[test]
    fn types_are_made_in_the_order_they_need() {
        check(
            json!([
                {"schema": "app", "name": "pair", "kind": "composite", "attributes": [
                    {"name": "m", "type": {"schema": "app", "name": "mood", "text": ""}}]},
                {"schema": "app", "name": "mood", "kind": "domain", "not_null": true,
                 "base": {"schema": "app", "name": "raw", "text": ""}},
                {"schema": "app", "name": "raw", "kind": "enum", "labels": ["it's", "b"]},
            ]),
            json!([column("id", "app", "mood", false)]),
            &[
                "CREATE SCHEMA presplit_shadow_1",
                "CREATE TYPE presplit_shadow_1.raw AS ENUM ('it''s', 'b')",
                "CREATE DOMAIN presplit_shadow_1.mood AS presplit_shadow_1.raw",
                "CREATE TYPE presplit_shadow_1.pair AS (m presplit_shadow_1.mood)",
                "CREATE TABLE presplit_shadow_1.t (id presplit_shadow_1.mood NOT NULL)",
                KEYS[0],
                KEYS[1],
            ],
        );
    }

    #[test]
    fn a_type_that_is_missing_fails_its_table_alone() {
        check(
            json!([{"schema": "app", "name": "cube", "kind": "other"}]),
            json!([column("id", "app", "cube", false)]),
            &[
                "CREATE SCHEMA presplit_shadow_1",
                "app.cube: type app.cube cannot be rebuilt here",
                "app.t: column \"id\": type app.cube does not exist here",
            ],
        );
    }

    #[test]
    fn what_exists_is_used_and_names_that_are_taken_are_not() {
        let existing = Existing {
            types: BTreeSet::from([("ext".to_owned(), "cube".to_owned())]),
            schemas: BTreeSet::from(["presplit_shadow_x_1".to_owned()]),
        };
        let tables = json!([table("t", json!([column("id", "ext", "cube", false)]))]);
        let plan = plan(&profile(json!([]), tables), &existing, "x");
        assert_eq!(plan.schemas["app"], "presplit_shadow_x_2");
        assert_eq!(
            plan.statements().nth(1),
            Some("CREATE TABLE presplit_shadow_x_2.t (id ext.cube NOT NULL)")
        );
        assert_eq!(plan.views[0].definition, "SELECT 1");
    }

    #[test]
    fn nothing_of_a_profile_gets_in_unquoted() {
        let columns = json!([column("id", "pg_catalog", "int4); DROP TABLE x; --", false)]);
        check(
            json!([]),
            columns,
            &[
                "CREATE SCHEMA presplit_shadow_1",
                "CREATE TABLE presplit_shadow_1.t (id pg_catalog.\"int4); DROP TABLE x; --\" NOT NULL)",
                KEYS[0],
                KEYS[1],
            ],
        );
    }
}
