//! Ranges with two ends of their own each: of two columns, or with gaps.
//!
//! The values of the first column fall into *atoms*: single values at which a
//! range begins or ends, and the stretches in between. A stretch lies in one
//! range; a single value may lie in many, divided by the second column.
//! Columns after the second one are not told apart. Invariant: atoms ascend
//! and follow each other; the shares of an atom's parts add up to one.

use crate::model::bound::RangeDatum;
use crate::model::key::KeyType;
use crate::planning::proposal::demand::Demand;
use crate::planning::proposal::edge::Edge;

/// One end of a range of two columns; of one column the second is `Lowest`.
#[derive(Debug, Clone, PartialEq)]
pub struct Corner {
    pub first: Edge,
    pub second: Edge,
}

impl Corner {
    /// As a bound of columns of those types. PostgreSQL wants all that follows
    /// an open end to be open the same way.
    pub fn point(&self, types: &[KeyType]) -> Option<Vec<RangeDatum>> {
        let second = match self.first {
            Edge::Lowest => &Edge::Lowest,
            Edge::Highest => &Edge::Highest,
            _ => &self.second,
        };
        [&self.first, second].into_iter().zip(types).map(|(edge, kind)| edge.datum(*kind)).collect()
    }

    fn position(&self) -> (f64, f64) {
        (self.first.position(), self.second.position())
    }
}

/// What one range accepts: from `lower` up to but not including `upper`.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub lower: Corner,
    pub upper: Corner,
}

/// A single value of the first column at which a range ends, or a stretch
/// between two of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Atom {
    pub lower: f64,
    /// Exclusive.
    pub upper: f64,
    /// Of all rows.
    pub share: f64,
    /// Chance that a value which statements ask for lies here.
    pub asked: f64,
    pub parts: Vec<Part>,
}

/// What of an atom lies in one span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// One more than there are spans: DEFAULT.
    pub span: usize,
    /// Of the second column.
    pub lower: f64,
    pub upper: f64,
    /// Of the atom.
    pub share: f64,
}

/// How rows lie along the two columns.
pub struct Ground<'a> {
    /// Share of all rows whose first column lies in an interval.
    pub first: &'a dyn Fn(f64, f64) -> f64,
    /// Share of the rows of one value whose second column lies in an interval.
    pub second: &'a dyn Fn(f64, f64) -> f64,
    /// The position after that of a value.
    pub after: &'a dyn Fn(f64) -> f64,
}

/// The atoms of spans that ascend.
pub fn atoms(spans: &[Span], ground: &Ground<'_>) -> Vec<Atom> {
    let corners = spans.iter().flat_map(|span| [&span.lower, &span.upper]);
    let mut places: Vec<f64> = corners.map(|corner| corner.first.position()).collect();
    places.retain(|place| place.is_finite());
    places.sort_by(f64::total_cmp);
    places.dedup();
    let mut edges = vec![f64::NEG_INFINITY];
    for place in places {
        let last = edges[edges.len() - 1];
        edges.extend([place, (ground.after)(place)].into_iter().filter(|edge| *edge > last));
    }
    edges.push(f64::INFINITY);
    edges.dedup();
    let atom = |pair: &[f64]| {
        let (lower, upper) = (pair[0], pair[1]);
        Atom {
            lower,
            upper,
            share: (ground.first)(lower, upper),
            asked: 0.0,
            parts: parts(spans, lower, ground),
        }
    };
    edges.windows(2).map(atom).collect()
}

/// The spans that have rows of an atom, with DEFAULT for what lies in none.
fn parts(spans: &[Span], at: f64, ground: &Ground<'_>) -> Vec<Part> {
    // Of the lowest stretch nothing lies before the first span but DEFAULT.
    let begins = |corner: &Corner| match corner.position() {
        (first, second) if first == at && at.is_finite() => second,
        (first, _) if first <= at => f64::NEG_INFINITY,
        _ => f64::INFINITY,
    };
    let from = spans.partition_point(|span| span.upper.first.position() < at);
    let mut found: Vec<Part> = Vec::new();
    let mut reached = f64::NEG_INFINITY;
    let mut add = |span: usize, lower: f64, upper: f64| {
        if lower < upper {
            let whole = lower == f64::NEG_INFINITY && upper == f64::INFINITY;
            let share = if whole { 1.0 } else { (ground.second)(lower, upper) };
            found.push(Part { span, lower, upper, share });
        }
    };
    for (place, span) in spans.iter().enumerate().skip(from) {
        let lower = begins(&span.lower);
        if lower == f64::INFINITY {
            break;
        }
        let upper = begins(&span.upper);
        add(spans.len(), reached, lower);
        add(place, lower.max(reached), upper);
        reached = reached.max(upper);
    }
    add(spans.len(), reached, f64::INFINITY);
    let total: f64 = found.iter().map(|part| part.share).sum();
    let even = 1.0 / found.len().max(1) as f64;
    found.iter_mut().for_each(|part| part.share = if total > 0.0 { part.share / total } else { even });
    found
}

