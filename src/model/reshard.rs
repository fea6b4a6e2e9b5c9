//! What resharding replaces by what: some leaf partitions of one partitioned
//! table give way to others that accept the same keys.
//!
//! Here are the words, not how they are found (`planning::reshard`) or carried
//! out (`operations::reshard`). Invariant of a [`Change`] that exists: its
//! targets together accept exactly what its sources accept together, and every
//! row of a source belongs to one target.

use serde::Deserialize;
use serde::Serialize;

use crate::model::name::QualifiedName;
use crate::model::operation::Kind;

/// A leaf partition that is there and gives way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub oid: u32,
    pub name: QualifiedName,
    /// As PostgreSQL writes it: `FOR VALUES …` or `DEFAULT`.
    pub bound: String,
}

/// A leaf partition that comes: the table is created under its final name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub name: QualifiedName,
    pub bound: String,
    /// None = that of its source.
    pub tablespace: Option<String>,
    /// Which source it takes its leaf-level objects from: index into the sources.
    pub like: usize,
    /// Oid of the staging table, once it is created.
    #[serde(default)]
    pub oid: Option<u32>,
}

/// What an undo takes back. Its targets are there already: the shards that the
/// operation replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    pub operation_id: i64,
    /// Changes since the operation are written down: only those are brought
    /// back. Otherwise all rows are.
    pub captured: bool,
    /// The old shards were emptied after all: what is written down since the
    /// operation no more leads from what they have to what they should have.
    #[serde(default)]
    pub emptied: bool,
}

/// One operation's whole change, as it was planned. Stored with the operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The direct parent of the leaves: the table itself, or one of its branches.
    pub parent: QualifiedName,
    pub parent_oid: u32,
    /// The sharded table at the top; the parent if there is one level.
    pub root: QualifiedName,
    pub root_oid: u32,
    pub sources: Vec<Source>,
    pub targets: Vec<Target>,
    /// Columns of the primary key or of the unique index without nulls by which
    /// rows are told apart, in the index's order; the same on every source.
    /// Empty = there is none: only `online => false` is possible.
    pub identity: Vec<String>,
    pub online: bool,
    #[serde(default)]
    pub undo: Option<Undo>,
    /// None = leaves give way to leaves; otherwise the whole table to another one.
    #[serde(default)]
    pub rebuilt: Option<Rebuilt>,
}

/// What a whole table gives way to: a table that is divided as a proposal says,
/// or not at all. The change's only target is that table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    pub proposal_id: i64,
    /// What the new table is called until it takes the name of the old one.
    pub staging: QualifiedName,
    /// What the old table is called afterwards: as a shard, if its rows stay in it.
    pub aside: QualifiedName,
    pub history: History,
    /// Whether the new table is a plain one.
    #[serde(default)]
    pub plain: bool,
    /// The partitions of the new table, once they are created: each after the one that it is in.
    #[serde(default)]
    pub partitions: Vec<Part>,
}

/// A partition of a new table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub oid: u32,
    pub name: QualifiedName,
    /// Whether it holds rows itself.
    pub is_leaf: bool,
    /// What it is called after the swap, if it is not yet.
    #[serde(default)]
    pub becomes: Option<String>,
}

impl Change {
    /// The operation under whose number changes of the sources are written
    /// down: this one's own, or the one that it undoes.
    #[must_use]
    pub fn log_of(&self, operation_id: i64) -> i64 {
        self.undo.as_ref().filter(|undo| undo.captured).map_or(operation_id, |undo| undo.operation_id)
    }

    /// Whether only what is written down since an operation is brought back.
    #[must_use]
    pub fn is_captured(&self) -> bool {
        self.undo.as_ref().is_some_and(|undo| undo.captured)
    }

    /// Whether the rows stay where they are, in the table that becomes a shard.
    #[must_use]
    pub fn keeps_rows(&self) -> bool {
        self.rebuilt.as_ref().is_some_and(|rebuilt| rebuilt.history == History::Keep)
    }

    /// Whether the rows that go over are in shards now.
    #[must_use]
    pub fn is_divided(&self) -> bool {
        self.sources.iter().any(|source| source.oid != self.root_oid)
    }

    /// Every table that was made for it: oid and name, each after the one that it is in.
    #[must_use]
    pub fn made(&self) -> Vec<(u32, &QualifiedName)> {
        let targets = self.targets.iter().filter_map(|target| Some((target.oid?, &target.name)));
        let parts = self.rebuilt.iter().flat_map(|rebuilt| &rebuilt.partitions);
        targets.chain(parts.map(|part| (part.oid, &part.name))).collect()
    }

    /// Forgets what was made for it, which is gone.
    pub fn unmake(&mut self) {
        for target in &mut self.targets {
            target.oid = None;
        }
        if let Some(rebuilt) = &mut self.rebuilt {
            rebuilt.partitions.clear();
        }
    }
}

/// What becomes of the rows that a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum History {
    /// Each is copied into the shard that it belongs to.
    Split,
    /// They stay where they are: the old table becomes the first shard.
    Keep,
}

impl History {
    /// From the word that the SQL surface has.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "split" => Some(Self::Split),
            "keep" => Some(Self::Keep),
            _ => None,
        }
    }
}

/// A verb's arguments, before they are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// `at`: split points in text form; none = chosen by size. `parts`: how many.
    Split {
        at: Option<Vec<String>>,
        parts: u32,
    },
    Merge,
    Move {
        tablespace: String,
    },
}

impl Wish {
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Split { .. } => Kind::Split,
            Self::Merge => Kind::Merge,
            Self::Move { .. } => Kind::Move,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Change;
    use super::History;
    use super::Part;
    use super::QualifiedName;
    use super::Rebuilt;

    #[test]
    fn changes_that_were_stored_before_there_were_rebuilt_tables_are_read() {
        let stored = r#"{"parent": {"schema": "s", "name": "t"}, "parent_oid": 1, "root": {"schema": "s", "name": "t"},
            "root_oid": 1, "sources": [], "targets": [], "identity": ["id"], "online": true}"#;
        let change: Change = serde_json::from_str(stored).unwrap();
        assert_eq!(change.rebuilt, None);
        let rebuilt = Rebuilt {
            proposal_id: 7,
            staging: QualifiedName::new("s", "t_presplit_new"),
            aside: QualifiedName::new("s", "t_presplit_old"),
            history: History::Keep,
            plain: false,
            partitions: vec![Part {
                oid: 9,
                name: QualifiedName::new("s", "t_s0001"),
                is_leaf: true,
                becomes: None,
            }],
        };
        let mut change = Change { rebuilt: Some(rebuilt), ..change };
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change);
        assert_eq!(change.made(), [(9, &QualifiedName::new("s", "t_s0001"))]);
        change.unmake();
        assert!(change.made().is_empty());
    }

    #[test]
    fn words_of_histories_are_exact() {
        assert_eq!(History::of("split"), Some(History::Split));
        assert_eq!(History::of("keep"), Some(History::Keep));
        for word in ["", "Split", "keep ", "none"] {
            assert_eq!(History::of(word), None, "{word}");
        }
    }
}
