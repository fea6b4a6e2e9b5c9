//! A table that has rows, made anew beside itself: the new one under a name
//! aside, with all its shards, while the old one is in use.
//!
//! ```text
//!  create ─→ the new table and its shards, empty; the index that tells rows apart
//!  rows come in
//!  indexes ─→ on the table alone, then on each shard, which is attached
//!  the old table goes aside, the new one takes its name: all that acts on rows comes
//! ```
//!
//! The same rules as in a restore decide what becomes of each definition, and
//! the server chooses the names of indexes on shards, as it does where the table
//! is created in shards. Where the new table is a plain one, every definition
//! stays as it is.

use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::name::derived_name;
use crate::model::name::marked_name;
use crate::model::name::quote_identifier;
use crate::model::utility::AlterCommand;
use crate::model::utility::Utility;
use crate::planning::provision::ddl;
use crate::planning::provision::ddl::ShardStorage;
use crate::planning::provision::rebuild;
use crate::planning::provision::rebuild::Anatomy;
use crate::planning::provision::rewrite;
use crate::planning::provision::rewrite::Action;
use crate::planning::provision::rewrite::Armed;
use crate::planning::provision::rewrite::Refusal;

/// An index, or the constraint that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub name: String,
    /// The definition for the table under its final name.
    text: String,
    /// Its columns, if rows are told apart by them.
    unique: Vec<String>,
    /// Whether only the shards have it.
    pub on_shards: bool,
    /// Empty = the database's own.
    pub tablespace: String,
    /// What is said of it once it has its final name.
    pub then: Vec<String>,
}

/// What something of the table is called before the swap.
#[must_use]
pub fn new_name(name: &str) -> String {
    marked_name(name, "presplit_new")
}

/// What something of the old table is called after the swap: the so many-th that
/// is called so, from 1, for those before may be kept still.
#[must_use]
pub fn old_name(name: &str, number: u32) -> String {
    match number {
        0 | 1 => marked_name(name, OLD),
        number => marked_name(name, &format!("{OLD}{number}")),
    }
}

/// In the names of everything that was replaced together with its table.
pub const OLD: &str = "presplit_old";

/// The statements that make the new table with its shards, for its owner to run;
/// without a layout a plain one.
#[must_use]
pub fn create(
    root: &QualifiedName,
    layout: Option<&Layout>,
    staging: &QualifiedName,
    anatomy: &Anatomy,
) -> Vec<String> {
    let like = format!(
        "(LIKE {root} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED \
         INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS)"
    );
    let storage = ShardStorage {
        unlogged: anatomy.unlogged,
        options: anatomy.options.clone(),
        access_method: anatomy.access_method.clone(),
    };
    let Some(layout) = layout else {
        return vec![format!(
            "CREATE {}TABLE {staging} {like}{}",
            if storage.unlogged { "UNLOGGED " } else { "" },
            storage.clauses()
        )];
    };
    let mut all = vec![format!("CREATE TABLE {staging} {like} {}", ddl::partition_by(layout))];
    all.extend(ddl::create_shards(staging, layout, &storage));
    all
}

/// What becomes of the definitions that are indexes, of a table that is to be
/// divided, or else plain. `read` are the definitions as PostgreSQL's grammar
/// reads them.
///
/// # Errors
/// [`Refusal`] if one cannot be made right.
pub fn indexes(
    armed: Option<&Armed<'_>>,
    anatomy: &Anatomy,
    read: &[Option<Utility>],
) -> Result<Vec<Index>, Refusal> {
    let mut all = Vec::new();
    for (definition, read) in anatomy.definitions.iter().zip(read) {
        let (Some(statement), Some(name)) = (read, &definition.name) else { continue };
        let Some(unique) = unique_columns(statement) else { continue };
        let mut index = Index {
            name: name.clone(),
            text: definition.text.clone(),
            unique,
            on_shards: false,
            tablespace: definition.tablespace.clone().unwrap_or_default(),
            then: definition.then.clone(),
        };
        for action in actions(statement, armed)? {
            match action {
                Action::Root(edits) => index.text = rebuild::edited(&definition.text, &edits),
                Action::Shards => index.on_shards = true,
                _ => {}
            }
        }
        all.push(index);
    }
    Ok(all)
}

