//! Where to cut a shard so that its parts hold about as many rows, from what is
//! known of the values of a column.
//!
//! Not here: where that is known from (statistics, or a sample). A shard in
//! which one value has more than half of the rows is not cut: whatever the
//! point, one part would be as large as before.

/// Above this share of the rows a value is too frequent to cut beside it.
const HOT_SHARE: f64 = 0.5;

/// A value of the key column.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    pub text: String,
    /// Its place in the order; equal values share it.
    pub rank: usize,
    /// Share of the rows that lie between the value before and this one.
    pub before: f64,
    /// Share of the rows that have it.
    pub own: f64,
}

/// Why there are no points.
#[derive(Debug, Clone, PartialEq)]
pub enum NoPoints {
    /// One value has too many rows.
    Hot { text: String, share: f64 },
    /// Fewer values than parts are known.
    Few(usize),
}

/// Where to cut: at this value, or a little below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub text: String,
    /// The greatest value below it that is known, where a part could end too;
    /// few rows lie between the two.
    pub above: Option<String>,
}

/// `parts - 1` points that ascend. `inside` tells which values a point may have.
///
/// # Errors
/// [`NoPoints`] where none would divide the rows.
pub fn points(
    mut values: Vec<Weighed>,
    parts: usize,
    inside: impl Fn(&str) -> bool,
) -> Result<Vec<Point>, NoPoints> {
    values.sort_by_key(|value| value.rank);
    let mut merged: Vec<Weighed> = Vec::with_capacity(values.len());
    for value in values {
        match merged.last_mut().filter(|last| last.rank == value.rank) {
            Some(last) => (last.before, last.own) = (last.before + value.before, last.own + value.own),
            None => merged.push(value),
        }
    }
    let total: f64 = merged.iter().map(|value| value.before + value.own).sum();
    if let Some(hot) = merged.iter().find(|value| value.own > HOT_SHARE * total && total > 0.0) {
        return Err(NoPoints::Hot { text: hot.text.clone(), share: hot.own / total });
    }
    // Values with the share of the rows below them; a point below all is none.
    let (mut below, mut candidates) = (0.0, Vec::new());
    for value in merged {
        below += value.before;
        if below > 0.0 && inside(&value.text) {
            candidates.push((below / total, value.text));
        }
        below += value.own;
    }
    if candidates.len() + 1 < parts {
        return Err(NoPoints::Few(candidates.len() + 1));
    }
    Ok(nearest(candidates, parts))
}

/// For each part's end the nearest candidate that leaves enough for the rest.
fn nearest(candidates: Vec<(f64, String)>, parts: usize) -> Vec<Point> {
    let (count, mut from) = (candidates.len(), 0);
    let mut points = Vec::with_capacity(parts - 1);
    for end in 1..parts {
        let wanted = end as f64 / parts as f64;
        let last = count - (parts - 1 - end);
        let distance = |at: &usize| (candidates[*at].0 - wanted).abs();
        let best = (from..last).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(from);
        let above = best.checked_sub(1).map(|before| candidates[before].1.clone());
        points.push(Point { text: candidates[best].1.clone(), above });
        from = best + 1;
    }
    points
}

