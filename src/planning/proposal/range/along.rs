//! Ranges with bounds that are given: how many rows lie in each, by the column
//! that they run along.
//!
//! Not here: where good bounds lie. Invariant: rows of ranges that cover all
//! values add up to all rows but NULLs.

use crate::model::key::KeyType;
use crate::model::layout::SHARDS_MAX;
use crate::model::profile::Column;
use crate::planning::proposal::calendar::CalendarUnit;
use crate::planning::proposal::constants::CostConstants;
use crate::planning::proposal::demand::Demand;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::division::span;
use crate::planning::proposal::division::span::Corner;
use crate::planning::proposal::division::span::Ground;
use crate::planning::proposal::division::span::Span;
use crate::planning::proposal::edge::Edge;
use crate::planning::proposal::edge::greatest_integer;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::range;
use crate::planning::proposal::spread::Spread;
use crate::planning::proposal::subject::Subject;

/// Microseconds of a day.
const DAY: f64 = 86_400e6;

/// A column that ranges run along.
pub struct Along<'a> {
    subject: &'a Subject<'a>,
    column: &'a Column,
    constants: &'a CostConstants,
    spread: Option<&'a Spread>,
    /// Whether new rows have greater values than those that are there.
    follows: bool,
}

impl<'a> Along<'a> {
    pub fn of(subject: &'a Subject<'a>, column: &'a Column, constants: &'a CostConstants) -> Self {
        let follows = if column.type_name.key_type().is_time() {
            subject.follows_time(column, constants.follow_share)
        } else {
            let size = &subject.size;
            let correlation = subject.statistics(&column.name).and_then(|found| found.correlation);
            correlation.unwrap_or(0.0) >= constants.ordered_correlation
                && greatest_integer(column).is_some()
                && size.rows > size.rows_past
                && size.rows_past > 0.0
        };
        Self::following(subject, column, constants, follows)
    }

    /// The same where it is known whether new rows have greater values.
    pub fn following(
        subject: &'a Subject<'a>,
        column: &'a Column,
        constants: &'a CostConstants,
        follows: bool,
    ) -> Self {
        let spread = subject.spreads.get(column.name.as_str());
        Self { subject, column, constants, spread, follows }
    }

    /// Rows from one position up to another at the horizon, but NULLs.
    pub fn rows(&self, lower: f64, upper: f64) -> Option<f64> {
        let (spread, size) = (self.spread?, &self.subject.size);
        if self.column.type_name.key_type().is_time() {
            let edge = (lower as i64, upper as i64);
            return Some(range::rows_between(self.subject, spread, &self.column.name, self.follows, edge));
        }
        let valued = 1.0 - self.subject.null_share(&self.column.name);
        let (past, coming) =
            if self.follows { (size.rows_past, size.rows - size.rows_past) } else { (size.rows, 0.0) };
        let newest = spread.last();
        let span = if past > 0.0 { (newest - spread.first()) * coming / past } else { 0.0 };
        let overlap = (upper.min(newest + span) - lower.max(newest)).max(0.0);
        let expected = if span > 0.0 { coming * overlap / span } else { 0.0 };
        Some(valued * (past * spread.between(lower, upper) + expected))
    }

