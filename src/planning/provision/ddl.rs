//! The statements that create the shards of a layout.
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

/// The clause that makes a table partitioned: `PARTITION BY RANGE (a)`.
#[must_use]
pub fn partition_by(layout: &Layout) -> String {
    let word = match layout.strategy() {
        Strategy::Hash => "HASH",
        Strategy::List => "LIST",
        Strategy::Range | Strategy::None | Strategy::RangeHash | Strategy::ListHash => "RANGE",
    };
    format!("PARTITION BY {word} ({})", quote_identifiers(layout.shard_key()))
}

/// One `CREATE TABLE … PARTITION OF` for each shard, in bound order.
#[must_use]
pub fn create_shards(root: &QualifiedName, layout: &Layout, storage: &ShardStorage) -> Vec<String> {
    layout.shards().iter().map(|shard| create_shard(root, shard, storage)).collect()
}

/// Takes from the shards the grants that `ALTER DEFAULT PRIVILEGES` gave them:
/// rows are reached through the table alone, whose grants and policies count.
#[must_use]
pub fn revoke_grants(root: &QualifiedName) -> String {
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
        WHERE t.isleaf AND t.level > 0 AND a.grantee <> c.relowner
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON TABLE %s FROM %s', granted.shard, granted.grantee);
    END LOOP;
END",
        quote_literal(&root.to_string()),
    );
    format!("DO {}", quote_literal(&body))
}

fn create_shard(root: &QualifiedName, shard: &Shard, storage: &ShardStorage) -> String {
    let mut text = format!(
        "CREATE {}TABLE {} PARTITION OF {root} {}",
        if storage.unlogged { "UNLOGGED " } else { "" },
        root.sibling(&shard.name),
        shard.bound.sql(),
    );
    if let Some(method) = &storage.access_method {
        text.push_str(&format!(" USING {}", quote_identifier(method)));
    }
    if !storage.options.is_empty() {
        text.push_str(&format!(" WITH ({})", storage.options.join(", ")));
    }
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
