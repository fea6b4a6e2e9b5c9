//! One shard into several: the bounds of the new ones.
//!
//! A range is cut at points between its ends; values of a list are given to
//! new shards, and those left out stay together; a hash shard `(m, r)` becomes
//! `(m·p, r + k·m)`, so that every modulus divides the greater ones. Out of a
//! DEFAULT shard ranges or lists are cut, and a new DEFAULT takes the rest.
//!
//! Invariant: the new bounds accept exactly what the old one did.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::bound::RangePoint;
use crate::model::bound::write_point;
use crate::planning::reshard::Cuts;
use crate::planning::reshard::KeyOrder;
use crate::planning::reshard::Shard;
use crate::planning::reshard::error::ReshardError;
use crate::planning::reshard::error::shown;
use crate::planning::reshard::error::shown_entry;

/// Values of a list shard; none is NULL.
type List = Vec<Option<String>>;

/// A shard and those that it has beside it.
#[derive(Debug, Clone, Copy)]
pub struct Divided<'a> {
    pub shard: &'a Shard,
    /// The other partitions of the same table, whatever they are.
    pub siblings: &'a [Shard],
    pub order: &'a KeyOrder,
    /// How many partitions the table may have.
    pub shards_max: usize,
}

impl Divided<'_> {
    fn checked(&self, parts: u32, bounds: Vec<Bound>) -> Result<Vec<Bound>, ReshardError> {
        // Two is what is meant where nothing is said.
        if parts != 2 && parts as usize != bounds.len() {
            return Err(ReshardError::Contradiction { parts, shards: bounds.len() });
        }
        self.few_enough(bounds.len())?;
        Ok(bounds)
    }

    fn few_enough(&self, new: usize) -> Result<(), ReshardError> {
        let (count, limit) = (self.siblings.len().saturating_add(new), self.shards_max);
        if count > limit { Err(ReshardError::TooMany { count, limit }) } else { Ok(()) }
    }
}

/// The bounds of the new shards, in their order.
///
/// # Errors
/// [`ReshardError`] if the cuts do not divide what the shard accepts.
pub fn at(divided: &Divided<'_>, cuts: &Cuts, parts: u32) -> Result<Vec<Bound>, ReshardError> {
    let count = match cuts {
        Cuts::Points(points) => points.len(),
        Cuts::Lists(lists) => lists.len(),
    };
    divided.few_enough(count)?;
    let bounds = match (&divided.shard.bound, cuts) {
        (Bound::Range { lower, upper }, Cuts::Points(points)) => range(divided, lower, upper, points)?,
        (Bound::Default, Cuts::Points(points)) => ranges_of_default(divided, points)?,
        (Bound::List { values }, Cuts::Lists(lists)) => list(divided, values, lists)?,
        (Bound::Default, Cuts::Lists(lists)) => lists_of_default(divided, lists)?,
        _ => return Err(ReshardError::PointsOfHash { shard: divided.shard.name.clone() }),
    };
    divided.checked(parts, bounds)
}

/// The bounds of a hash shard's parts.
///
/// # Errors
/// [`ReshardError`] if they are no power of two, or the moduli of the table
/// would not be multiples of each other.
pub fn hash(
    divided: &Divided<'_>,
    modulus: u32,
    remainder: u32,
    parts: u32,
) -> Result<Vec<Bound>, ReshardError> {
    let shard = || divided.shard.name.clone();
    if parts < 2 {
        return Err(ReshardError::Parts { shard: shard(), parts: i64::from(parts) });
    }
    if !parts.is_power_of_two() {
        return Err(ReshardError::PowerOfTwo { shard: shard(), parts });
    }
    divided.few_enough(parts as usize)?;
    let product = u64::from(modulus) * u64::from(parts);
    if product > u64::from(i32::MAX.unsigned_abs()) {
        return Err(ReshardError::Modulus { modulus: product });
    }
    fits_moduli(product, divided.siblings)?;
    let new = modulus * parts;
    Ok((0..parts).map(|part| Bound::Hash { modulus: new, remainder: remainder + part * modulus }).collect())
}

