//! A layout that is there, or was proposed before, as a division: with its own
//! bounds, whoever set them, and the rows that are expected within.
//!
//! Ranges of time are continued in their last unit until the horizon, as they
//! will be made ahead. Not here: whether a layout is worth keeping (`present`).
//! Invariant: every layout of ours has a division, unless a column of its key
//! is gone; what comes back as a layout has the same names and bounds.

use std::cmp::Ordering;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::bound::RangePoint;
use crate::model::key::KeyType;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::layout::Part;
use crate::model::layout::Shard;
use crate::model::profile::Column;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::division::span::Corner;
use crate::planning::proposal::division::span::Span;
use crate::planning::proposal::edge::Edge;
use crate::planning::proposal::edge::Scale;
use crate::planning::proposal::hash;
use crate::planning::proposal::key::KeyColumn;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::list;
use crate::planning::proposal::range;
use crate::planning::proposal::range::along::Along;
use crate::planning::proposal::subject::Subject;

/// A layout's division, and the layout with the rows of today.
pub struct Laid {
    pub division: Division,
    pub layout: Layout,
}

/// The division of a layout; none if the table no longer has its columns, or
/// their order is not known and cannot be told from the bounds.
pub fn of_layout(input: &ProposalInput, subject: &Subject, layout: &Layout) -> Option<Laid> {
    let columns = columns(subject, layout.first_key())?;
    let parts = layout.first_level();
    let (first, places) = match layout.first_strategy() {
        Strategy::Hash => {
            let modulus = u32::try_from(parts.len()).ok()?;
            (hash::divide(input, subject, &columns, modulus), remainders(&parts)?)
        }
        Strategy::List => lists(input, subject, columns.first()?, &parts),
        Strategy::Range => ranges(input, subject, &columns, &parts)?,
        _ => return None,
    };
    let with_default = parts.iter().any(|part| *part.bound == Bound::Default);
    let first = Division { with_default: with_default || !first.has_outside(), ..first };
    let division = match layout.branches() {
        [] => first,
        _ => hashed(input, subject, layout, &parts, (first, &places))?,
    };
    let layout = with_rows(subject, layout, &parts, (&division, &places))?;
    Some(Laid { division, layout })
}

fn columns<'a>(subject: &Subject<'a>, names: &[String]) -> Option<Vec<&'a Column>> {
    names.iter().map(|name| subject.table.column(name)).collect()
}

/// The cell of each part of a hash.
fn remainders(parts: &[Part<'_>]) -> Option<Vec<usize>> {
    let remainder = |part: &Part<'_>| match part.bound {
        Bound::Hash { remainder, .. } => usize::try_from(*remainder).ok(),
        _ => None,
    };
    parts.iter().map(remainder).collect()
}

