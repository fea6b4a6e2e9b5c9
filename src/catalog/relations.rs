//! Live relations: whether they exist, what they are, which shards they have.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::model::name::QualifiedName;
use crate::model::name::WrittenName;
use crate::model::name::derived_name;
use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::model::profile::Table;
use crate::model::report::SqlState;
use crate::pg::context::in_subtransaction;
use crate::pg::context::restricted_to;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::hash;
use crate::pg::key_value;
use crate::pg::key_value::ReadValue;
use crate::pg::key_value::Unreadable;
use crate::pg::key_value::ValueType;
use crate::pg::rows;
use crate::pg::spi;

/// A relation that exists here.
#[derive(Debug, Clone, Deserialize)]
pub struct LiveRelation {
    /// `relkind`.
    pub kind: String,
    /// Whether the current user has the owner's rights.
    pub owned: bool,
    pub partition: bool,
}

impl LiveRelation {
    #[must_use]
    pub fn is_partitioned(&self) -> bool {
        self.kind == "p"
    }

    /// Whether it is a table of any kind that is not divided.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.kind.as_str(), "r" | "m" | "f" | "v")
    }

    /// What the relation is, in words.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self.kind.as_str() {
            "r" if self.partition => "a partition",
            "r" => "a table",
            "p" => "a partitioned table",
            "v" => "a view",
            "m" => "a materialized view",
            "f" => "a foreign table",
            "S" => "a sequence",
            "i" | "I" => "an index",
            "c" => "a composite type",
            _ => "not a table",
        }
    }
}

/// Looks a relation up.
pub fn find(name: &QualifiedName) -> Result<Option<LiveRelation>, ErrorReport> {
    let found = with_pinned_search_path(|| {
        spi::rows::<LiveRelation>(
            "SELECT jsonb_build_object(
                'kind', c.relkind,
                'owned', pg_has_role(c.relowner, 'USAGE'), 'partition', c.relispartition)::text
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relname = $2",
            &[name.schema.as_str().into(), name.name.as_str().into()],
        )
    })?;
    Ok(found.into_iter().next())
}

/// The tables that have pages among a table and all its shards; none if it is
/// not there.
fn with_pages(name: &QualifiedName) -> Result<Option<Vec<Oid>>, ErrorReport> {
    let found = with_pinned_search_path(|| {
        spi::rows::<Vec<u32>>(
            "SELECT coalesce(jsonb_agg(t.relid::bigint) FILTER (WHERE pg_relation_size(t.relid) > 0), '[]')::text
             FROM pg_class AS c
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             CROSS JOIN LATERAL (SELECT c.oid AS relid WHERE c.relkind = 'r'
                                 UNION ALL
                                 SELECT p.relid FROM pg_partition_tree(c.oid) AS p WHERE c.relkind = 'p' AND p.isleaf) AS t
             WHERE n.nspname = $1 AND c.relname = $2
             GROUP BY c.oid",
            &[name.schema.as_str().into(), name.name.as_str().into()],
        )
    })?;
    Ok(found.into_iter().next().map(|oids| oids.into_iter().map(Oid::from).collect()))
}

/// Whether a table and all its shards have no page: nobody has put a row in,
/// not even one that is not committed. Rows that were deleted or rolled back
/// and not yet vacuumed away count.
pub fn has_no_pages(name: &QualifiedName) -> Result<bool, ErrorReport> {
    Ok(with_pages(name)?.is_some_and(|found| found.is_empty()))
}

/// Whether a table and all its shards have no row that is there now, whatever
/// the snapshot of the transaction. What others have not committed is not seen
/// without a lock.
pub fn is_empty(name: &QualifiedName) -> Result<bool, ErrorReport> {
    let Some(tables) = with_pages(name)? else { return Ok(false) };
    Ok(!tables.into_iter().any(rows::any))
}