/// What is to be done for a statement about the new table.
fn actions(statement: &Utility, armed: Option<&Armed<'_>>) -> Result<Vec<Action>, Refusal> {
    let Some(armed) = armed else { return Ok(Vec::new()) };
    Ok(rewrite::decide(statement, armed)?.into_iter().flat_map(|decision| decision.actions).collect())
}

/// The columns of a unique index or constraint; none of another index; nothing
/// of what is no index.
fn unique_columns(statement: &Utility) -> Option<Vec<String>> {
    match statement {
        Utility::CreateIndex(index) if index.unique && !index.expressions => Some(index.columns.clone()),
        Utility::CreateIndex(_) => Some(Vec::new()),
        Utility::AlterTable { commands, .. } => match commands.first()? {
            AlterCommand::AddUnique { columns, .. } => Some(columns.clone()),
            AlterCommand::AddExclusion { .. } => Some(Vec::new()),
            _ => None,
        },
        _ => None,
    }
}

/// Publications that have to publish the new table as one.
///
/// # Errors
/// [`Refusal`] as in [`indexes`].
pub fn published_via_root(
    armed: Option<&Armed<'_>>,
    read: &[Option<Utility>],
) -> Result<Vec<String>, Refusal> {
    let mut all = Vec::new();
    for statement in read.iter().flatten() {
        for action in actions(statement, armed)? {
            if let Action::PublishViaRoot { publication } = action {
                let name = quote_identifier(&publication);
                all.push(format!("ALTER PUBLICATION {name} SET (publish_via_partition_root = true)"));
            }
        }
    }
    Ok(all)
}

impl Index {
    /// Whether it is by these columns that its rows are told apart.
    #[must_use]
    pub fn identifies(&self, identity: &[String]) -> bool {
        !identity.is_empty() && self.unique == identity
    }

    /// On the new table and all its shards at once, which are empty.
    #[must_use]
    pub fn everywhere(&self, root: &QualifiedName, staging: &QualifiedName) -> String {
        self.placed(root, &staging.to_string(), Some(&new_name(&self.name)))
    }

    /// On the new table alone.
    #[must_use]
    pub fn on_table(&self, root: &QualifiedName, staging: &QualifiedName) -> String {
        self.placed(root, &format!("ONLY {staging}"), Some(&new_name(&self.name)))
    }

    /// On a partition, to be attached.
    #[must_use]
    pub fn on_part(&self, root: &QualifiedName, part: &str, is_leaf: bool) -> String {
        let table = if is_leaf { part.to_owned() } else { format!("ONLY {part}") };
        self.placed(root, &table, None)
    }

    /// On a shard that alone has it, the so many-th from 1: name and statement.
    #[must_use]
    pub fn on_shard(&self, root: &QualifiedName, shard: &QualifiedName, number: usize) -> (String, String) {
        let text = rebuild::on_shard(&self.text, Some(&self.name), root, shard, number);
        (self.name_on_shard(number), text)
    }

    /// What it is called on a shard that alone has it.
    #[must_use]
    pub fn name_on_shard(&self, number: usize) -> String {
        derived_name(&self.name, &format!("s{number:04}"))
    }

    /// In the two forms that `anatomy.sql` writes.
    fn placed(&self, root: &QualifiedName, table: &str, name: Option<&str>) -> String {
        let old = quote_identifier(&self.name);
        let new = name.map(|name| format!("{} ", quote_identifier(name))).unwrap_or_default();
        let constraint = if new.is_empty() { String::new() } else { format!("CONSTRAINT {new}") };
        let text =
            self.text.replacen(&format!(" INDEX {old} ON {root} "), &format!(" INDEX {new}ON {table} "), 1);
        text.replacen(
            &format!("ALTER TABLE {root} ADD CONSTRAINT {old} "),
            &format!("ALTER TABLE {table} ADD {constraint}"),
            1,
        )
    }
}

