//! The statements that create the shards of a layout, on one level or two.
//!
//! Text only. Invariant: every name is qualified and quoted, so that a
//! session's search_path changes nothing.

use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::layout::Shard;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::name::quote_literal;

/// Properties that a partitioned root cannot have and its shards take over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardStorage {
    pub unlogged: bool,
    /// Storage parameters as they are written.
    pub options: Vec<String>,
    pub access_method: Option<String>,
}

impl ShardStorage {
    /// What a statement that makes a table says of it, besides `UNLOGGED`.
    #[must_use]
    pub fn clauses(&self) -> String {
        let mut text = String::new();
        if let Some(method) = &self.access_method {
            text.push_str(&format!(" USING {}", quote_identifier(method)));
        }
        if !self.options.is_empty() {
            text.push_str(&format!(" WITH ({})", self.options.join(", ")));
        }
        text
    }
}

/// The clause that makes a table partitioned: `PARTITION BY RANGE (a)`.
#[must_use]
pub fn partition_by(layout: &Layout) -> String {
    let word = match layout.first_strategy() {
        Strategy::Hash => "HASH",
        Strategy::List => "LIST",
        Strategy::Range | Strategy::None | Strategy::RangeHash | Strategy::ListHash => "RANGE",
    };
    format!("PARTITION BY {word} ({})", quote_identifiers(layout.first_key()))
}

/// One `CREATE TABLE … PARTITION OF` for each shard, in bound order; that of a
/// branch comes before those of its shards. A branch has no storage of its own.
#[must_use]
pub fn create_shards(root: &QualifiedName, layout: &Layout, storage: &ShardStorage) -> Vec<String> {
    let mut statements = Vec::new();
    let mut of = None;
    for shard in layout.shards() {
        let branch = layout.branch_of(shard);
        if let Some(branch) = branch.filter(|_| shard.of != of) {
            statements.push(format!(
                "CREATE TABLE {} PARTITION OF {root} {} PARTITION BY HASH ({})",
                root.sibling(&branch.name),
                branch.bound.sql(),
                quote_identifiers(&branch.shard_key)
            ));
        }
        of = shard.of;
        let parent = branch.map_or_else(|| root.clone(), |branch| root.sibling(&branch.name));
        statements.push(create_shard(&parent, shard, storage));
    }
    statements
}

/// An anonymous block of PL/pgSQL.
#[must_use]
pub fn block(body: &str) -> String {
    let mut tag = "$do$".to_owned();
    let mut number = 0;
    while body.contains(&tag) {
        number += 1;
        tag = format!("$do{number}$");
    }
    format!("DO {tag}\n{body}\n{tag}")
}

/// Takes from all partitions the grants that `ALTER DEFAULT PRIVILEGES` gave
/// them: rows are reached through the table alone, whose grants and policies
/// count. `and_root`: from the table too, which gets others.
#[must_use]
pub fn revoke_grants(root: &QualifiedName, and_root: bool) -> String {
    let partitions = if and_root { "" } else { "t.level > 0 AND " };
    let body = format!(
        "DECLARE granted record;
BEGIN
    FOR granted IN
        SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, c.relname) AS shard,
               CASE a.grantee WHEN 0 THEN 'PUBLIC'
                    ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END AS grantee
        FROM pg_catalog.pg_partition_tree({}::pg_catalog.regclass) AS t
        JOIN pg_catalog.pg_class AS c ON c.oid = t.relid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
        WHERE {partitions}a.grantee <> c.relowner
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON TABLE %s FROM %s', granted.shard, granted.grantee);
    END LOOP;
END",
        quote_literal(&root.to_string()).trim_start(),
    );
    block(&body)
}

fn create_shard(parent: &QualifiedName, shard: &Shard, storage: &ShardStorage) -> String {
    let mut text = format!(
        "CREATE {}TABLE {} PARTITION OF {parent} {}",
        if storage.unlogged { "UNLOGGED " } else { "" },
        parent.sibling(&shard.name),
        shard.bound.sql(),
    );
    text.push_str(&storage.clauses());
    if let Some(tablespace) = &shard.tablespace {
        text.push_str(&format!(" TABLESPACE {}", quote_identifier(tablespace)));
    }
    text
}