/// PostgreSQL's law for the moduli of one table.
///
/// # Errors
/// [`ReshardError::Moduli`] with the first shard that it would be broken with.
pub fn fits_moduli(modulus: u64, others: &[Shard]) -> Result<(), ReshardError> {
    for other in others {
        let Bound::Hash { modulus: found, .. } = other.bound else { continue };
        let (small, great) = (modulus.min(u64::from(found)), modulus.max(u64::from(found)));
        if small == 0 || great % small != 0 {
            return Err(ReshardError::Moduli { modulus, other: other.name.clone(), other_modulus: found });
        }
    }
    Ok(())
}

/// Every point after the one before.
fn ascend(order: &KeyOrder, points: &[RangePoint]) -> Result<(), ReshardError> {
    for pair in points.windows(2) {
        match order.compare_points(&pair[0], &pair[1]) {
            Ordering::Less => {}
            Ordering::Equal => return Err(ReshardError::Twice { point: told(&pair[1]) }),
            Ordering::Greater => {
                return Err(ReshardError::NotAscending { first: told(&pair[0]), second: told(&pair[1]) });
            }
        }
    }
    Ok(())
}

fn told(point: &[RangeDatum]) -> String {
    shown(&write_point(point))
}

fn range(
    divided: &Divided<'_>,
    lower: &RangePoint,
    upper: &RangePoint,
    points: &[RangePoint],
) -> Result<Vec<Bound>, ReshardError> {
    let (order, shard) = (divided.order, &divided.shard.name);
    if points.is_empty() {
        return Err(ReshardError::Parts { shard: shard.clone(), parts: 1 });
    }
    for point in points {
        let (below, above) = (order.compare_points(point, lower), order.compare_points(point, upper));
        if below == Ordering::Equal || above == Ordering::Equal {
            let lower = below == Ordering::Equal;
            return Err(ReshardError::OnBound { point: told(point), shard: shard.clone(), lower });
        }
        if below == Ordering::Less || above == Ordering::Greater {
            let (lower, upper) = (told(lower), told(upper));
            return Err(ReshardError::Outside { point: told(point), shard: shard.clone(), lower, upper });
        }
    }
    ascend(order, points)?;
    // The ends stay as they are written.
    let inner = points.iter().map(|point| order.point(point));
    let ends: Vec<RangePoint> =
        std::iter::once(lower.clone()).chain(inner).chain(std::iter::once(upper.clone())).collect();
    Ok(between(&ends))
}

/// The ranges from each point to the next.
fn between(points: &[RangePoint]) -> Vec<Bound> {
    let range = |pair: &[RangePoint]| Bound::Range { lower: pair[0].clone(), upper: pair[1].clone() };
    points.windows(2).map(range).collect()
}

fn ranges_of_default(divided: &Divided<'_>, points: &[RangePoint]) -> Result<Vec<Bound>, ReshardError> {
    let order = divided.order;
    if points.len() < 2 {
        return Err(ReshardError::OnePoint { shard: divided.shard.name.clone() });
    }
    ascend(order, points)?;
    let points: Vec<RangePoint> = points.iter().map(|point| order.point(point)).collect();
    for pair in points.windows(2) {
        for sibling in divided.siblings {
            let Bound::Range { lower, upper } = &sibling.bound else { continue };
            let before = order.compare_points(upper, &pair[0]) != Ordering::Greater;
            let after = order.compare_points(lower, &pair[1]) != Ordering::Less;
            if !before && !after {
                return Err(ReshardError::Overlap {
                    lower: told(&pair[0]),
                    upper: told(&pair[1]),
                    shard: sibling.name.clone(),
                    bound: shown(&sibling.bound.sql()),
                });
            }
        }
    }
    let mut bounds = between(&points);
    bounds.push(Bound::Default);
    Ok(bounds)
}