/// A foreign key of the table, on one of its partitions.
#[must_use]
pub fn key_on_part(statement: &str, root: &QualifiedName, part: &QualifiedName) -> String {
    statement.replacen(&format!("ALTER TABLE {root} ADD "), &format!("ALTER TABLE {part} ADD "), 1)
}

/// The same on the table, whose partitions have it.
#[must_use]
pub fn adopted(statement: &str) -> &str {
    statement.strip_suffix(" NOT VALID").unwrap_or(statement)
}

/// What of the statements after the definitions is said of the new table by
/// nothing else: statistics and comments, not rights and policies.
#[must_use]
pub fn said(anatomy: &Anatomy, is_divided: bool) -> Vec<String> {
    let elsewhere = |text: &str| {
        text.starts_with("GRANT ")
            || text.starts_with("CREATE POLICY ")
            || text.starts_with("COMMENT ON POLICY ")
            || text.ends_with(" ROW LEVEL SECURITY")
    };
    let all = anatomy.afterwards.iter().filter(|text| !elsewhere(text));
    // A plain table is asked for its own.
    all.map(|text| match text.split_once(" SET (n_distinct_inherited = ") {
        Some((head, tail)) if !is_divided && head.starts_with("ALTER TABLE ") => {
            format!("{head} SET (n_distinct = {tail}")
        }
        _ => text.clone(),
    })
    .collect()
}

/// What is said of a plain table with its indexes in the end: by which it is
/// clustered, and how its rows are told apart where they are replicated.
#[must_use]
pub fn marks(root: &QualifiedName, anatomy: &Anatomy) -> Vec<String> {
    let marked =
        |words: &str, index: &String| format!("ALTER TABLE {root} {words} {}", quote_identifier(index));
    let clustered = anatomy.clustered.iter().map(|index| marked("CLUSTER ON", index));
    let identified = anatomy.identified_by.iter().map(|index| marked("REPLICA IDENTITY USING INDEX", index));
    clustered.chain(identified).collect()
}

