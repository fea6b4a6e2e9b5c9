//! A table that is known from a profile only, written down in shards.
//!
//! A profile has names, types, NOT NULL, keys, plain indexes and foreign keys;
//! what it has not is named in a comment before the first statement. Its texts
//! may come from anywhere: they get into the statements as quoted identifiers
//! or as type modifiers of letters and digits, never as they are.

use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::profile::Column;
use crate::model::profile::Constraint;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Index;
use crate::model::profile::Table;
use crate::model::profile::TypeName;
use crate::model::utility::AlterCommand;
use crate::model::utility::CreateIndex;
use crate::model::utility::CreateTable;
use crate::model::utility::Edit;
use crate::model::utility::Utility;
use crate::planning::provision::ddl;
use crate::planning::provision::ddl::ShardStorage;
use crate::planning::provision::rewrite;
use crate::planning::provision::rewrite::Action;
use crate::planning::provision::rewrite::Armed;
use crate::planning::provision::rewrite::Refusal;

/// The statements for one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blank {
    /// The table, its shards, its keys and indexes.
    pub statements: Vec<String>,
    /// Its foreign keys, for when all tables are there, and where they point.
    pub references: Vec<(QualifiedName, String)>,
}

/// Writes a table down.
///
/// # Errors
/// [`Refusal`] if the table lacks a column of the key, or a unique constraint
/// does not include it and the policy is strict.
pub fn statements(table: &Table, armed: &Armed<'_>) -> Result<Blank, Refusal> {
    let root = armed.relation;
    let create = CreateTable {
        relation: root.clone(),
        columns: table.columns.iter().map(|column| column.name.clone()).collect(),
        unlogged: table.unlogged,
        inherits: false,
        built_in: Vec::new(),
        generated: Vec::new(),
        not_null: Vec::new(),
        parents: Vec::new(),
        no_inherit: false,
        typed: false,
        partitioned: false,
        partition_of: None,
        options: Vec::new(),
        access_method: None,
    };
    rewrite::decide(&Utility::CreateTable(create), armed)?;
    let columns: Vec<String> = table.columns.iter().map(column_definition).collect();
    let mut all = vec![format!(
        "{}CREATE TABLE {root} (\n    {}\n) {}",
        caveat(table),
        columns.join(",\n    "),
        ddl::partition_by(armed.layout)
    )];
    let storage = ShardStorage { unlogged: table.unlogged, ..ShardStorage::default() };
    all.extend(ddl::create_shards(root, armed.layout, &storage));
    for constraint in &table.constraints {
        if let Some(command) = unique_command(constraint) {
            let alter =
                Utility::AlterTable { relation: root.clone(), only: false, commands: vec![command.clone()] };
            write(&mut all, &alter, armed, |on, name, columns| key(constraint, on, name, columns))?;
        }
    }
    for index in table.indexes.iter().filter(|index| !of_constraint(table, index)) {
        let Some(columns) = plain_columns(table, index) else { continue };
        let create = Utility::CreateIndex(CreateIndex {
            relation: root.clone(),
            name: Some(index.name.clone()),
            unique: index.unique,
            columns,
            expressions: false,
            only: false,
            concurrently: false,
        });
        write(&mut all, &create, armed, |on, name, columns| index_text(index, on, name, columns))?;
    }
    all.push(ddl::revoke_grants(root, false));
    let references =
        table.constraints.iter().filter_map(|constraint| foreign_key(root, constraint)).collect();
    Ok(Blank { statements: all, references })
}

/// What the statements do not have, as a comment.
fn caveat(table: &Table) -> String {
    let mut lacking = vec![
        "owner, grants, comments, defaults and check constraints, which a profile does not have".to_owned(),
    ];
    let mut name = |what: &str, names: Vec<String>| {
        if !names.is_empty() {
            lacking.push(format!("{what} {}", names.join(", ")));
        }
    };
    let generated = table.columns.iter().filter(|column| column.generated);
    name("the expressions of", generated.map(|column| shown(&column.name)).collect());
    let exclusions = table.constraints.iter().filter(|found| found.kind == ConstraintKind::Exclusion);
    name("constraints", exclusions.map(|found| shown(&found.name)).collect());
    let indexes = table
        .indexes
        .iter()
        .filter(|index| !of_constraint(table, index) && plain_columns(table, index).is_none());
    name("indexes", indexes.map(|index| shown(&index.name)).collect());
    name("triggers", table.triggers.iter().map(|trigger| shown(&trigger.name)).collect());
    name("", if table.row_security { vec!["row security".to_owned()] } else { Vec::new() });
    format!("-- From a profile, without: {}.\n", lacking.join("; "))
}