/// Divides the values of a list, given their shares of the rows, so that the
/// heaviest list is light: each value, the heaviest first, to the list that is
/// lightest so far. The places of the values of each list, ascending.
#[must_use]
pub fn lists(shares: &[f64], parts: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]).then(a.cmp(b)));
    let mut lists: Vec<(f64, Vec<usize>)> = vec![(0.0, Vec::new()); parts.min(shares.len())];
    for at in order {
        let lightest = lists.iter_mut().min_by(|(a, one), (b, other)| {
            (one.len().min(1), *a, one.len())
                .partial_cmp(&(other.len().min(1), *b, other.len()))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        if let Some((weight, list)) = lightest {
            *weight += shares[at];
            list.push(at);
        }
    }
    let mut lists: Vec<Vec<usize>> = lists.into_iter().map(|(_, list)| list).collect();
    for list in &mut lists {
        list.sort_unstable();
    }
    lists.sort();
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(bounds: &[usize]) -> Vec<Weighed> {
        let share = 1.0 / (bounds.len() - 1) as f64;
        let value = |(at, rank): (usize, &usize)| Weighed {
            text: rank.to_string(),
            rank: *rank,
            before: if at == 0 { 0.0 } else { share },
            own: 0.0,
        };
        bounds.iter().enumerate().map(value).collect()
    }

    fn texts(points: Result<Vec<Point>, NoPoints>) -> Vec<String> {
        points.unwrap().into_iter().map(|point| point.text).collect()
    }

    fn frequent(rank: usize, own: f64) -> Weighed {
        Weighed { text: rank.to_string(), rank, before: 0.0, own }
    }

    #[test]
    fn points_divide_the_rows_evenly() {
        let values = histogram(&[0, 10, 20, 30, 40]);
        assert_eq!(texts(points(values.clone(), 2, |_| true)), ["20"]);
        assert_eq!(texts(points(values.clone(), 4, |_| true)), ["10", "20", "30"]);
        // Skewed: the first quarter of the values has half of the rows.
        let skewed = histogram(&[0, 1, 2, 3, 4, 10, 20, 30, 40]);
        assert_eq!(texts(points(skewed, 2, |_| true)), ["4"]);
        // Outside of the bound is nothing to cut at.
        assert_eq!(texts(points(values, 2, |text| text == "10")), ["10"]);
    }

    #[test]
    fn a_point_knows_what_is_right_below_it() {
        let found = points(histogram(&[0, 10, 20, 30, 40]), 2, |_| true).unwrap();
        assert_eq!(found, [Point { text: "20".to_owned(), above: Some("10".to_owned()) }]);
        let found = points(histogram(&[0, 10, 20]), 2, |text| text != "20").unwrap();
        assert_eq!(found, [Point { text: "10".to_owned(), above: None }]);
    }

    #[test]
    fn frequent_values_count() {
        let mut values = histogram(&[0, 10, 20, 30, 40]);
        values.push(frequent(10, 0.6));
        // Below 10 are 0.25 of 1.6, below 20 are 1.1.
        assert_eq!(texts(points(values.clone(), 2, |_| true)), ["20"]);
        values.push(frequent(35, 2.0));
        assert_eq!(
            points(values, 2, |_| true),
            Err(NoPoints::Hot { text: "35".to_owned(), share: 2.0 / 3.6 })
        );
    }

    #[test]
    fn samples_are_counted_by_value() {
        let sample: Vec<Weighed> = [5, 5, 7, 9, 9, 9].map(|rank| frequent(rank, 1.0 / 6.0)).to_vec();
        assert_eq!(texts(points(sample.clone(), 3, |_| true)), ["7", "9"]);
        assert_eq!(points(sample, 4, |_| true), Err(NoPoints::Few(3)));
        assert_eq!(points(Vec::new(), 2, |_| true), Err(NoPoints::Few(1)));
        let one = vec![frequent(5, 1.0)];
        assert!(matches!(points(one, 2, |_| true), Err(NoPoints::Hot { .. })));
    }

    #[test]
    fn enough_candidates_are_left_for_the_last_parts() {
        let values = histogram(&[0, 1, 2, 3]);
        assert_eq!(texts(points(values, 4, |_| true)), ["1", "2", "3"]);
        let mut heavy_end = histogram(&[0, 1, 2, 3]);
        heavy_end.push(frequent(3, 0.9));
        assert_eq!(texts(points(heavy_end, 4, |_| true)), ["1", "2", "3"]);
    }

    #[test]
    fn values_of_lists_are_given_to_the_lightest() {
        assert_eq!(lists(&[0.5, 0.3, 0.2], 2), [vec![0], vec![1, 2]]);
        assert_eq!(lists(&[0.0, 0.0, 0.0], 2), [vec![0, 2], vec![1]]);
        assert_eq!(lists(&[0.1, 0.9], 2), [vec![0], vec![1]]);
        assert_eq!(lists(&[0.9, 0.0, 0.0, 0.0], 3).len(), 3);
        assert_eq!(lists(&[1.0], 2), [vec![0]]);
    }
}