/// No value in two lists; a value that is twice in one is one.
fn apart(order: &KeyOrder, lists: &[List]) -> Result<Vec<List>, ReshardError> {
    let mut known = BTreeMap::new();
    let mut apart: Vec<List> = Vec::with_capacity(lists.len());
    for (at, list) in lists.iter().enumerate() {
        let mut own = Vec::with_capacity(list.len());
        for value in list {
            let first = *known.entry(order.entry(value.as_deref())).or_insert_with(|| {
                own.push(value.clone());
                at
            });
            if first != at {
                let value = shown_entry(value.as_deref());
                return Err(ReshardError::InTwo { value, first: first + 1, second: at + 1 });
            }
        }
        apart.push(own);
    }
    Ok(apart)
}

fn list(
    divided: &Divided<'_>,
    values: &[Option<String>],
    lists: &[List],
) -> Result<Vec<Bound>, ReshardError> {
    let (order, shard) = (divided.order, &divided.shard.name);
    if values.len() < 2 {
        let (shard, values) = (shard.clone(), values.len());
        return Err(ReshardError::FewValues { shard, parts: 2, values });
    }
    if lists.is_empty() {
        return Err(ReshardError::Parts { shard: shard.clone(), parts: 1 });
    }
    // By its place in the bound, which the values that are left keep.
    let places: BTreeMap<_, usize> =
        values.iter().enumerate().map(|(at, value)| (order.entry(value.as_deref()), at)).collect();
    let mut left: BTreeSet<usize> = (0..values.len()).collect();
    let mut bounds = Vec::with_capacity(lists.len() + 1);
    for list in &apart(order, lists)? {
        let mut own = Vec::with_capacity(list.len());
        for value in list {
            let Some(at) = places.get(&order.entry(value.as_deref())) else {
                let value = shown_entry(value.as_deref());
                return Err(ReshardError::NotAccepted { value, shard: shard.clone() });
            };
            left.remove(at);
            // As the shard's own bound has it.
            own.push(values[*at].clone());
        }
        bounds.push(Bound::List { values: own });
    }
    if !left.is_empty() {
        bounds.push(Bound::List { values: left.into_iter().map(|at| values[at].clone()).collect() });
    }
    if bounds.len() < 2 {
        return Err(ReshardError::Whole { shard: shard.clone() });
    }
    Ok(bounds)
}

