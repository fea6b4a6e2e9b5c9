//! Lists that a statement touches, and the shards of those that are hashed.
//!
//! Invariant: DEFAULT is pruned only by values that are all in lists.

use crate::planning::proposal::division::Cells;
use crate::planning::proposal::touch::Pruning;
use crate::planning::proposal::touch::Touch;
use crate::planning::proposal::traffic::Use;
use crate::planning::proposal::traffic::Window;

impl Pruning<'_> {
    pub(super) fn by_lists(&self, one: &Use) -> Touch {
        let mut touch = Touch { planned: 0.0, opened: 0.0, share: 0.0 };
        let leading = self.leading(one);
        let chances = leading.map(|narrowing| self.chances(&narrowing.window));
        let at_run_time = leading.is_none_or(|narrowing| narrowing.at_run_time);
        for (at, share) in self.shares.iter().enumerate() {
            let opened = chances.as_ref().map_or(1.0, |chances| chances[at]);
            let planned = if at_run_time { 1.0 } else { opened };
            let (inner, there) = (self.inner(one, at), self.there(at));
            touch.planned += planned * inner.planned * there;
            touch.opened += opened * inner.opened * there;
            touch.share += opened * inner.share * share;
        }
        touch
    }

    /// Chance of each list to be touched, DEFAULT last.
    fn chances(&self, window: &Window) -> Vec<f64> {
        let Cells::List { groups } = &self.division.cells else { return vec![1.0; self.shares.len()] };
        let last = groups.len();
        let mut chances = vec![0.0; self.shares.len()];
        match window {
            Window::Values { count, texts, .. } if !texts.is_empty() && texts.len() as f64 >= *count => {
                for text in texts {
                    chances[self.lists.get(text.as_str()).copied().unwrap_or(last)] = 1.0;
                }
            }
            Window::Values { count, .. } => {
                for (at, chance) in chances.iter_mut().enumerate() {
                    *chance = self.chance(at, *count);
                }
            }
            Window::Null => chances[last] = 1.0,
            // A range keeps DEFAULT: what else lies in it is not known.
            Window::Exact { lower, upper } => {
                let key_type = self.division.key.first.first().map(|column| column.key_type);
                let inside = |value: &String| {
                    let position = key_type.and_then(|key_type| key_type.read(value)).map(|v| v.position());
                    position.is_none_or(|position| {
                        lower.is_none_or(|lower| position >= lower)
                            && upper.is_none_or(|upper| position <= upper)
                    })
                };
                for (chance, group) in chances.iter_mut().zip(groups) {
                    *chance = if group.iter().any(inside) { 1.0 } else { 0.0 };
                }
                chances[last] = 1.0;
            }
            Window::Closed(share) | Window::Newest(share) | Window::Oldest(share) => {
                for (chance, group) in chances.iter_mut().zip(groups) {
                    *chance = 1.0 - (1.0 - share.clamp(0.0, 1.0)).powf(group.len() as f64);
                }
                chances[last] = 1.0;
            }
        }
        chances
    }
}