/// An identifier within a comment of one line.
fn shown(name: &str) -> String {
    quote_identifier(name).replace(['\n', '\r'], " ")
}

fn column_definition(column: &Column) -> String {
    let mut text = format!("{} {}", quote_identifier(&column.name), type_text(&column.type_name));
    if let Some(collation) = &column.collation {
        let name = QualifiedName::new(&collation.schema, &collation.name);
        text.push_str(&format!(" COLLATE {name}"));
    }
    if column.not_null || column.identity {
        text.push_str(" NOT NULL");
    }
    if column.identity {
        text.push_str(" GENERATED BY DEFAULT AS IDENTITY");
    }
    text
}

/// Names of built-in types that are written as SQL has them.
const SQL_NAMES: &[&str] = &[
    "bigint",
    "boolean",
    "bytea",
    "character",
    "character varying",
    "date",
    "double precision",
    "integer",
    "interval",
    "json",
    "jsonb",
    "numeric",
    "real",
    "smallint",
    "text",
    "time without time zone",
    "timestamp with time zone",
    "timestamp without time zone",
    "uuid",
];

fn type_text(of: &TypeName) -> String {
    let (before, modifier, after) = modifier(&of.text);
    let array = if of.array { "[]" } else { "" };
    let plain = format!("{before}{after}");
    let plain = plain.strip_suffix("[]").unwrap_or(&plain);
    if of.schema == "pg_catalog" && SQL_NAMES.contains(&plain) {
        let after = after.strip_suffix("[]").unwrap_or(after);
        return format!("{}{modifier}{after}{array}", before.strip_suffix("[]").unwrap_or(before));
    }
    format!("{}{modifier}{array}", QualifiedName::new(&of.schema, &of.name))
}

/// A type's text before its modifier, the modifier with its parentheses, and
/// the text after it; nothing that is not letters and digits is a modifier.
fn modifier(text: &str) -> (&str, &str, &str) {
    let found = text.find('(').and_then(|open| Some((open, open + text[open..].find(')')? + 1)));
    match found {
        Some((open, end)) => {
            let inner = &text[open + 1..end - 1];
            let harmless = inner.chars().all(|c| c.is_ascii_alphanumeric() || ", -".contains(c))
                && !inner.contains("--")
                && !inner.trim().is_empty();
            (&text[..open], if harmless { &text[open..end] } else { "" }, &text[end..])
        }
        None => (text, "", ""),
    }
}

fn unique_command(constraint: &Constraint) -> Option<AlterCommand> {
    let primary = constraint.kind == ConstraintKind::PrimaryKey;
    ((primary || constraint.kind == ConstraintKind::Unique) && !constraint.columns.is_empty()).then(|| {
        AlterCommand::AddUnique {
            name: Some(constraint.name.clone()),
            primary,
            columns: constraint.columns.clone(),
            using_index: false,
            temporal: constraint.is_temporal(),
        }
    })
}

/// Writes a key or index where the rules of a restore want it: on the table,
/// or on every shard with names of their own.
fn write(
    all: &mut Vec<String>,
    statement: &Utility,
    armed: &Armed<'_>,
    text: impl Fn(&QualifiedName, Option<usize>, &[String]) -> String,
) -> Result<(), Refusal> {
    for action in rewrite::decide(statement, armed)?.into_iter().flat_map(|decision| decision.actions) {
        match action {
            Action::Root(edits) => {
                let appended: Vec<String> = edits
                    .into_iter()
                    .flat_map(|edit| if let Edit::AppendKey(columns) = edit { columns } else { Vec::new() })
                    .collect();
                all.push(text(armed.relation, None, &appended));
            }
            Action::Shards => {
                let mut names: Vec<&String> = armed.layout.shards().iter().map(|shard| &shard.name).collect();
                names.sort();
                let shards = names.into_iter().map(|name| armed.relation.sibling(name)).enumerate();
                all.extend(shards.map(|(at, shard)| text(&shard, Some(at + 1), &[])));
            }
            _ => {}
        }
    }
    Ok(())
}