fn lists_of_default(divided: &Divided<'_>, lists: &[List]) -> Result<Vec<Bound>, ReshardError> {
    let order = divided.order;
    if lists.is_empty() {
        return Err(ReshardError::Parts { shard: divided.shard.name.clone(), parts: 1 });
    }
    let lists = apart(order, lists)?;
    let mut taken = BTreeMap::new();
    for sibling in divided.siblings {
        let Bound::List { values } = &sibling.bound else { continue };
        taken.extend(values.iter().map(|value| (order.entry(value.as_deref()), &sibling.name)));
    }
    for value in lists.iter().flatten() {
        if let Some(other) = taken.get(&order.entry(value.as_deref())) {
            return Err(ReshardError::Taken {
                value: shown_entry(value.as_deref()),
                shard: divided.shard.name.clone(),
                other: (*other).clone(),
            });
        }
    }
    let told = |value: Option<String>| value.map(|text| order.text(0, &text));
    let list = |list: List| Bound::List { values: list.into_iter().map(told).collect() };
    let mut bounds: Vec<Bound> = lists.into_iter().map(list).collect();
    bounds.push(Bound::Default);
    Ok(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::QualifiedName;
    use crate::planning::reshard::Method;
    use crate::planning::reshard::order::testing::letters;
    use crate::planning::reshard::order::testing::numbers;

    fn shard(name: &str, bound: &str) -> Shard {
        let bound = Bound::read(bound).unwrap_or_else(|| panic!("{bound}"));
        Shard { name: QualifiedName::new("app", name), bound }
    }

    struct Case {
        shard: Shard,
        siblings: Vec<Shard>,
        order: KeyOrder,
        method: Method,
    }

    impl Case {
        fn new(method: Method, order: KeyOrder, bound: &str, siblings: &[&str]) -> Self {
            let siblings =
                siblings.iter().enumerate().map(|(at, bound)| shard(&format!("t_s{at:04}"), bound)).collect();
            Self { shard: shard("t_s0100", bound), siblings, order, method }
        }

        fn divided(&self) -> Divided<'_> {
            Divided { shard: &self.shard, siblings: &self.siblings, order: &self.order, shards_max: 1024 }
        }

        /// The new bounds, after the words that are alike in all.
        fn split(&self, written: &[&str]) -> Result<Vec<String>, ReshardError> {
            let columns: Vec<String> = self.order.columns().map(str::to_owned).collect();
            let written: Vec<String> = written.iter().map(|text| (*text).to_owned()).collect();
            let cuts = Cuts::read(self.method, &columns, &written)?;
            let told = |bound: &Bound| bound.sql().replace("FOR VALUES ", "");
            Ok(at(&self.divided(), &cuts, 2)?.iter().map(told).collect())
        }

        fn refused(&self, written: &[&str]) -> ReshardError {
            match self.split(written) {
                Err(error) => error,
                Ok(bounds) => panic!("{written:?} gave {bounds:?}"),
            }
        }
    }

    fn ranges(bound: &str, siblings: &[&str]) -> Case {
        Case::new(Method::Range, numbers(&["n"]), bound, siblings)
    }

    fn pairs(bound: &str) -> Case {
        Case::new(Method::Range, numbers(&["a", "b"]), bound, &[])
    }

    fn lists(bound: &str, siblings: &[&str]) -> Case {
        Case::new(Method::List, letters(), bound, siblings)
    }

    #[test]
    fn ranges_are_cut_between_their_ends() {
        let case = ranges("FOR VALUES FROM ('100') TO ('200')", &[]);
        assert_eq!(case.split(&["150"]).unwrap(), ["FROM ('100') TO ('150')", "FROM ('150') TO ('200')"]);
        // As the type writes it, and without regard to letters of numbers.
        assert_eq!(
            case.split(&["101.0", "199"]).unwrap(),
            ["FROM ('100') TO ('101')", "FROM ('101') TO ('199')", "FROM ('199') TO ('200')"]
        );
        let open = ranges("FOR VALUES FROM (MINVALUE) TO (MAXVALUE)", &[]);
        assert_eq!(open.split(&["0"]).unwrap(), ["FROM (MINVALUE) TO ('0')", "FROM ('0') TO (MAXVALUE)"]);
    }

    #[test]
    fn keys_of_several_columns_are_cut_at_rows() {
        let case = pairs("FOR VALUES FROM ('1', MINVALUE) TO ('3', '7')");
        assert_eq!(
            case.split(&["(2,MINVALUE)", "(3,6)"]).unwrap(),
            [
                "FROM ('1', MINVALUE) TO ('2', MINVALUE)",
                "FROM ('2', MINVALUE) TO ('3', '6')",
                "FROM ('3', '6') TO ('3', '7')"
            ]
        );
        assert!(matches!(case.refused(&["(1,MINVALUE)"]), ReshardError::OnBound { lower: true, .. }));
        assert!(matches!(case.refused(&["(3,7.0)"]), ReshardError::OnBound { lower: false, .. }));
        assert!(matches!(case.refused(&["(3,8)"]), ReshardError::Outside { .. }));
        assert!(matches!(case.refused(&["(3,MAXVALUE)"]), ReshardError::Outside { .. }));
        assert!(matches!(case.refused(&["(0,9)"]), ReshardError::Outside { .. }));
        assert!(matches!(case.refused(&["(2,5)", "(2,4)"]), ReshardError::NotAscending { .. }));
        assert!(matches!(case.refused(&["(2,5)", "(2,5.0)"]), ReshardError::Twice { .. }));
        // The second column has room although the first has none.
        let narrow = pairs("FOR VALUES FROM ('1', '1') TO ('1', '9')");
        assert_eq!(narrow.split(&["(1,5)"]).unwrap().len(), 2);
    }

    #[test]
    fn points_must_be_inside_and_ascend() {
        let case = ranges("FOR VALUES FROM ('100') TO ('200')", &[]);
        for outside in ["99", "201", "-50", "MINVALUE", "MAXVALUE"] {
            assert!(matches!(case.refused(&[outside]), ReshardError::Outside { .. }), "{outside}");
        }
        assert!(matches!(case.refused(&["100"]), ReshardError::OnBound { lower: true, .. }));
        assert!(matches!(case.refused(&["150", "200.0"]), ReshardError::OnBound { lower: false, .. }));
        assert!(matches!(case.refused(&["150", "120"]), ReshardError::NotAscending { .. }));
        assert!(matches!(case.refused(&["150", "150.0"]), ReshardError::Twice { .. }));
        assert!(matches!(case.refused(&[]), ReshardError::Parts { parts: 1, .. }));
        let open = ranges("FOR VALUES FROM (MINVALUE) TO (MAXVALUE)", &[]);
        assert!(matches!(open.refused(&["MINVALUE"]), ReshardError::OnBound { lower: true, .. }));
    }

    #[test]
    fn ranges_are_cut_out_of_default() {
        let case = ranges("DEFAULT", &["FOR VALUES FROM ('100') TO ('200')"]);
        assert_eq!(case.split(&["0", "50"]).unwrap(), ["FROM ('0') TO ('50')", "DEFAULT"]);
        assert_eq!(
            case.split(&["200", "300", "MAXVALUE"]).unwrap(),
            ["FROM ('200') TO ('300')", "FROM ('300') TO (MAXVALUE)", "DEFAULT"]
        );
        assert_eq!(case.split(&["MINVALUE", "100"]).unwrap(), ["FROM (MINVALUE) TO ('100')", "DEFAULT"]);
        for overlap in [&["50", "101"], &["0", "400"], &["150", "160"], &["199", "MAXVALUE"]] {
            assert!(matches!(case.refused(overlap), ReshardError::Overlap { .. }), "{overlap:?}");
        }
        assert!(matches!(case.refused(&["50"]), ReshardError::OnePoint { .. }));
        assert!(matches!(case.refused(&["50", "0"]), ReshardError::NotAscending { .. }));
        assert!(matches!(case.refused(&["50", "50"]), ReshardError::Twice { .. }));
    }

    #[test]
    fn values_of_a_list_are_given_to_new_shards() {
        let case = lists("FOR VALUES IN ('a', NULL, 'c', 'd')", &[]);
        assert_eq!(case.split(&["{d,a}"]).unwrap(), ["IN ('d', 'a')", "IN (NULL, 'c')"]);
        assert_eq!(case.split(&["{a,NULL}", "{c,d}"]).unwrap(), ["IN ('a', NULL)", "IN ('c', 'd')"]);
        // As the bound has it, and once.
        assert_eq!(case.split(&["{A,a}"]).unwrap(), ["IN ('a')", "IN (NULL, 'c', 'd')"]);
        assert!(matches!(case.refused(&["{a,b}"]), ReshardError::NotAccepted { .. }));
        assert!(matches!(case.refused(&["{a}", "{A}"]), ReshardError::InTwo { first: 1, second: 2, .. }));
        assert!(matches!(case.refused(&["{NULL}", "{c,NULL}"]), ReshardError::InTwo { .. }));
        assert!(matches!(case.refused(&[]), ReshardError::Parts { parts: 1, .. }));
        assert!(matches!(case.refused(&["{a,c,d,NULL}"]), ReshardError::Whole { .. }));
        let single = lists("FOR VALUES IN ('a')", &[]);
        assert!(matches!(single.refused(&["{a}"]), ReshardError::FewValues { values: 1, .. }));
        let without_null = lists("FOR VALUES IN ('a', 'b')", &[]);
        assert!(matches!(without_null.refused(&["{NULL}"]), ReshardError::NotAccepted { .. }));
    }

    #[test]
    fn lists_are_cut_out_of_default() {
        let case = lists("DEFAULT", &["FOR VALUES IN ('a', NULL)"]);
        assert_eq!(case.split(&["{b,c}", "{d}"]).unwrap(), ["IN ('b', 'c')", "IN ('d')", "DEFAULT"]);
        assert!(matches!(case.refused(&["{b,A}"]), ReshardError::Taken { .. }));
        assert!(matches!(case.refused(&["{NULL}"]), ReshardError::Taken { .. }));
        assert!(matches!(case.refused(&["{b}", "{c,B}"]), ReshardError::InTwo { .. }));
        let alone = lists("DEFAULT", &[]);
        assert_eq!(alone.split(&["{NULL}"]).unwrap(), ["IN (NULL)", "DEFAULT"]);
    }

    #[test]
    fn hash_shards_are_doubled() {
        let bound =
            |modulus, remainder| format!("FOR VALUES WITH (modulus {modulus}, remainder {remainder})");
        let case = |siblings: &[&str]| Case::new(Method::Hash, numbers(&["n"]), &bound(4, 1), siblings);
        let (one, six) = (bound(4, 0), bound(6, 0));
        let halves = hash(&case(&[&one]).divided(), 4, 1, 2).unwrap();
        assert_eq!(
            halves,
            [Bound::Hash { modulus: 8, remainder: 1 }, Bound::Hash { modulus: 8, remainder: 5 }]
        );
        let quarters = hash(&case(&[&one]).divided(), 4, 1, 4).unwrap();
        let remainders: Vec<String> = quarters.iter().map(Bound::sql).collect();
        assert_eq!(remainders, [bound(16, 1), bound(16, 5), bound(16, 9), bound(16, 13)]);
        for odd in [3, 6, 12] {
            let error = hash(&case(&[]).divided(), 4, 1, odd);
            assert!(matches!(error, Err(ReshardError::PowerOfTwo { .. })), "{odd}");
        }
        for few in [0, 1] {
            assert!(matches!(hash(&case(&[]).divided(), 4, 1, few), Err(ReshardError::Parts { .. })));
        }
        let error = hash(&case(&[&bound(12, 2)]).divided(), 4, 1, 2);
        assert!(matches!(error, Err(ReshardError::Moduli { modulus: 8, other_modulus: 12, .. })));
        assert!(hash(&case(&[&bound(16, 2), &bound(2, 0)]).divided(), 4, 1, 2).is_ok());
        assert!(hash(&case(&[&six]).divided(), 4, 1, 2).is_err());
        let error = hash(&case(&[]).divided(), 1 << 30, 1, 2);
        assert!(matches!(error, Err(ReshardError::Modulus { .. })));
        let error = hash(&case(&[]).divided(), 4, 1, 2048);
        assert!(matches!(error, Err(ReshardError::TooMany { count: 2048, limit: 1024 })));
        assert!(matches!(case(&[]).refused(&["7"]), ReshardError::PointsOfHash { .. }));
    }

    #[test]
    fn parts_and_points_must_agree() {
        let case = ranges("FOR VALUES FROM ('100') TO ('200')", &[]);
        let points = |written: &[&str]| {
            let written: Vec<String> = written.iter().map(|text| (*text).to_owned()).collect();
            Cuts::read(Method::Range, &["n".to_owned()], &written).unwrap()
        };
        let two = points(&["120", "150"]);
        assert_eq!(at(&case.divided(), &two, 3).unwrap().len(), 3);
        assert_eq!(at(&case.divided(), &two, 2).unwrap().len(), 3);
        assert_eq!(at(&case.divided(), &two, 4), Err(ReshardError::Contradiction { parts: 4, shards: 3 }));
        let few = Divided { shards_max: 2, ..case.divided() };
        assert_eq!(at(&few, &two, 2), Err(ReshardError::TooMany { count: 3, limit: 2 }));
    }
}
