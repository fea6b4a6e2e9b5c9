//! Whether a table that takes another's place is what that one is: its columns
//! and checks, who may do what, and everything outside by whose names its
//! definitions are written.
//!
//! Definitions are texts. Between the moment in which the server writes one and
//! that in which it is run, a function, a role or a table in it may get another
//! name, and something else the old one. So the versions of all of them are read
//! before and compared in the end.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::pg::context::as_extension_owner;
use crate::pg::context::with_pinned_search_path;
use crate::pg::context::with_pinned_texts;
use crate::pg::spi;

/// What lies outside of some tables and matters to them, each with its version.
/// What the transaction itself has written is left out.
pub fn outside(tables: &[u32]) -> Result<Vec<String>, ErrorReport> {
    let tables: Vec<i64> = tables.iter().map(|oid| i64::from(*oid)).collect();
    as_extension_owner(|| spi::column::<String>(include_str!("queries/whole_outside.sql"), &[tables.into()]))
}

/// Who may do what with a table and its columns. Rights are given without a
/// lock of the table.
pub fn rights(table: u32) -> Result<String, ErrorReport> {
    with_pinned_search_path(|| {
        spi::one::<String>(
            "SELECT concat_ws(' ', c.relowner, c.relacl,
                 (SELECT string_agg(a.attnum || '=' || a.attacl::text, ' ' ORDER BY a.attnum)
                  FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL))
             FROM pg_class AS c WHERE c.oid = $1::bigint::oid",
            &[i64::from(table).into()],
        )
    })
    .map(Option::unwrap_or_default)
}

/// The first column or check of a table, as people call it, that another table
/// has not or has otherwise.
pub fn lacking(table: u32, other: u32) -> Result<Option<String>, ErrorReport> {
    with_pinned_texts(|| {
        spi::one::<String>(
            "WITH columns AS (
                 SELECT a.attrelid, a.attname, a.attnotnull AND NOT EXISTS (
                            SELECT FROM pg_constraint AS k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
                              AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated) AS filled,
                     concat_ws(' ', row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum),
                         format_type(a.atttypid, a.atttypmod), a.attcollation, a.attgenerated, a.attstorage, a.attcompression,
                         pg_get_expr(d.adbin, d.adrelid)) AS text
                 FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                 WHERE a.attrelid IN ($1::bigint::oid, $2::bigint::oid) AND a.attnum > 0 AND NOT a.attisdropped
             ), checks AS (
                 SELECT k.conrelid, k.conname, pg_get_constraintdef(k.oid) AS text FROM pg_constraint AS k
                 WHERE k.conrelid IN ($1::bigint::oid, $2::bigint::oid) AND k.contype = 'c' AND k.convalidated)
             SELECT min(f.what) FROM (
                 SELECT format('column %I', c.attname) AS what FROM columns AS c
                 WHERE c.attrelid = $1::bigint::oid AND NOT EXISTS (
                     SELECT FROM columns AS o WHERE o.attrelid = $2::bigint::oid AND o.attname = c.attname
                       AND o.text = c.text AND (o.filled OR NOT c.filled))
                 UNION ALL
                 SELECT format('column %I', c.attname) FROM columns AS c
                 WHERE c.attrelid = $2::bigint::oid AND NOT EXISTS (
                     SELECT FROM columns AS o WHERE o.attrelid = $1::bigint::oid AND o.attname = c.attname)
                 UNION ALL
                 SELECT format('constraint %I', c.conname) FROM checks AS c
                 WHERE c.conrelid = $1::bigint::oid AND coalesce((SELECT (to_jsonb(k)->>'conenforced')::bool FROM pg_constraint AS k
                                                                 WHERE k.conrelid = c.conrelid AND k.conname = c.conname), true)
                   AND NOT EXISTS (
                     SELECT FROM checks AS o WHERE o.conrelid = $2::bigint::oid AND o.conname = c.conname AND o.text = c.text)) AS f",
            &[i64::from(table).into(), i64::from(other).into()],
        )
    })
}

/// An identity column.
#[derive(Debug, Clone, Deserialize)]
pub struct Identity {
    pub column: String,
    /// `ALWAYS` or `BY DEFAULT`.
    pub word: String,
    pub sequence: String,
}

/// The identity columns of a table.
pub fn identities(table: u32) -> Result<Vec<Identity>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::rows::<Identity>(
            "SELECT jsonb_build_object('column', a.attname, 'sequence', s.relname,
                 'word', CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END)::text
             FROM pg_attribute AS a
             JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
                 AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'
             JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
             WHERE a.attrelid = $1::bigint::oid AND a.attidentity <> '' AND NOT a.attisdropped
             ORDER BY a.attnum",
            &[i64::from(table).into()],
        )
    })
}

/// Two tables exchange the sequences of their identity columns of the same
/// names. Whoever calls a sequence itself goes on with the one that he has.
pub fn exchange_identities(one: u32, other: u32) -> Result<(), ErrorReport> {
    spi::run(
        "UPDATE pg_catalog.pg_depend AS d SET refobjid = there.attrelid, refobjsubid = there.attnum
         FROM pg_catalog.pg_attribute AS here, pg_catalog.pg_attribute AS there, pg_catalog.pg_class AS s
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid AND d.deptype = 'i'
           AND s.oid = d.objid AND s.relkind = 'S'
           AND d.refobjid = here.attrelid AND d.refobjsubid = here.attnum AND here.attidentity <> ''
           AND there.attname = here.attname AND there.attidentity <> ''
           AND (here.attrelid, there.attrelid) IN (($1::bigint::oid, $2::bigint::oid), ($2::bigint::oid, $1::bigint::oid))",
        &[i64::from(one).into(), i64::from(other).into()],
    )
    .map(|_| ())
}

/// The branches and indexes of a table: whoever alters one of these does not
/// have to lock the table itself.
pub fn own_relations(table: u32) -> Result<Vec<Oid>, ErrorReport> {
    spi::column::<Oid>(
        "SELECT t.relid::oid FROM pg_partition_tree($1::bigint::oid) AS t WHERE t.level > 0 AND NOT t.isleaf
         UNION
         SELECT i.indexrelid FROM pg_index AS i WHERE i.indrelid = $1::bigint::oid
         ORDER BY 1",
        &[i64::from(table).into()],
    )
}