/// DEFAULT shards of sharded tables, or of one, that have rows: themselves, or
/// the parts that they are divided into.
pub fn filled_defaults(relation: Option<u32>) -> Result<Vec<i64>, ErrorReport> {
    let found = spi::rows::<u32>(
        "SELECT l.relid::oid::text
         FROM presplit.sharded AS t
         JOIN pg_inherits AS i ON i.inhparent = t.relation
         JOIN pg_class AS c ON c.oid = i.inhrelid AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'
         CROSS JOIN LATERAL pg_partition_tree(c.oid) AS l
         WHERE l.isleaf AND ($1 IS NULL OR t.relation::oid::bigint = $1) AND pg_relation_size(l.relid) > 0",
        &[relation.map(i64::from).into()],
    )?;
    Ok(found.into_iter().filter(|oid| rows::any(Oid::from(*oid))).map(i64::from).collect())
}

/// Whether the current user may truncate a table.
pub fn may_truncate(name: &QualifiedName) -> Result<bool, ErrorReport> {
    with_pinned_search_path(|| {
        spi::one::<bool>(
            "SELECT has_table_privilege(c.oid, 'TRUNCATE')
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relname = $2",
            &[name.schema.as_str().into(), name.name.as_str().into()],
        )
    })
    .map(Option::unwrap_or_default)
}

/// Waits until no other transaction makes an index of a table whose parts get
/// names with one of these stems, and keeps the next ones waiting: PostgreSQL
/// chooses the names, and sees none that is not committed.
pub fn await_part_names(table: &QualifiedName, stems: &[String]) -> Result<(), ErrorReport> {
    with_pinned_search_path(|| {
        for stem in stems {
            spi::one::<String>(
                "SELECT pg_advisory_xact_lock(hashtext('presplit.part_names'), hashtext(format('%I.%I %s', $1, $2, $3)))::text",
                &[table.schema.as_str().into(), table.name.as_str().into(), stem.as_str().into()],
            )?;
        }
        Ok(())
    })
}

/// Waits until no other transaction makes an index of a table that it then makes
/// the replica identity or clusters on, and keeps the next one waiting: two that
/// each hold SHARE from their CREATE INDEX and want more would wait for each other.
pub fn await_marked_index(table: &QualifiedName) -> Result<(), ErrorReport> {
    with_pinned_search_path(|| {
        spi::one::<String>(
            "SELECT pg_advisory_xact_lock(hashtext('presplit.marked_index'), hashtext(format('%I.%I', $1, $2)))::text",
            &[table.schema.as_str().into(), table.name.as_str().into()],
        )
    })
    .map(|_| ())
}

/// Whether a publication publishes via the root already. Waits until no other
/// transaction is about to make it so, and keeps the next one waiting: the server
/// lets two statements add tables at once, but not change an option.
pub fn publishes_via_root(publication: &str) -> Result<bool, ErrorReport> {
    with_pinned_search_path(|| {
        spi::one::<String>(
            "SELECT pg_advisory_xact_lock(hashtext('presplit.publication'), hashtext($1))::text",
            &[publication.into()],
        )?;
        spi::one::<bool>(
            "SELECT p.pubviaroot FROM pg_publication AS p WHERE p.pubname = $1",
            &[publication.into()],
        )
    })
    .map(Option::unwrap_or_default)
}

/// The oids of those of some tables that are here.
pub fn oids(names: &[QualifiedName]) -> Result<Vec<Oid>, ErrorReport> {
    let written: Vec<String> = names.iter().map(ToString::to_string).collect();
    let found = with_pinned_search_path(|| {
        spi::rows::<u32>(
            "SELECT c.oid::text
             FROM unnest($1::text[]) AS x JOIN pg_class AS c ON c.oid = to_regclass(x) AND c.relkind IN ('r', 'p')",
            &[written.into()],
        )
    })?;
    Ok(found.into_iter().map(Oid::from).collect())
}

/// The columns of a partitioned table that take no NULL; none if there is no
/// such table.
pub fn not_null_columns(table: &QualifiedName) -> Result<Vec<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT a.attname::text
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND a.attnotnull
             WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'p'",
            &[table.schema.as_str().into(), table.name.as_str().into()],
        )
    })
}