fn part_name(name: &str, number: Option<usize>) -> String {
    quote_identifier(&match number {
        Some(number) => crate::model::name::derived_name(name, &format!("s{number:04}")),
        None => name.to_owned(),
    })
}

fn key(constraint: &Constraint, on: &QualifiedName, number: Option<usize>, appended: &[String]) -> String {
    let word = if constraint.kind == ConstraintKind::PrimaryKey { "PRIMARY KEY" } else { "UNIQUE" };
    let columns: Vec<&String> = constraint.columns.iter().chain(appended).collect();
    let temporal = if constraint.is_temporal() { " WITHOUT OVERLAPS" } else { "" };
    let deferrable = if constraint.deferrable { " DEFERRABLE" } else { "" };
    let name = part_name(&constraint.name, number);
    format!(
        "ALTER TABLE {on} ADD CONSTRAINT {name} {word} ({}{temporal}){deferrable}",
        quote_identifiers(&columns)
    )
}

/// Whether a constraint brings the index along.
fn of_constraint(table: &Table, index: &Index) -> bool {
    index.of_constraint || table.constraints.iter().any(|found| found.name == index.name)
}

/// The columns of an index that a profile knows all of: one of an expression, a
/// condition, or an operator class that is not the type's own is told apart.
fn plain_columns(table: &Table, index: &Index) -> Option<Vec<String>> {
    let columns: Option<Vec<String>> = index.columns.iter().cloned().collect();
    let usual = |name: &String| table.column(name).is_some_and(|column| has_class(column, &index.method));
    columns.filter(|columns| !columns.is_empty() && !index.partial && columns.iter().all(usual))
}

/// Whether the type of a column is sure to have a default operator class for an
/// access method.
fn has_class(column: &Column, method: &str) -> bool {
    let of = &column.type_name;
    let built_in =
        |names: &[&str]| of.schema == "pg_catalog" && !of.array && names.contains(&of.name.as_str());
    let range = of.name.ends_with("range") && built_in(&[of.name.as_str()]);
    match method {
        "btree" | "hash" => true,
        "brin" => range || built_in(&["box", "inet"]) || built_in(SUMMARIZED),
        "gin" => of.array && of.schema == "pg_catalog" || built_in(&["jsonb", "tsvector"]),
        "gist" => range || built_in(&["box", "circle", "point", "polygon", "tsquery", "tsvector"]),
        "spgist" => range || built_in(&["box", "inet", "point", "polygon", "text", "varchar"]),
        _ => false,
    }
}

/// Types whose least and greatest values a BRIN index keeps.
const SUMMARIZED: &[&str] = &[
    "bit",
    "bpchar",
    "bytea",
    "char",
    "date",
    "float4",
    "float8",
    "int2",
    "int4",
    "int8",
    "interval",
    "macaddr",
    "name",
    "numeric",
    "oid",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "uuid",
    "varbit",
    "varchar",
];

fn index_text(index: &Index, on: &QualifiedName, number: Option<usize>, appended: &[String]) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let columns: Vec<&String> = index.columns.iter().flatten().chain(appended).collect();
    let (name, method) = (part_name(&index.name, number), quote_identifier(&index.method));
    format!("CREATE {unique}INDEX {name} ON {on} USING {method} ({})", quote_identifiers(&columns))
}

fn foreign_key(root: &QualifiedName, constraint: &Constraint) -> Option<(QualifiedName, String)> {
    let reference = constraint.references.as_ref().filter(|_| !constraint.columns.is_empty())?;
    let target = reference.name();
    let list = |columns: &[String]| match columns.split_last() {
        Some((period, others)) if constraint.is_temporal() => {
            format!("{}, PERIOD {}", quote_identifiers(others), quote_identifier(period))
        }
        _ => quote_identifiers(columns),
    };
    let columns = match reference.columns.as_slice() {
        [] => String::new(),
        columns => format!(" ({})", list(columns)),
    };
    let deferrable = if constraint.deferrable { " DEFERRABLE" } else { "" };
    let text = format!(
        "ALTER TABLE {root} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {target}{columns}{deferrable}",
        quote_identifier(&constraint.name),
        list(&constraint.columns)
    );
    Some((target, text))
}