/// What statements ask of each atom: as sampled, or as rows lie.
pub fn ask(atoms: &mut [Atom], demand: Option<&Demand>) {
    let shares: Vec<f64> = atoms.iter().map(|atom| atom.share).collect();
    let asked = match demand {
        Some(demand) => {
            let edges = atoms.iter().map(|atom| atom.lower).chain(atoms.last().map(|atom| atom.upper));
            let with_default: Vec<f64> = shares.into_iter().chain([0.0]).collect();
            demand.in_ranges(&edges.collect::<Vec<_>>(), &with_default)
        }
        None => shares,
    };
    atoms.iter_mut().zip(asked).for_each(|(atom, asked)| atom.asked = asked);
}

/// Rows of each span and of what lies in none, of `rows` in all; NULLs are in
/// none.
pub fn rows(atoms: &[Atom], spans: usize, rows: f64) -> (Vec<f64>, f64) {
    let mut shares = vec![0.0; spans];
    for atom in atoms {
        for part in &atom.parts {
            if let Some(share) = shares.get_mut(part.span) {
                *share += atom.share * part.share;
            }
        }
    }
    // Damaged statistics may count more than all rows.
    let scaled = 1.0 / shares.iter().sum::<f64>().max(1.0);
    let filled: Vec<f64> = shares.into_iter().map(|share| share * scaled * rows).collect();
    let outside = (rows - filled.iter().sum::<f64>()).max(0.0);
    (filled, outside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::KeyValue;

    fn value(value: i64) -> Edge {
        Edge::Value(KeyValue::Integer(value.into()))
    }

    fn corner(first: Edge, second: Edge) -> Corner {
        Corner { first, second }
    }

    #[test]
    fn a_value_that_is_divided_lies_in_many_spans() {
        // Up to 3, of 3 two halves, then up to 9.
        let spans = [
            Span { lower: corner(Edge::Lowest, Edge::Lowest), upper: corner(value(3), Edge::Lowest) },
            Span { lower: corner(value(3), Edge::Lowest), upper: corner(value(3), value(50)) },
            Span { lower: corner(value(3), value(50)), upper: corner(value(3), Edge::Highest) },
            Span { lower: corner(value(3), Edge::Highest), upper: corner(value(9), Edge::Lowest) },
        ];
        let within =
            |lower: f64, upper: f64, until: f64| (upper.min(until) - lower.max(0.0)).max(0.0) / until;
        let ground = Ground {
            first: &|lower, upper| within(lower, upper, 10.0),
            second: &|lower, upper| within(lower, upper, 100.0),
            after: &|place| place + 1.0,
        };
        let atoms = atoms(&spans, &ground);
        let shown: Vec<(f64, Vec<(usize, f64)>)> = atoms
            .iter()
            .map(|atom| (atom.share, atom.parts.iter().map(|part| (part.span, part.share)).collect()))
            .collect();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{shown:?}");
        assert_eq!(shown.len(), 5, "{shown:?}");
        for (at, share) in [(0, 0.3), (1, 0.1), (2, 0.5), (3, 0.1), (4, 0.0)] {
            near(shown[at].0, share);
        }
        assert_eq!(shown[0].1, [(0, 1.0)]);
        assert_eq!(shown[1].1, [(1, 0.5), (2, 0.5)]);
        assert_eq!(shown[2].1, [(3, 1.0)]);
        // Nine and beyond are in no span.
        assert!(shown[3].1 == [(4, 1.0)] && shown[4].1 == [(4, 1.0)]);
        let (filled, outside) = rows(&atoms, 4, 1000.0);
        for (found, expected) in filled.iter().zip([300.0, 50.0, 50.0, 500.0]) {
            near(*found, expected);
        }
        near(outside, 100.0);
        let written = |corner: &Corner| corner.point(&[KeyType::Integer, KeyType::Integer]).unwrap();
        assert_eq!(written(&corner(Edge::Lowest, value(5))), [RangeDatum::MinValue, RangeDatum::MinValue]);
        assert_eq!(written(&spans[2].upper), [RangeDatum::Value("3".to_owned()), RangeDatum::MaxValue]);
    }

    #[test]
    fn gaps_are_outside() {
        let spans = [
            Span { lower: corner(value(0), Edge::Lowest), upper: corner(value(2), Edge::Lowest) },
            Span { lower: corner(value(5), Edge::Lowest), upper: corner(Edge::Highest, Edge::Lowest) },
        ];
        let ground = Ground {
            first: &|lower, upper| (upper.min(10.0) - lower.max(0.0)).max(0.0) / 10.0,
            second: &|_, _| 1.0,
            after: &|place| place + 1.0,
        };
        let (filled, outside) = rows(&atoms(&spans, &ground), 2, 100.0);
        assert!((filled[0] - 20.0).abs() < 1e-9 && (filled[1] - 50.0).abs() < 1e-9, "{filled:?}");
        assert!((outside - 30.0).abs() < 1e-9);
    }
}