/// The qualified name of a relation's oid.
pub fn name_of(oid: Oid) -> Result<QualifiedName, ErrorReport> {
    let found = with_pinned_search_path(|| {
        spi::rows::<QualifiedName>(
            "SELECT jsonb_build_object('schema', n.nspname, 'name', c.relname)::text
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1",
            &[oid.into()],
        )
    })?;
    found.into_iter().next().ok_or_else(|| {
        error::new(
            SqlState::UndefinedTable,
            format!("relation with OID {} does not exist", oid.to_u32()),
            None,
            None,
        )
    })
}

/// Finds what a written name means: a qualified name is itself; one without a
/// schema must be found exactly once, here or among `known`, whatever the
/// search_path (functions of ours run with a pinned one).
pub fn resolve(text: &str, known: &[QualifiedName]) -> Result<QualifiedName, ErrorReport> {
    let written = WrittenName::parse(text)?;
    if let Some(schema) = written.schema {
        // The schema of the temporary tables of this session has a number.
        let schema = match schema.as_str() {
            "pg_temp" => hidden(&written.name)?.filter(|found| found != "pg_catalog").unwrap_or(schema),
            _ => schema,
        };
        return Ok(QualifiedName { schema, name: written.name });
    }
    let mut found = with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT n.nspname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
               AND n.nspname <> 'presplit' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'",
            &[written.name.as_str().into()],
        )
    })?;
    found.extend(known.iter().filter(|name| name.name == written.name).map(|name| name.schema.clone()));
    found.sort();
    found.dedup();
    match found.as_slice() {
        [] => Ok(QualifiedName::new(hidden(&written.name)?.as_deref().unwrap_or("public"), written.name)),
        [schema] => Ok(QualifiedName { schema: schema.clone(), name: written.name }),
        several => Err(error::new(
            SqlState::InvalidName,
            format!("relation name \"{text}\" is ambiguous"),
            Some(format!("Schemas {} have a relation of that name.", several.join(", "))),
            Some("Write it as schema.table.".to_owned()),
        )),
    }
}

/// The schema of a relation that nobody shards, so that it is refused as what
/// it is: a temporary one of the session, or one of the system.
fn hidden(name: &str) -> Result<Option<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::one::<String>(
            "SELECT n.nspname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE c.relname = $1 AND (n.oid = pg_my_temp_schema() OR n.nspname = 'pg_catalog')
             ORDER BY n.nspname = 'pg_catalog'",
            &[name.into()],
        )
    })
}

/// The columns of a table that is here.
pub fn columns(table: &QualifiedName) -> Result<Vec<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT a.attname::text
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid
             WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY a.attnum",
            &[table.schema.as_str().into(), table.name.as_str().into()],
        )
    })
}

/// Who lacks the right to create tables in a schema: the caller, or the owner
/// of a table in it, to whom its shards will belong.
pub fn may_not_create(table: &QualifiedName) -> Result<Option<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::one::<String>(
            "SELECT r.role::text
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             CROSS JOIN LATERAL (VALUES (1, current_user), (2, pg_get_userbyid(c.relowner))) AS r (place, role)
             WHERE n.nspname = $1 AND c.relname = $2 AND NOT has_schema_privilege(r.role, n.oid, 'CREATE')
             ORDER BY r.place",
            &[table.schema.as_str().into(), table.name.as_str().into()],
        )
    })
}

/// The leaf partitions of a partitioned table, in bound order as far as names
/// tell it (ours are numbered).
pub fn shards(root: &QualifiedName) -> Result<Vec<QualifiedName>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::rows::<QualifiedName>(
            "SELECT jsonb_build_object('schema', n.nspname, 'name', c.relname)::text
             FROM pg_class AS r
             JOIN pg_namespace AS s ON s.oid = r.relnamespace
             CROSS JOIN LATERAL pg_partition_tree(r.oid) AS t
             JOIN pg_class AS c ON c.oid = t.relid
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE s.nspname = $1 AND r.relname = $2 AND t.isleaf AND t.level > 0
             ORDER BY c.relname",
            &[root.schema.as_str().into(), root.name.as_str().into()],
        )
    })
}

