//! A division as a layout: with names, bounds and sizes.
//!
//! Invariant: whatever is writable becomes a layout that obeys its laws.

use crate::model::bound::Bound;
use crate::model::key::Strategy;
use crate::model::layout::Branch;
use crate::model::layout::Layout;
use crate::model::layout::Shard;
use crate::model::name::branch_name;
use crate::model::name::default_shard_name;
use crate::model::name::shard_name;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::division::span::Span;
use crate::planning::proposal::edge::Edge;
use crate::planning::proposal::key::KeyColumn;
use crate::planning::proposal::subject::Subject;

impl Division {
    /// Whether every bound can be written, without writing them.
    pub fn is_writable(&self) -> bool {
        match &self.cells {
            Cells::Whole => false,
            // Edges ascend: if the outer ones can be written, all can.
            Cells::Range { edges, .. } => {
                edges.len() >= 2 && [edges.first(), edges.last()].into_iter().flatten().all(Edge::is_writable)
            }
            Cells::Spans { spans, .. } => {
                let corners = spans.iter().flat_map(|span| [&span.lower, &span.upper]);
                corners.flat_map(|corner| [&corner.first, &corner.second]).all(Edge::is_writable)
            }
            Cells::List { groups } => groups.iter().all(|group| !group.is_empty()),
            Cells::Hash { .. } => true,
        }
    }

    /// The layout with names, bounds and sizes; `None` for a whole table, or
    /// if a bound cannot be written.
    pub fn layout(&self, subject: &Subject) -> Option<Layout> {
        if self.moduli.is_empty() { self.one_level(subject) } else { self.two_levels(subject) }
    }

    fn one_level(&self, subject: &Subject) -> Option<Layout> {
        let bounds = self.bounds()?;
        let mut shards: Vec<Shard> = bounds
            .into_iter()
            .zip(&self.rows)
            .enumerate()
            .map(|(at, ((bound, future), rows))| {
                shard(subject, shard_name(subject.stem, at + 1), bound, *rows, future)
            })
            .collect();
        if self.has_default_shard() {
            let name = default_shard_name(subject.stem);
            shards.push(shard(subject, name, Bound::Default, self.default_rows, false));
        }
        Layout::new(self.strategy(), self.key.first_names(), self.key.key_types(), shards).ok()
    }

    fn two_levels(&self, subject: &Subject) -> Option<Layout> {
        let mut bounds = self.bounds()?;
        bounds.push((Bound::Default, false));
        let mut rows = self.rows.iter();
        let (mut branches, mut shards) = (Vec::new(), Vec::new());
        for (at, ((bound, future), modulus)) in bounds.into_iter().zip(&self.moduli).enumerate() {
            let default = bound == Bound::Default;
            if *modulus == 1 {
                let (name, rows) = if default {
                    (default_shard_name(subject.stem), self.default_rows)
                } else {
                    (shard_name(subject.stem, shards.len() + 1), *rows.next()?)
                };
                shards.push(shard(subject, name, bound, rows, future));
                continue;
            }
            let name =
                if default { default_shard_name(subject.stem) } else { branch_name(subject.stem, at + 1) };
            for remainder in 0..*modulus {
                let name = shard_name(subject.stem, shards.len() + 1);
                let leaf = Bound::Hash { modulus: *modulus, remainder };
                let leaf = shard(subject, name, leaf, *rows.next()?, future);
                shards.push(Shard { of: Some(branches.len()), ..leaf });
            }
            let key = self.inner_key(at);
            branches.push(Branch {
                name,
                bound,
                shard_key: key.iter().map(|column| column.name.clone()).collect(),
                key_types: key.iter().map(|column| column.key_type).collect(),
            });
        }
        let strategy = self.strategy();
        let (mut columns, mut key_types) = (self.key.first_names(), self.key.key_types());
        if strategy == Strategy::RangeHash {
            columns.extend(self.key.second.iter().map(|column| column.name.clone()));
            key_types.extend(self.key.second.iter().map(|column| column.key_type));
        }
        Layout::two_level(strategy, columns, key_types, branches, shards).ok()
    }

    /// What a cell is hashed by, DEFAULT last: the rest of a list by the list's
    /// own key.
    pub fn inner_key(&self, cell: usize) -> &[KeyColumn] {
        match self.inner_keys.get(cell) {
            Some(key) => key,
            None if cell + 1 == self.moduli.len() => &self.key.first,
            None => &self.key.second,
        }
    }

    /// Bound of each cell but DEFAULT, and whether it is made ahead.
    fn bounds(&self) -> Option<Vec<(Bound, bool)>> {
        match &self.cells {
            Cells::Whole => None,
            Cells::Range { edges, future_from, .. } => {
                let key_type = self.key.first.first()?.key_type;
                let range = |edge: &[Edge]| {
                    let bound = Bound::Range {
                        lower: vec![edge[0].datum(key_type)?],
                        upper: vec![edge[1].datum(key_type)?],
                    };
                    Some((bound, edge[0].position() > *future_from))
                };
                edges.windows(2).map(range).collect()
            }
            Cells::Spans { spans, future_from, .. } => {
                let types = self.key.key_types();
                let range = |span: &Span| {
                    let bound =
                        Bound::Range { lower: span.lower.point(&types)?, upper: span.upper.point(&types)? };
                    Some((bound, span.lower.first.position() > *future_from))
                };
                spans.iter().map(range).collect()
            }
            Cells::List { groups } => {
                let list = |group: &Vec<String>| Bound::List {
                    values: group.iter().map(|value| Some(value.clone())).collect(),
                };
                Some(groups.iter().map(|group| (list(group), false)).collect())
            }
            Cells::Hash { modulus, .. } => {
                let hash = |remainder| Bound::Hash { modulus: *modulus, remainder };
                Some((0..*modulus).map(|remainder| (hash(remainder), false)).collect())
            }
        }
    }
}

fn shard(subject: &Subject, name: String, bound: Bound, rows: f64, future: bool) -> Shard {
    Shard {
        name,
        bound,
        rows: rows.round(),
        bytes: (rows * subject.size.bytes_per_row()).round(),
        tablespace: None,
        future,
        of: None,
    }
}
