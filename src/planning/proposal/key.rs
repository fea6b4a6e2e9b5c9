//! The key of a division: the columns of its first level, and those by which
//! its shards are divided again.
//!
//! Not here: which keys are worth weighing (`candidate`). Invariant: a key
//! without columns is that of a whole table; no column is there twice.

use crate::model::key::KeyType;
use crate::model::profile::Column;

/// One column of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    pub name: String,
    pub key_type: KeyType,
}

impl From<&Column> for KeyColumn {
    fn from(column: &Column) -> Self {
        Self { name: column.name.clone(), key_type: column.type_name.key_type() }
    }
}

/// One or two columns of the first level, and of the second if there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardKey {
    pub first: Vec<KeyColumn>,
    /// Columns of the second level, hashed; empty where there is none.
    pub second: Vec<KeyColumn>,
}

impl ShardKey {
    /// A key of one column on one level.
    pub fn of(column: &Column) -> Self {
        Self { first: vec![column.into()], second: Vec::new() }
    }

    /// The same with a second level.
    pub fn then(mut self, column: &Column) -> Self {
        self.second = vec![column.into()];
        self
    }

    /// The leading column of the first level; empty for a whole table.
    pub fn leading(&self) -> &str {
        self.first.first().map_or("", |column| column.name.as_str())
    }

    /// The column, if the key has one level of one column.
    pub fn single(&self) -> Option<&str> {
        match (self.first.as_slice(), self.second.is_empty()) {
            ([column], true) => Some(&column.name),
            _ => None,
        }
    }

    /// The columns of all levels, each once: every unique constraint has to
    /// contain them.
    pub fn columns(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for column in self.first.iter().chain(&self.second) {
            if !names.contains(&column.name) {
                names.push(column.name.clone());
            }
        }
        names
    }

    pub fn contains(&self, name: &str) -> bool {
        self.first.iter().chain(&self.second).any(|column| column.name == name)
    }

    /// The columns of the first level.
    pub fn first_names(&self) -> Vec<String> {
        self.first.iter().map(|column| column.name.clone()).collect()
    }

    /// Types of the columns of the first level.
    pub fn key_types(&self) -> Vec<KeyType> {
        self.first.iter().map(|column| column.key_type).collect()
    }
}