    /// The position below which a share of the rows lies at the horizon, NULLs
    /// aside.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let spread = self.spread?;
        let (mut low, mut high) = (spread.first(), spread.last());
        if self.follows {
            // Until there all is below, however fast rows come.
            let time = self.column.type_name.key_type().is_time();
            let ends = self.subject.horizon_end as f64;
            let grown = self.subject.size.rows / self.subject.size.rows_past.max(1.0);
            high = if time { high.max(ends) } else { high + (high - low) * grown };
        }
        let wanted = self.rows(f64::NEG_INFINITY, f64::INFINITY)? * share;
        for _ in 0..64 {
            let middle = low + (high - low) / 2.0;
            if self.rows(f64::NEG_INFINITY, middle)? < wanted { low = middle } else { high = middle }
        }
        Some(high)
    }

    /// From where ranges hold nothing yet, and until where they are closed at
    /// the horizon.
    fn marks(&self) -> (f64, f64) {
        let newest = self.spread.map_or(f64::INFINITY, Spread::last);
        let is_time = self.column.type_name.key_type().is_time();
        match (is_time, self.follows) {
            (true, true) => ((self.subject.origin as f64).max(newest), self.subject.horizon_end as f64),
            (true, false) => (newest, f64::INFINITY),
            (false, true) => (newest, newest),
            (false, false) => (f64::INFINITY, f64::INFINITY),
        }
    }

    /// Ranges between edges that ascend, and those of the same unit that will
    /// be made ahead of them until the horizon.
    pub fn in_a_row(&self, mut edges: Vec<Edge>) -> Division {
        let there = edges.len();
        let unit = self.unit(edges.iter().zip(edges.iter().skip(1)).next_back());
        edges.extend(self.ahead(unit, edges.last()));
        let count = (edges.len() - 1).max(1) as f64;
        let size = self.subject.size.rows * (1.0 - self.subject.null_share(&self.column.name));
        let rows = edges
            .windows(2)
            .map(|pair| self.rows(pair[0].position(), pair[1].position()).unwrap_or(size / count));
        let rows = self.within(rows.collect());
        let to_come = edges.len() - there;
        let (future_from, closed_until) = self.marks();
        let cells = Cells::Range { unit, edges, future_from, closed_until, follows: self.follows };
        let division = range::filled(self.subject, self.column, cells, rows, self.constants);
        Division { to_come, ..division }
    }

    /// Ranges with gaps between them, or of two columns.
    pub fn apart(&self, second: Option<&'a Column>, mut spans: Vec<Span>) -> Division {
        let there = spans.len();
        let mut unit = None;
        if second.is_none() {
            unit = self.unit(spans.last().map(|last| (&last.lower.first, &last.upper.first)));
            let mut lower = spans.last().map(|last| last.upper.first.clone());
            for upper in self.ahead(unit, lower.clone().as_ref()) {
                let end = |first: Edge| Corner { first, second: Edge::Lowest };
                let from = lower.replace(upper.clone()).unwrap_or(Edge::Lowest);
                spans.push(Span { lower: end(from), upper: end(upper) });
            }
        }
        let to_come = spans.len() - there;
        self.spanned(unit, second, spans, to_come)
    }

    /// Spans with the rows that fall into them.
    pub fn spanned(
        &self,
        unit: Option<CalendarUnit>,
        second: Option<&'a Column>,
        spans: Vec<Span>,
        to_come: usize,
    ) -> Division {
        let total = self.subject.size.rows;
        let even = 1.0 / (2 * spans.len() + 1) as f64;
        let share = |rows: f64| if total > 0.0 { rows / total } else { 0.0 };
        let inner = second.map(|column| Self::of(self.subject, column, self.constants));
        let ground = Ground {
            first: &|lower, upper| self.rows(lower, upper).map_or(even, share),
            second: &|lower, upper| {
                inner.as_ref().and_then(|inner| inner.rows(lower, upper)).map_or(even, share)
            },
            after: &|place| self.after(place),
        };
        let mut atoms = span::atoms(&spans, &ground);
        let demand = Demand::of(self.column, self.constants);
        span::ask(&mut atoms, demand.as_ref());
        let (rows, default_rows) = span::rows(&atoms, spans.len(), total);
        let (future_from, closed_until) = self.marks();
        let cells = Cells::Spans { unit, spans, atoms, future_from, closed_until, follows: self.follows };
        let first = [Some(self.column), second].into_iter().flatten().map(Into::into).collect();
        let key = ShardKey { first, second: Vec::new() };
        let mut division = Division { default_rows, to_come, ..Division::of(key, cells, rows) };
        division.asked = division.cell_rows().iter().map(|rows| division.share(*rows)).collect();
        division
    }

    /// The position after that of a value.
    fn after(&self, place: f64) -> f64 {
        match self.column.type_name.key_type() {
            KeyType::Integer => (place + 1.0).max(place.next_up()),
            KeyType::Date => place + DAY,
            _ => place.next_up(),
        }
    }

    /// The unit of the calendar that a range is one of.
    fn unit(&self, last: Option<(&Edge, &Edge)>) -> Option<CalendarUnit> {
        let (lower, upper) = last?;
        let (lower, upper) = (lower.micros()?, upper.micros()?);
        let is_one =
            |unit: &CalendarUnit| unit.floor(lower) == Some(lower) && unit.add(lower, 1) == Some(upper);
        CalendarUnit::ALL.into_iter().find(is_one)
    }

    /// Edges beyond the last one, until the horizon.
    fn ahead(&self, unit: Option<CalendarUnit>, last: Option<&Edge>) -> Vec<Edge> {
        let wanted = || {
            let (unit, last) = (unit.filter(|_| self.follows)?, last?.micros()?);
            let plan = range::plan(self.subject, self.column, self.spread?, unit, self.constants)?;
            let mut found = Vec::new();
            let mut at = last;
            while at < plan.end && found.len() < SHARDS_MAX {
                at = unit.add(at, 1)?;
                found.push(Edge::of_micros(at));
            }
            Some(found)
        };
        wanted().unwrap_or_default()
    }

    /// Rows that are no more than all: the greatest value itself lies below no
    /// position but the open end.
    pub fn within(&self, mut rows: Vec<f64>) -> Vec<f64> {
        let total = self.subject.size.rows * (1.0 - self.subject.null_share(&self.column.name));
        let sum: f64 = rows.iter().sum();
        if sum > total {
            rows.iter_mut().for_each(|rows| *rows *= total / sum);
        }
        rows
    }
}