/// The partitions of a partitioned table on all levels, parents before their
/// own.
pub fn partitions(root: &QualifiedName) -> Result<Vec<QualifiedName>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::rows::<QualifiedName>(
            "SELECT jsonb_build_object('schema', n.nspname, 'name', c.relname)::text
             FROM pg_class AS r
             JOIN pg_namespace AS s ON s.oid = r.relnamespace
             CROSS JOIN LATERAL pg_partition_tree(r.oid) AS t
             JOIN pg_class AS c ON c.oid = t.relid
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE s.nspname = $1 AND r.relname = $2 AND t.level > 0
             ORDER BY t.level, c.relname",
            &[root.schema.as_str().into(), root.name.as_str().into()],
        )
    })
}

/// The part of a partitioned index on one partition.
#[derive(Debug, Clone, Deserialize)]
pub struct IndexPart {
    pub partition: QualifiedName,
    pub index: String,
    /// Whether the partition is a shard.
    pub leaf: bool,
}

/// The part of a partitioned index on each partition of all levels.
pub fn index_parts(root: &QualifiedName, index: &str) -> Result<Vec<IndexPart>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::rows::<IndexPart>(
            "SELECT jsonb_build_object('partition', jsonb_build_object('schema', n.nspname, 'name', c.relname),
                                       'index', x.relname, 'leaf', t.isleaf)::text
             FROM pg_class AS i
             JOIN pg_namespace AS s ON s.oid = i.relnamespace
             CROSS JOIN LATERAL pg_partition_tree(i.oid) AS t
             JOIN pg_class AS x ON x.oid = t.relid
             JOIN pg_index AS p ON p.indexrelid = x.oid
             JOIN pg_class AS c ON c.oid = p.indrelid
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE s.nspname = $1 AND i.relname = $2 AND t.level > 0
             ORDER BY t.level, c.relname",
            &[root.schema.as_str().into(), index.into()],
        )
    })
}

/// The constraints and indexes that the shards of a table have under names
/// derived from this one, or under itself, while the table has none like it:
/// what `unique_policy = per_shard` and the like have put there.
pub fn parts(root: &QualifiedName, name: &str) -> Result<Vec<IndexPart>, ErrorReport> {
    // The number in a derived name is that of the shard when it was made.
    let numbered = derived_name(name, "s0000");
    let stem = numbered.strip_suffix("0000").unwrap_or(&numbered);
    with_pinned_search_path(|| {
        spi::rows::<IndexPart>(
            include_str!("queries/parts.sql"),
            &[root.schema.as_str().into(), root.name.as_str().into(), name.into(), stem.into()],
        )
    })
}

/// A foreign key that is not there yet.
pub struct ForeignKey<'a> {
    pub table: &'a QualifiedName,
    pub columns: &'a [String],
    pub references: &'a QualifiedName,
    /// Empty = the primary key.
    pub referenced_columns: &'a [String],
    /// `MATCH FULL`.
    pub full: bool,
}

/// Whether a row violates a foreign key; also if that cannot be told.
pub fn is_violated(key: &ForeignKey<'_>) -> Result<bool, ErrorReport> {
    let referenced = if key.referenced_columns.is_empty() {
        primary_key(key.references)?
    } else {
        key.referenced_columns.to_vec()
    };
    if referenced.len() != key.columns.len() || referenced.is_empty() {
        return Ok(false);
    }
    let list = |separator: &str, write: &dyn Fn(&str, &str) -> String| {
        let pairs = key.columns.iter().zip(&referenced);
        let parts: Vec<_> =
            pairs.map(|(own, other)| write(&quote_identifier(own), &quote_identifier(other))).collect();
        parts.join(separator)
    };
    let query = format!(
        "SELECT EXISTS (SELECT FROM {} AS f LEFT JOIN {} AS p ON {} WHERE ({}) AND ({}))",
        key.table,
        key.references,
        list(" AND ", &|own, other| format!("p.{other} = f.{own}")),
        list(" OR ", &|_, other| format!("p.{other} IS NULL")),
        list(if key.full { " OR " } else { " AND " }, &|own, _| format!("f.{own} IS NOT NULL")),
    );
    // Types whose operators are elsewhere cannot be compared here.
    Ok(in_subtransaction(|| with_pinned_search_path(|| spi::one::<bool>(&query, &[])))
        .map_or(Ok(Some(true)), |answer| answer)?
        .unwrap_or(true))
}