/// Lists in the order of their parts.
fn lists(
    input: &ProposalInput,
    subject: &Subject,
    column: &Column,
    parts: &[Part<'_>],
) -> (Division, Vec<usize>) {
    let mut values = list::values(subject, column);
    let known = values.clone();
    let (mut groups, mut nulls): (Vec<Vec<String>>, Option<usize>) = (Vec::new(), None);
    let mut places = Vec::new();
    for part in parts {
        let Bound::List { values: listed } = part.bound else {
            places.push(usize::MAX);
            continue;
        };
        if listed.contains(&None) {
            nulls = Some(groups.len());
        }
        let mut group = Vec::new();
        for text in listed.iter().flatten() {
            let same = known.iter().find(|value| same_value(column, &value.0, text));
            let text = same.map_or(text, |value| &value.0);
            if same.is_none() {
                values.push((text.clone(), rare_share(input, subject, column)));
            }
            group.push(text.clone());
        }
        places.push(groups.len());
        groups.push(group);
    }
    let count = groups.len();
    places.iter_mut().for_each(|place| *place = (*place).min(count));
    let mut division = list::divide(subject, column, groups, &values, input.constants);
    if let Some(cell) = nulls {
        let rows = (subject.size.rows * subject.null_share(&column.name)).min(division.default_rows);
        division.rows[cell] += rows;
        division.default_rows -= rows;
    }
    (division, places)
}

/// Whether two texts are one value, as far as that is known here.
fn same_value(column: &Column, a: &str, b: &str) -> bool {
    let kind = column.type_name.key_type();
    let flag = |text: &str| matches!(text, "t" | "true");
    a == b
        || matches!((kind.read(a), kind.read(b)), (Some(a), Some(b)) if a.compare(&b) == Some(Ordering::Equal))
        || (column.type_name.name == "bool" && flag(a) == flag(b))
}

/// Share of the rows that a value has which is not among the common ones.
fn rare_share(input: &ProposalInput, subject: &Subject, column: &Column) -> f64 {
    let Some(found) = subject.statistics(&column.name) else { return 0.0 };
    let common: f64 = found.common_fractions.iter().sum();
    let distinct = subject.distinct(&column.name, input.constants.distinct_values);
    let others = (distinct - found.common_values.len() as f64).max(1.0);
    (1.0 - found.null_fraction - common).clamp(0.0, 1.0) / others
}

/// Ranges in ascending order.
fn ranges(
    input: &ProposalInput,
    subject: &Subject,
    columns: &[&Column],
    parts: &[Part<'_>],
) -> Option<(Division, Vec<usize>)> {
    let mut found: Vec<(usize, Span)> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        match part.bound {
            Bound::Range { lower, upper } => {
                let span = Span { lower: corner(columns, lower)?, upper: corner(columns, upper)? };
                found.push((at, span));
            }
            Bound::Default => {}
            _ => return None,
        }
    }
    if found.iter().any(|(_, span)| has_no_place(&span.lower) || has_no_place(&span.upper)) {
        return by_neighbours(input, subject, columns, parts);
    }
    found.sort_by(|a, b| {
        let place = |span: &Span| (span.lower.first.position(), span.lower.second.position());
        let ((a, also), (b, other)) = (place(&a.1), place(&b.1));
        a.total_cmp(&b).then(also.total_cmp(&other))
    });
    let mut places = vec![found.len(); parts.len()];
    found.iter().enumerate().for_each(|(cell, (at, _))| places[*at] = cell);
    let spans: Vec<Span> = found.into_iter().map(|(_, span)| span).collect();
    let along = Along::of(subject, columns.first()?, input.constants);
    let contiguous = columns.len() == 1 && spans.windows(2).all(|pair| pair[0].upper == pair[1].lower);
    let mut division = if contiguous {
        let edges = spans.first().map(|span| span.lower.first.clone()).into_iter();
        let edges = edges.chain(spans.iter().map(|span| span.upper.first.clone())).collect();
        along.in_a_row(edges)
    } else {
        along.apart(columns.get(1).copied(), spans)
    };
    division.key =
        ShardKey { first: columns.iter().map(|column| (*column).into()).collect(), second: Vec::new() };
    // DEFAULT comes after the ranges that are to come.
    let last = division.cell_rows().len() - 1;
    for (place, part) in places.iter_mut().zip(parts) {
        if *part.bound == Bound::Default {
            *place = last;
        }
    }
    Some((division, places))
}

/// A point of one or more columns.
fn corner(columns: &[&Column], point: &[RangeDatum]) -> Option<Corner> {
    let mut edges = columns.iter().zip(point).map(|(column, datum)| edge(column, datum));
    let first = edges.next()?;
    Some(Corner { first, second: edges.next().unwrap_or(Edge::Lowest) })
}

/// An edge that a bound names; its place is not a number where the order of
/// its type is not known here.
fn edge(column: &Column, datum: &RangeDatum) -> Edge {
    let text = match datum {
        RangeDatum::MinValue => return Edge::Lowest,
        RangeDatum::MaxValue => return Edge::Highest,
        RangeDatum::Value(text) => text,
    };
    let kind = column.type_name.key_type();
    match kind.read(text) {
        // As it was written: a fraction has more digits than a double.
        Some(value) if kind == KeyType::Numeric => {
            Edge::Written { text: text.clone(), position: value.position() }
        }
        Some(value) => Edge::Value(value),
        None => {
            let position = Scale::of(column).and_then(|scale| scale.position(text));
            Edge::Written { text: text.clone(), position: position.unwrap_or(f64::NAN) }
        }
    }
}

fn has_no_place(corner: &Corner) -> bool {
    corner.first.position().is_nan() || corner.second.position().is_nan()
}

/// Ranges of a column whose order only PostgreSQL knows: where each begins the
/// one before it ends, but for gaps. They are taken to be of equal rows.
fn by_neighbours(
    input: &ProposalInput,
    subject: &Subject,
    columns: &[&Column],
    parts: &[Part<'_>],
) -> Option<(Division, Vec<usize>)> {
    let ends = |at: usize| match parts[at].bound {
        Bound::Range { lower, upper } => Some((lower, upper)),
        _ => None,
    };
    let ranges: Vec<usize> = (0..parts.len()).filter(|at| ends(*at).is_some()).collect();
    let chains = chains(&ranges, |at| ends(at).map(|end| end.0), |at| ends(at).map(|end| end.1))?;
    let placed = |at: usize, point: &[RangeDatum]| match edge(columns[0], &point[0]) {
        Edge::Written { text, .. } => Edge::Written { text, position: at as f64 },
        open => open,
    };
    let order = chains.concat();
    let mut places = vec![order.len(); parts.len()];
    order.iter().enumerate().for_each(|(cell, part)| places[*part] = cell);
    if chains.len() > 1 {
        let mut spans = Vec::new();
        let mut at = 0;
        for chain in &chains {
            for part in chain {
                let (lower, upper) = ends(*part)?;
                let corner = |first: Edge| Corner { first, second: Edge::Lowest };
                spans.push(Span { lower: corner(placed(at, lower)), upper: corner(placed(at + 1, upper)) });
                at += 1;
            }
            at += 1;
        }
        let mut division = Along::of(subject, columns[0], input.constants).spanned(None, None, spans, 0);
        division.key.first = columns.iter().map(|column| (*column).into()).collect();
        return Some((division, places));
    }
    let mut edges = vec![placed(0, ends(*order.first()?)?.0)];
    for (at, part) in order.iter().enumerate() {
        edges.push(placed(at + 1, ends(*part)?.1));
    }
    let rows = subject.size.rows * (1.0 - subject.null_share(&columns[0].name)) / order.len() as f64;
    let cells = Cells::Range {
        unit: None,
        edges,
        future_from: f64::INFINITY,
        closed_until: f64::INFINITY,
        follows: false,
    };
    let mut division = range::filled(subject, columns[0], cells, vec![rows; order.len()], input.constants);
    division.key.first = columns.iter().map(|column| (*column).into()).collect();
    Some((division, places))
}

/// Ranges in a row, each of which begins where the one before it ends; none if
/// one of them is in no row that has a beginning.
fn chains<'a>(
    ranges: &[usize],
    lower: impl Fn(usize) -> Option<&'a RangePoint>,
    upper: impl Fn(usize) -> Option<&'a RangePoint>,
) -> Option<Vec<Vec<usize>>> {
    let begins = |at: &&usize| !ranges.iter().any(|other| upper(*other) == lower(**at));
    let mut chains = Vec::new();
    let mut left = ranges.len();
    for first in ranges.iter().filter(begins) {
        let mut chain = vec![*first];
        left = left.checked_sub(1)?;
        while let Some(next) = ranges.iter().find(|at| lower(**at) == upper(chain[chain.len() - 1])) {
            left = left.checked_sub(1)?;
            chain.push(*next);
        }
        chains.push(chain);
    }
    (left == 0).then_some(chains)
}

/// The cells that are branches divided by hash.
fn hashed(
    input: &ProposalInput,
    subject: &Subject,
    layout: &Layout,
    parts: &[Part<'_>],
    (first, places): (Division, &[usize]),
) -> Option<Division> {
    let cells = first.cell_rows().len();
    let mut moduli = vec![1_u32; cells];
    let mut keys: Vec<Vec<KeyColumn>> = vec![Vec::new(); cells];
    // DEFAULT of lists is hashed without the heavy values of its column.
    let mut evened: Vec<&Column> = Vec::new();
    for (part, place) in parts.iter().zip(places) {
        let Some(branch) = part.branch else { continue };
        let of = &layout.branches()[branch];
        let columns = columns(subject, &of.shard_key)?;
        let count = layout.shards().iter().filter(|shard| shard.of == Some(branch)).count();
        moduli[*place] = u32::try_from(count).ok()?;
        keys[*place] = columns.iter().map(|column| (*column).into()).collect();
        if let [column] = columns.as_slice()
            && *part.bound != Bound::Default
        {
            evened.push(column);
        }
    }
    let greatest = moduli.iter().copied().max().unwrap_or(1);
    evened.dedup_by_key(|column| column.name.as_str());
    let skew =
        evened.into_iter().map(|column| hash::skew(input, subject, column, greatest)).fold(0.0, f64::max);
    // Ranges to come are hashed as the last one that is there.
    let there = cells - 1 - first.to_come;
    if let Some(last) = there.checked_sub(1) {
        let (modulus, key) = (moduli[last], keys[last].clone());
        for cell in there..cells - 1 {
            moduli[cell] = modulus;
            keys[cell].clone_from(&key);
        }
    }
    let mut key = first.key.clone();
    for column in keys.iter().flatten() {
        // DEFAULT of lists is hashed by the key of the lists.
        let is_first = layout.strategy() == Strategy::ListHash && key.first.contains(column);
        if !is_first && !key.second.contains(column) {
            key.second.push(column.clone());
        }
    }
    if key.second.is_empty() {
        key.second.clone_from(&key.first);
    }
    Some(Division { inner_keys: keys, ..first.hashed(key, moduli, skew) })
}

/// The layout with the rows that its division has in each shard.
fn with_rows(
    subject: &Subject,
    layout: &Layout,
    parts: &[Part<'_>],
    (division, places): (&Division, &[usize]),
) -> Option<Layout> {
    let cells = division.cell_rows();
    let future_from = match division.cells {
        Cells::Range { future_from, .. } | Cells::Spans { future_from, .. } => future_from,
        _ => f64::INFINITY,
    };
    let begins = |cell: usize| match &division.cells {
        Cells::Range { edges, .. } if cell + 1 < cells.len() => edges[cell].position(),
        Cells::Spans { spans, .. } if cell + 1 < cells.len() => spans[cell].lower.first.position(),
        _ => f64::NEG_INFINITY,
    };
    let mut at = 0;
    let mut shards: Vec<Shard> = Vec::new();
    for (part, place) in parts.iter().zip(places) {
        let leaves = match part.branch {
            Some(branch) => layout.shards()[at..].iter().take_while(|shard| shard.of == Some(branch)).count(),
            None => 1,
        };
        let rows = cells.get(*place).copied()? / leaves as f64;
        for shard in &layout.shards()[at..at + leaves] {
            shards.push(Shard {
                rows: rows.round(),
                bytes: (rows * subject.size.bytes_per_row()).round(),
                future: begins(*place) > future_from,
                ..shard.clone()
            });
        }
        at += leaves;
    }
    let (key, types) = (layout.shard_key().to_vec(), layout.key_types().to_vec());
    match layout.branches() {
        [] => Layout::new(layout.strategy(), key, types, shards).ok(),
        branches => Layout::two_level(layout.strategy(), key, types, branches.to_vec(), shards).ok(),
    }
}
