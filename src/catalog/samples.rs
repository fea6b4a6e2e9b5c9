//! Sampled values of key columns: what shared memory holds, and what the
//! worker has written down of it.
//!
//! Invariant: storage is bounded. A sketch has a fixed size, and the table
//! keeps the columns that were sampled last. Only roles that may read all
//! data see values; that is checked where they are shown.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::model::name::QualifiedName;
use crate::model::profile::Profile;
use crate::model::sample::Access;
use crate::model::sample::SampledValues;
use crate::model::sample::Sketch;
use crate::pg::context::as_extension_owner;
use crate::pg::sample;
use crate::pg::spi;

/// Seconds between two times that shared memory is written down.
const SECONDS_BETWEEN_FOLDS: f64 = 60.0;

/// Sketches that are kept in the table.
const SKETCHES_MAX: i64 = 5000;

/// What was sampled of one access to one column.
#[derive(Debug, Clone)]
pub struct ColumnSample {
    /// Its oid.
    pub relation: u32,
    pub name: QualifiedName,
    pub column: String,
    pub values: SampledValues,
}

/// Relation, attribute number, access.
type Key = (u32, i16, Access);

#[derive(Deserialize)]
struct Stored {
    relation: u32,
    attribute: i16,
    sketch: SampledValues,
}

#[derive(Deserialize)]
struct Named {
    relation: u32,
    attribute: i16,
    schema: String,
    table: String,
    column: String,
}

/// Whether the extension in this database is new enough to have the table.
fn is_there() -> Result<bool, ErrorReport> {
    spi::one::<bool>(
        "SELECT /* pg_presplit capture */ to_regclass('presplit.sampled_columns') IS NOT NULL",
        &[],
    )
    .map(Option::unwrap_or_default)
}

/// Moves what shared memory holds of this database into the table, unless
/// that was done a moment ago; forgets columns that are gone.
pub fn fold() -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        if !is_there()? || !is_due()? {
            return Ok(());
        }
        let mut random = sample::random();
        for one in sample::drain() {
            let key = (one.relation, one.attribute, one.access);
            let mut sketch = stored(key)?.map_or(Sketch::EMPTY, |stored| stored.sketch());
            sketch.merge(&one.sketch, &mut random);
            store(key, &SampledValues::of(one.access, &sketch))?;
        }
        forget()
    })
}

fn is_due() -> Result<bool, ErrorReport> {
    spi::one::<bool>(
        "SELECT NOT EXISTS (SELECT FROM presplit.sampled_columns
                            WHERE last_at > clock_timestamp() - make_interval(secs => $1))",
        &[SECONDS_BETWEEN_FOLDS.into()],
    )
    .map(Option::unwrap_or_default)
}

fn stored((relation, attribute, access): Key) -> Result<Option<SampledValues>, ErrorReport> {
    let found = spi::rows::<SampledValues>(
        "SELECT sketch::text FROM presplit.sampled_columns
         WHERE relation = $1::oid AND attribute = $2 AND access = $3",
        &[i64::from(relation).into(), attribute.into(), access.word().into()],
    )?;
    Ok(found.into_iter().next())
}

fn store((relation, attribute, access): Key, sketch: &SampledValues) -> Result<(), ErrorReport> {
    let sketch = serde_json::json!(sketch).to_string();
    spi::run(
        "INSERT INTO presplit.sampled_columns (relation, attribute, access, sketch)
         VALUES ($1::oid, $2, $3, $4::jsonb)
         ON CONFLICT (relation, attribute, access) DO UPDATE SET
             sketch = EXCLUDED.sketch, last_at = clock_timestamp()",
        &[i64::from(relation).into(), attribute.into(), access.word().into(), sketch.as_str().into()],
    )?;
    Ok(())
}

/// Forgets columns that were dropped, and the longest untouched if there are
/// too many.
fn forget() -> Result<(), ErrorReport> {
    spi::run(
        "DELETE FROM presplit.sampled_columns AS s
         WHERE NOT EXISTS (SELECT FROM pg_attribute AS a
                           WHERE a.attrelid = s.relation AND a.attnum = s.attribute AND NOT a.attisdropped)
            OR (s.relation, s.attribute, s.access) IN (
                   SELECT o.relation, o.attribute, o.access FROM presplit.sampled_columns AS o
                   ORDER BY o.last_at DESC, o.relation, o.attribute, o.access OFFSET $1)",
        &[SKETCHES_MAX.into()],
    )?;
    Ok(())
}

/// Everything sampled in this database, written down or not, by table, column
/// and access.
pub fn all() -> Result<Vec<ColumnSample>, ErrorReport> {
    as_extension_owner(|| {
        let mut found: BTreeMap<Key, Box<Sketch>> = BTreeMap::new();
        if is_there()? {
            let rows = spi::rows::<Stored>(
                "SELECT jsonb_build_object('relation', relation::oid::bigint, 'attribute', attribute,
                                           'sketch', sketch)::text
                 FROM presplit.sampled_columns",
                &[],
            )?;
            for row in rows {
                let key = (row.relation, row.attribute, row.sketch.access);
                found.insert(key, Box::new(row.sketch.sketch()));
            }
        }
        let mut random = sample::random();
        for one in sample::snapshot() {
            let key = (one.relation, one.attribute, one.access);
            let sketch = found.entry(key).or_insert_with(|| Box::new(Sketch::EMPTY));
            sketch.merge(&one.sketch, &mut random);
        }
        named(&found)
    })
}

/// The sketches with the names of their columns; without those that are gone.
fn named(sketches: &BTreeMap<Key, Box<Sketch>>) -> Result<Vec<ColumnSample>, ErrorReport> {
    let oids: std::collections::BTreeSet<String> = sketches.keys().map(|key| key.0.to_string()).collect();
    let oids: Vec<String> = oids.into_iter().collect();
    let columns = spi::rows::<Named>(
        "SELECT jsonb_build_object('relation', a.attrelid::bigint, 'attribute', a.attnum,
                                   'schema', n.nspname, 'table', c.relname, 'column', a.attname)::text
         FROM pg_attribute AS a
         JOIN pg_class AS c ON c.oid = a.attrelid
         JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.oid = ANY (string_to_array($1, ',')::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY n.nspname, c.relname, a.attnum",
        &[oids.join(",").as_str().into()],
    )?;
    let mut samples = Vec::new();
    for column in columns {
        for access in Access::ALL {
            if let Some(sketch) = sketches.get(&(column.relation, column.attribute, access)) {
                samples.push(ColumnSample {
                    relation: column.relation,
                    name: QualifiedName::new(&column.schema, &column.table),
                    column: column.column.clone(),
                    values: SampledValues::of(access, sketch),
                });
            }
        }
    }
    Ok(samples)
}

/// Adds what was sampled to the columns of a live profile, if this role may
/// read all data.
pub fn add_to(profile: &mut Profile, user: &str) -> Result<(), ErrorReport> {
    let reads = spi::one::<bool>("SELECT pg_has_role($1, 'pg_read_all_data', 'USAGE')", &[user.into()])?;
    if reads != Some(true) {
        return Ok(());
    }
    for sample in all()? {
        let column = profile
            .tables
            .iter_mut()
            .find(|table| table.schema == sample.name.schema && table.table == sample.name.name)
            .and_then(|table| table.columns.iter_mut().find(|column| column.name == sample.column));
        if let Some(column) = column {
            column.sampled.push(sample.values);
        }
    }
    Ok(())
}
