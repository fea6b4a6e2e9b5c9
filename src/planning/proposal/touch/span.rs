//! Spans that a statement touches: ranges of two columns, or with gaps.
//!
//! PostgreSQL prunes them by the first column; by the second one only among
//! the ranges of single values, where a predicate names the first one's value.
//! Not here: ranges in a row (`range`). Invariant: chances lie in 0..=1.

use crate::model::key::Strategy;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::span::Atom;
use crate::planning::proposal::division::span::Part;
use crate::planning::proposal::touch::Pruning;
use crate::planning::proposal::touch::Touch;
use crate::planning::proposal::traffic::Narrowing;
use crate::planning::proposal::traffic::Use;
use crate::planning::proposal::traffic::Window;

impl Pruning<'_> {
    pub(super) fn by_spans(&self, one: &Use) -> Touch {
        let Some(first) = self.leading(one) else { return self.by_chances(one, &self.all(), &self.all()) };
        if let Window::Closed(_) | Window::Newest(_) | Window::Oldest(_) = first.window {
            return self.with_default(one, self.by_ranges(one));
        }
        let second = self.second(one, first);
        let opened = self.chances_of(&first.window, second.map(|second| &second.window));
        let planned = if first.at_run_time {
            self.all()
        } else if second.is_some_and(|second| second.at_run_time) {
            self.chances_of(&first.window, None)
        } else {
            opened.clone()
        };
        self.by_chances(one, &planned, &opened)
    }

    /// Whether DEFAULT is kept by predicates on the first column alone: a row
    /// there may have NULL in the second one.
    fn keeps_default(&self) -> bool {
        self.division.key.first.len() > 1
    }

    fn with_default(&self, one: &Use, touch: Touch) -> Touch {
        let last = self.shares.len() - 1;
        let (inner, there) = (self.inner(one, last), self.there(last));
        if !self.keeps_default() {
            return touch;
        }
        Touch {
            planned: touch.planned + inner.planned * there,
            opened: touch.opened + inner.opened * there,
            share: touch.share + inner.share * self.default_share(),
        }
    }

    fn all(&self) -> Vec<f64> {
        vec![1.0; self.shares.len()]
    }

    /// How the second column narrows what has a value of the first one.
    fn second<'u>(&self, one: &'u Use, first: &Narrowing) -> Option<&'u Narrowing> {
        let column = self.division.key.first.get(1)?;
        let narrowing = one.narrowings.get(&column.name)?;
        let prunes = narrowing.at_run_time || narrowing.prunes(Strategy::Range);
        (prunes && matches!(first.window, Window::Values { .. })).then_some(narrowing)
    }

    /// Shards and rows of cells that are touched with these chances.
    fn by_chances(&self, one: &Use, planned: &[f64], opened: &[f64]) -> Touch {
        let mut touch = Touch { planned: 0.0, opened: 0.0, share: 0.0 };
        for (cell, share) in self.shares.iter().enumerate() {
            let inner = self.inner(one, cell);
            let there = self.there(cell);
            touch.planned += planned[cell] * inner.planned * there;
            touch.opened += opened[cell] * inner.opened * there;
            touch.share += opened[cell] * inner.share * share;
        }
        touch
    }

    /// Chance of each span to be touched, DEFAULT last.
    fn chances_of(&self, first: &Window, second: Option<&Window>) -> Vec<f64> {
        let Cells::Spans { atoms, .. } = &self.division.cells else { return self.all() };
        let mut untouched = self.all();
        match first {
            Window::Values { count, known, .. } if !known.is_empty() && known.len() as f64 >= *count => {
                for value in known {
                    let atom = atoms.iter().find(|atom| atom.lower <= *value && *value < atom.upper);
                    self.touched(atom, second).for_each(|(cell, chance)| untouched[cell] *= 1.0 - chance);
                }
            }
            Window::Values { count, .. } => {
                let mut chances = vec![0.0; self.shares.len()];
                for atom in atoms {
                    self.touched(Some(atom), second)
                        .for_each(|(cell, chance)| chances[cell] += atom.asked * chance);
                }
                for (untouched, chance) in untouched.iter_mut().zip(chances) {
                    *untouched = (1.0 - chance.clamp(0.0, 1.0)).powf(count.max(1.0));
                }
            }
            Window::Exact { lower, upper } => {
                // The upper end belongs to the range where one value may be divided.
                let inside = |atom: &&Atom| {
                    lower.is_none_or(|lower| atom.upper > lower)
                        && upper.is_none_or(|upper| {
                            atom.lower < upper
                                || atom.lower == upper && (atom.parts.len() > 1 || *lower == Some(upper))
                        })
                };
                for atom in atoms.iter().filter(inside) {
                    self.touched(Some(atom), None).for_each(|(cell, _)| untouched[cell] = 0.0);
                }
            }
            Window::Null => untouched[self.shares.len() - 1] = 0.0,
            Window::Closed(_) | Window::Newest(_) | Window::Oldest(_) => untouched.fill(0.0),
        }
        if second.is_none() && self.keeps_default() {
            untouched[self.shares.len() - 1] = 0.0;
        }
        untouched.into_iter().map(|untouched| 1.0 - untouched).collect()
    }

    /// The cells that have rows of an atom, with the chance that the second
    /// column leaves them; each may come more than once.
    fn touched<'w>(
        &'w self,
        atom: Option<&'w Atom>,
        second: Option<&'w Window>,
    ) -> impl Iterator<Item = (usize, f64)> + 'w {
        let last = self.shares.len() - 1;
        let parts = atom.map_or(&[][..], |atom| atom.parts.as_slice());
        // NULL in the second column is in no range.
        let null = matches!(second, Some(Window::Null));
        let of_part = move |(at, part): (usize, &Part)| {
            let chance = match second {
                None => 1.0,
                Some(window) => chance(parts, at, window),
            };
            (part.span.min(last), chance)
        };
        parts.iter().enumerate().map(of_part).chain(null.then_some((last, 1.0)))
    }
}

/// Chance that a window on the second column touches one of the parts.
fn chance(parts: &[Part], at: usize, window: &Window) -> f64 {
    let part = &parts[at];
    let sum = |parts: &[Part]| parts.iter().map(|part| part.share).sum::<f64>();
    let meets = |is: bool| if is { 1.0 } else { 0.0 };
    match window {
        Window::Values { count, known, .. } if !known.is_empty() && known.len() as f64 >= *count => {
            meets(known.iter().any(|value| part.lower <= *value && *value < part.upper))
        }
        Window::Values { count, .. } => 1.0 - (1.0 - part.share.clamp(0.0, 1.0)).powf(count.max(1.0)),
        Window::Null => 0.0,
        Window::Exact { lower, upper } => meets(
            lower.is_none_or(|lower| part.upper > lower) && upper.is_none_or(|upper| part.lower <= upper),
        ),
        Window::Closed(share) => (part.share + share).min(1.0),
        Window::Newest(share) => meets(sum(&parts[at + 1..]) < *share),
        Window::Oldest(share) => meets(sum(&parts[..at]) < *share),
    }
}