/// Makes a column an identity with a sequence of its own, for the old table to have.
#[must_use]
pub fn identity(root: &QualifiedName, column: &str, word: &str, sequence: &QualifiedName) -> String {
    let column = quote_identifier(column);
    format!(
        "ALTER TABLE {root} ALTER COLUMN {column} ADD GENERATED {word} AS IDENTITY (SEQUENCE NAME {sequence})"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::bound::Bound;
    use crate::model::key::KeyType;
    use crate::model::key::Strategy;
    use crate::model::layout::Shard;
    use crate::model::settings::UniquePolicy;
    use crate::model::utility::CreateIndex;

    fn layout() -> Layout {
        let shard = |remainder: u32| Shard {
            name: format!("t_s{:04}", remainder + 1),
            bound: Bound::Hash { modulus: 2, remainder },
            rows: 0.0,
            bytes: 0.0,
            tablespace: None,
            future: false,
            of: None,
        };
        Layout::new(Strategy::Hash, vec!["k".to_owned()], vec![KeyType::Integer], vec![shard(0), shard(1)])
            .unwrap()
    }

    fn anatomy() -> Anatomy {
        serde_json::from_value(json!({
            "owner": "App", "unlogged": true, "options": ["fillfactor = '70'"], "access_method": null, "obstacles": [],
            "definitions": [
                {"name": "t_pkey", "text": "ALTER TABLE app.t ADD CONSTRAINT t_pkey PRIMARY KEY (k, id)"},
                {"name": "t_u", "text": "CREATE UNIQUE INDEX t_u ON app.t USING btree (u)"},
                {"name": "T note", "text": "CREATE INDEX \"T note\" ON app.t USING btree (note)"},
                {"name": "g", "text": "CREATE TRIGGER g BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION f()"}
            ],
            "references": [], "sequences": [],
            "afterwards": ["GRANT SELECT ON TABLE app.t TO PUBLIC", "ALTER TABLE app.t ALTER COLUMN k SET STATISTICS 7",
                "CREATE POLICY p ON app.t AS PERMISSIVE FOR ALL TO PUBLIC USING (true)",
                "COMMENT ON POLICY p ON app.t IS 'x'", "ALTER TABLE app.t ENABLE ROW LEVEL SECURITY",
                "COMMENT ON TABLE app.t IS 'ROW LEVEL SECURITY'"],
            "identities": ["ALTER TABLE app.t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME app.t_id_seq)",
                "SELECT pg_catalog.setval('app.t_id_seq', 5)"],
            "clustered": null, "replica_identity": null, "identified_by": null
        }))
        .unwrap()
    }

    fn read() -> Vec<Option<Utility>> {
        let relation = QualifiedName::new("app", "t");
        let index = |name: &str, column: &str, unique| {
            Some(Utility::CreateIndex(CreateIndex {
                relation: QualifiedName::new("app", "t"),
                name: Some(name.to_owned()),
                unique,
                columns: vec![column.to_owned()],
                expressions: false,
                only: false,
                concurrently: false,
            }))
        };
        let key = AlterCommand::AddUnique {
            name: Some("t_pkey".to_owned()),
            primary: true,
            columns: vec!["k".to_owned(), "id".to_owned()],
            using_index: false,
            temporal: false,
        };
        vec![
            Some(Utility::AlterTable { relation, only: false, commands: vec![key] }),
            index("t_u", "u", true),
            index("T note", "note", false),
            None,
        ]
    }

    fn found(policy: UniquePolicy) -> Vec<Index> {
        let (root, layout) = (QualifiedName::new("app", "t"), layout());
        indexes(Some(&Armed::empty(&root, &layout, policy, 15)), &anatomy(), &read()).unwrap()
    }

    #[test]
    fn the_new_table_is_made_beside_the_old_one() {
        let (root, layout) = (QualifiedName::new("app", "t"), layout());
        assert_eq!(
            create(&root, Some(&layout), &QualifiedName::new("app", "t_presplit_new"), &anatomy()),
            [
                "CREATE TABLE app.t_presplit_new (LIKE app.t INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED \
                 INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS) PARTITION BY HASH (k)",
                "CREATE UNLOGGED TABLE app.t_s0001 PARTITION OF app.t_presplit_new \
                 FOR VALUES WITH (modulus 2, remainder 0) WITH (fillfactor = '70')",
                "CREATE UNLOGGED TABLE app.t_s0002 PARTITION OF app.t_presplit_new \
                 FOR VALUES WITH (modulus 2, remainder 1) WITH (fillfactor = '70')",
            ]
        );
    }

    #[test]
    fn a_plain_table_has_its_storage_and_its_definitions_as_they_are() {
        let (root, staging) = (QualifiedName::new("app", "t"), QualifiedName::new("app", "n"));
        assert_eq!(
            create(&root, None, &staging, &anatomy()),
            [
                "CREATE UNLOGGED TABLE app.n (LIKE app.t INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED \
              INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS) WITH (fillfactor = '70')"
            ]
        );
        let all = indexes(None, &anatomy(), &read()).unwrap();
        assert_eq!(
            all[1].everywhere(&root, &staging),
            "CREATE UNIQUE INDEX t_u_presplit_new ON app.n USING btree (u)"
        );
        assert!(all.iter().all(|index| !index.on_shards));
        assert_eq!(published_via_root(None, &read()), Ok(Vec::new()));
        let anatomy = Anatomy {
            afterwards: vec![
                "ALTER TABLE app.t ALTER COLUMN k SET (n_distinct_inherited = 7)".to_owned(),
                "COMMENT ON TABLE app.t IS 'x SET (n_distinct_inherited = 7)'".to_owned(),
            ],
            clustered: Some("T note".to_owned()),
            identified_by: Some("t_u".to_owned()),
            ..anatomy()
        };
        let plain = said(&anatomy, false);
        assert_eq!(plain[0], "ALTER TABLE app.t ALTER COLUMN k SET (n_distinct = 7)");
        assert_eq!(plain[1], anatomy.afterwards[1]);
        assert_eq!(said(&anatomy, true), anatomy.afterwards);
        assert_eq!(
            marks(&root, &anatomy),
            ["ALTER TABLE app.t CLUSTER ON \"T note\"", "ALTER TABLE app.t REPLICA IDENTITY USING INDEX t_u"]
        );
    }

    #[test]
    fn names_aside_are_numbered() {
        assert_eq!(old_name("t", 1), "t_presplit_old");
        assert_eq!(old_name("t", 2), "t_presplit_old2");
        let long = "x".repeat(63);
        assert_eq!(old_name(&long, 12).len(), 63);
        assert!(old_name(&long, 12).ends_with("_presplit_old12"));
    }

    #[test]
    fn indexes_have_other_names_until_the_swap() {
        let (root, staging) = (QualifiedName::new("app", "t"), QualifiedName::new("app", "n"));
        let all = found(UniquePolicy::Extend);
        let names: Vec<&str> = all.iter().map(|index| index.name.as_str()).collect();
        assert_eq!(names, ["t_pkey", "t_u", "T note"]);
        assert_eq!(
            all[0].everywhere(&root, &staging),
            "ALTER TABLE app.n ADD CONSTRAINT t_pkey_presplit_new PRIMARY KEY (k, id)"
        );
        assert_eq!(
            all[1].on_table(&root, &staging),
            "CREATE UNIQUE INDEX t_u_presplit_new ON ONLY app.n USING btree (u, k)"
        );
        assert_eq!(all[2].on_part(&root, "app.s", true), "CREATE INDEX ON app.s USING btree (note)");
        assert_eq!(all[2].on_part(&root, "app.b", false), "CREATE INDEX ON ONLY app.b USING btree (note)");
        assert_eq!(all[0].on_part(&root, "app.s", true), "ALTER TABLE app.s ADD PRIMARY KEY (k, id)");
        let identity = ["k".to_owned(), "id".to_owned()];
        assert!(all[0].identifies(&identity) && !all[1].identifies(&identity));
        assert!(!all[2].identifies(&[]));
    }

    #[test]
    fn what_only_shards_have_has_a_name_of_its_own_there() {
        let (root, shard) = (QualifiedName::new("app", "t"), QualifiedName::new("app", "t_s0002"));
        let all = found(UniquePolicy::PerShard);
        assert!(all[1].on_shards && !all[0].on_shards && !all[2].on_shards);
        assert_eq!(
            all[1].on_shard(&root, &shard, 2),
            (
                "t_u_s0002".to_owned(),
                "CREATE UNIQUE INDEX t_u_s0002 ON app.t_s0002 USING btree (u)".to_owned()
            )
        );
    }

    #[test]
    fn rights_and_policies_come_from_elsewhere() {
        assert_eq!(
            said(&anatomy(), true),
            [
                "ALTER TABLE app.t ALTER COLUMN k SET STATISTICS 7",
                "COMMENT ON TABLE app.t IS 'ROW LEVEL SECURITY'"
            ]
        );
        assert_eq!(
            identity(&QualifiedName::new("app", "t"), "Id", "ALWAYS", &QualifiedName::new("app", "s_old")),
            "ALTER TABLE app.t ALTER COLUMN \"Id\" ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME app.s_old)"
        );
        let key = "ALTER TABLE app.t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES app.t(id) NOT VALID";
        let root = QualifiedName::new("app", "t");
        assert_eq!(
            key_on_part(key, &root, &QualifiedName::new("app", "t_s0001")),
            "ALTER TABLE app.t_s0001 ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES app.t(id) NOT VALID"
        );
        assert!(adopted(key).ends_with("app.t(id)"));
    }
}
