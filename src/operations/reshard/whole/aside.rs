//! What the old table and all that is its own are called after the swap, so that
//! the new one can have the names.
//!
//! They are free names: tables that were replaced before may be kept still. So
//! may shards of this table that a split or merge has replaced; these give their
//! names away too, for they cannot come back once their table is another.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::facets;
use crate::catalog::retired;
use crate::catalog::succession;
use crate::catalog::succession::Identity;
use crate::catalog::whole_table;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::report::SqlState;
use crate::pg::error;
use crate::planning::provision::staged;

/// Tables of one name that may have been replaced and be kept.
const NUMBERS: u32 = 1_000;

/// Names that are free for everything that goes aside.
pub struct Aside {
    number: u32,
    /// The old table.
    pub table: QualifiedName,
    /// Its partitions, each after the one that it is in.
    pub partitions: Vec<QualifiedName>,
    things: Vec<Thing>,
    identities: Vec<Identity>,
}

/// Something that has a name in a schema.
struct Thing {
    /// As in `ALTER … RENAME`.
    kind: String,
    name: QualifiedName,
}

impl Thing {
    fn of(table: u32, name: QualifiedName) -> Result<Vec<Self>, ErrorReport> {
        let named = whole_table::named(table)?.into_iter();
        // An identity's sequence stays with the column of the new table.
        let mut all: Vec<Self> = named
            .filter(|thing| thing.kind != "SEQUENCE")
            .map(|thing| Self { kind: thing.kind, name: QualifiedName::new(&thing.schema, &thing.name) })
            .collect();
        all.push(Self { kind: "TABLE".to_owned(), name });
        Ok(all)
    }
}

impl Aside {
    /// Names for a table and what is its own.
    ///
    /// # Errors
    /// If there are none, or the catalogs cannot be read.
    pub fn find(root: &QualifiedName, root_oid: u32) -> Result<Self, ErrorReport> {
        let mut things = Thing::of(root_oid, root.clone())?;
        let parts = whole_table::partitions(Oid::from(root_oid))?;
        let mut partitions = Vec::with_capacity(parts.len());
        for part in &parts {
            let name = QualifiedName::new(&part.schema, &part.name);
            partitions.push(name.clone());
            things.extend(Thing::of(part.oid, name)?);
        }
        for (shard, name) in retired::of_table(root_oid)? {
            if !name.name.contains(staged::OLD) {
                things.extend(Thing::of(shard, name)?);
            }
        }
        let identities = succession::identities(root_oid)?;
        let mut aside = Self { number: 0, table: root.clone(), partitions: Vec::new(), things, identities };
        aside.number = aside.free_number(root)?;
        aside.table = aside.called(root);
        aside.partitions = partitions.iter().map(|name| aside.called(name)).collect();
        Ok(aside)
    }

    fn free_number(&self, root: &QualifiedName) -> Result<u32, ErrorReport> {
        for number in 1..=NUMBERS {
            if self.is_free(root, number)? {
                return Ok(number);
            }
        }
        Err(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("there is no name left for what was table \"{root:#}\""),
            Some(format!("Names with {} and a number are taken.", staged::OLD)),
            Some("Drop or rename them.".to_owned()),
        ))
    }

    fn is_free(&self, root: &QualifiedName, number: u32) -> Result<bool, ErrorReport> {
        let sequences = self.identities.iter().map(|identity| root.sibling(&identity.sequence));
        let all: Vec<QualifiedName> = self
            .things
            .iter()
            .map(|thing| thing.name.clone())
            .chain(sequences)
            .map(|name| name.sibling(staged::old_name(&name.name, number)))
            .collect();
        let mut schemas: Vec<&String> = all.iter().map(|name| &name.schema).collect();
        schemas.sort_unstable();
        schemas.dedup();
        for schema in schemas {
            let of_schema = all.iter().filter(|name| name.schema == *schema);
            let mut wanted: Vec<String> = of_schema.map(|name| name.name.clone()).collect();
            let count = wanted.len();
            wanted.sort_unstable();
            wanted.dedup();
            // Long names may be cut to the same.
            if wanted.len() < count || !facets::taken(schema, &wanted)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn called(&self, name: &QualifiedName) -> QualifiedName {
        name.sibling(staged::old_name(&name.name, self.number))
    }

    /// The statements that give the names.
    pub fn renames(&self) -> Vec<String> {
        let rename = |thing: &Thing| {
            let called = quote_identifier(&self.called(&thing.name).name);
            format!("ALTER {} {} RENAME TO {called}", thing.kind, thing.name)
        };
        self.things.iter().map(rename).collect()
    }

    /// The statements that give the new table identity columns, with sequences
    /// that the old one is to have.
    pub fn identities(&self, root: &QualifiedName) -> Vec<String> {
        self.identities
            .iter()
            .map(|identity| {
                let sequence = self.called(&root.sibling(&identity.sequence));
                staged::identity(root, &identity.column, &identity.word, &sequence)
            })
            .collect()
    }
}