/// The definition of a unique constraint or index with these columns appended
/// to its own, which are its first list in parentheses.
#[must_use]
pub fn append_key(definition: &str, columns: &[String]) -> String {
    let mut depth = 0_usize;
    let mut quote = None;
    for (at, character) in definition.char_indices() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') if depth == 1 => {
                let (head, tail) = definition.split_at(at);
                return format!("{head}, {}{tail}", quote_identifiers(columns));
            }
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    definition.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bound::Bound;
    use crate::model::key::KeyType;
    use crate::model::layout::Branch;

    fn hash_layout(modulus: u32) -> Layout {
        let shards = (0..modulus)
            .map(|remainder| Shard {
                name: format!("Or ders_s{:04}", remainder + 1),
                bound: Bound::Hash { modulus, remainder },
                rows: 0.0,
                bytes: 0.0,
                tablespace: (remainder == 1).then(|| "fast".to_owned()),
                future: false,
                of: None,
            })
            .collect();
        Layout::new(Strategy::Hash, vec!["order".to_owned()], vec![KeyType::Integer], shards).unwrap()
    }

    #[test]
    fn branches_come_before_their_shards_and_have_no_storage() {
        let leaf = |name: &str, bound, of| Shard {
            name: name.to_owned(),
            bound,
            rows: 0.0,
            bytes: 0.0,
            tablespace: Some("fast".to_owned()),
            future: false,
            of,
        };
        let hash = |remainder| Bound::Hash { modulus: 2, remainder };
        let branch = Branch {
            name: "t_b0001".to_owned(),
            bound: Bound::List { values: vec![Some("it's".to_owned())] },
            shard_key: vec!["my id".to_owned(), "b".to_owned()],
            key_types: vec![KeyType::Integer, KeyType::Text],
        };
        let shards = vec![
            leaf("t_s0001", hash(0), Some(0)),
            leaf("t_s0002", hash(1), Some(0)),
            leaf("t_default", Bound::Default, None),
        ];
        let key = vec!["a".to_owned()];
        let layout =
            Layout::two_level(Strategy::ListHash, key, vec![KeyType::Text], vec![branch], shards).unwrap();
        let storage = ShardStorage { unlogged: true, ..ShardStorage::default() };
        assert_eq!(partition_by(&layout), "PARTITION BY LIST (a)");
        assert_eq!(
            create_shards(&QualifiedName::new("app", "t"), &layout, &storage),
            [
                "CREATE TABLE app.t_b0001 PARTITION OF app.t FOR VALUES IN ('it''s') \
                 PARTITION BY HASH (\"my id\", b)",
                "CREATE UNLOGGED TABLE app.t_s0001 PARTITION OF app.t_b0001 \
                 FOR VALUES WITH (modulus 2, remainder 0) TABLESPACE fast",
                "CREATE UNLOGGED TABLE app.t_s0002 PARTITION OF app.t_b0001 \
                 FOR VALUES WITH (modulus 2, remainder 1) TABLESPACE fast",
                "CREATE UNLOGGED TABLE app.t_default PARTITION OF app.t DEFAULT TABLESPACE fast",
            ]
        );
    }

    #[test]
    fn blocks_end_where_they_should() {
        assert_eq!(block("BEGIN\nEND"), "DO $do$\nBEGIN\nEND\n$do$");
        assert_eq!(block("'$do$' '$do1$'"), "DO $do2$\n'$do$' '$do1$'\n$do2$");
    }

    #[test]
    fn the_key_is_appended_to_the_first_list() {
        let key = ["k".to_owned(), "my key".to_owned()];
        for (definition, expected) in [
            ("ADD UNIQUE (a) INCLUDE (b)", "ADD UNIQUE (a, k, \"my key\") INCLUDE (b)"),
            (
                "CREATE UNIQUE INDEX \"i(\" ON t (lower(a), (b || ')')) WHERE (c)",
                "CREATE UNIQUE INDEX \"i(\" ON t (lower(a), (b || ')'), k, \"my key\") WHERE (c)",
            ),
            ("ADD UNIQUE (\"a\"\")\")", "ADD UNIQUE (\"a\"\")\", k, \"my key\")"),
        ] {
            assert_eq!(append_key(definition, &key), expected);
        }
    }

    #[test]
    fn shards_are_created_with_quoted_names_and_their_storage() {
        let root = QualifiedName::new("App", "Or ders");
        let storage = ShardStorage {
            unlogged: true,
            options: vec!["fillfactor = '70'".to_owned()],
            access_method: Some("heap".to_owned()),
        };
        assert_eq!(
            create_shards(&root, &hash_layout(2), &storage),
            [
                "CREATE UNLOGGED TABLE \"App\".\"Or ders_s0001\" PARTITION OF \"App\".\"Or ders\" \
                 FOR VALUES WITH (modulus 2, remainder 0) USING heap WITH (fillfactor = '70')",
                "CREATE UNLOGGED TABLE \"App\".\"Or ders_s0002\" PARTITION OF \"App\".\"Or ders\" \
                 FOR VALUES WITH (modulus 2, remainder 1) USING heap WITH (fillfactor = '70') \
                 TABLESPACE fast",
            ]
        );
        assert_eq!(partition_by(&hash_layout(2)), "PARTITION BY HASH (\"order\")");
    }
}