fn primary_key(table: &QualifiedName) -> Result<Vec<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT a.attname::text
             FROM pg_class AS c
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
             CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
             JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum
             WHERE n.nspname = $1 AND c.relname = $2 AND k.place <= i.indnkeyatts
             ORDER BY k.place",
            &[table.schema.as_str().into(), table.name.as_str().into()],
        )
    })
}

/// What values of a column are, and with whose rights they may be read.
#[derive(Debug, Clone, Deserialize)]
struct Readable {
    type_oid: u32,
    modifier: i32,
    collation: u32,
    /// The owner, if the values are read by functions of users' own.
    owner: Option<u32>,
}

/// A column of a shard key whose values PostgreSQL can be asked about.
#[derive(Debug, Clone)]
pub struct Asked {
    of: ValueType,
    owner: Option<Oid>,
}

impl Asked {
    /// A column of a table. None if it is not to be asked: the functions of a
    /// user's type run with the rights of the table's owner, so only those who
    /// have them may; where the table is not here, only those of a superuser or
    /// of the caller are run. Also none if the type is not here.
    pub fn of(table: &Table, column: &Column) -> Result<Option<Self>, ErrorReport> {
        let name = table.name();
        if find(&name)?.is_some() {
            return Self::live(&name, &column.name);
        }
        let own = &column.type_name;
        let text = if own.schema == "pg_catalog" {
            own.text.clone()
        } else {
            let brackets = if own.array { "[]" } else { "" };
            format!("{}{brackets}", QualifiedName::new(&own.schema, &own.name))
        };
        let collation = column.collation.as_ref().map(|found| QualifiedName::new(&found.schema, &found.name));
        let Some((type_oid, modifier)) = with_pinned_search_path(|| key_value::type_named(&text)) else {
            return Ok(None);
        };
        Self::first(
            include_str!("queries/value_of_type.sql"),
            &[type_oid.into(), modifier.into(), collation.map(|name| name.to_string()).into()],
        )
    }

    fn live(table: &QualifiedName, column: &str) -> Result<Option<Self>, ErrorReport> {
        Self::first(
            include_str!("queries/value_of_column.sql"),
            &[table.schema.as_str().into(), table.name.as_str().into(), column.into()],
        )
    }

    fn first(query: &str, arguments: &[spi::Argument<'_>]) -> Result<Option<Self>, ErrorReport> {
        let found = with_pinned_search_path(|| spi::rows::<Readable>(query, arguments))?;
        Ok(found.into_iter().next().map(|found| Self {
            of: ValueType {
                type_oid: found.type_oid.into(),
                modifier: found.modifier,
                collation: found.collation.into(),
                class: Oid::INVALID,
            },
            owner: found.owner.map(Oid::from),
        }))
    }

    /// Reads values, in their order.
    pub fn read(&self, values: &[Option<&str>]) -> Result<Vec<ReadValue>, Unreadable> {
        with_pinned_search_path(|| match self.owner {
            Some(owner) => restricted_to(owner, || key_value::read(self.of, values)),
            None => key_value::read(self.of, values),
        })
    }
}

/// PostgreSQL's own partition hash of each common value of a built-in type, so
/// that `% modulus` is the remainder; none if the type has no hash support or
/// a value is not one of it.
pub fn partition_hashes(type_name: &str, values: &[String]) -> Result<Option<Vec<u64>>, ErrorReport> {
    let oid = with_pinned_search_path(|| spi::one::<Oid>("SELECT to_regtype($1)::oid", &[type_name.into()]))?;
    Ok(oid.and_then(|oid| hash::partition_hashes(oid, values)))
}
