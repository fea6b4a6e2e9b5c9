//! Values that a statement is planned with, since the planner prunes by values.
//!
//! Values of real executions where some were sampled; else quantiles of the
//! column that a parameter is compared with: of what was sampled of it, else
//! of its common values and histogram. Drawn evenly, not at random: the same
//! profile gives the same values. Two columns of one statement are drawn out
//! of step, so that their values do not go together by accident.

use crate::model::access::Analysis;
use crate::model::access::StatementFacts;
use crate::model::key::KeyType;
use crate::model::key::KeyValue;
use crate::model::profile::Column;
use crate::model::profile::Profile;
use crate::model::profile::Sample;
use crate::model::profile::SampledValue;
use crate::model::profile::Statement;
use crate::model::profile::Table;
use crate::model::sample::Access;
use crate::model::statistics::ColumnStatistics;
use crate::model::what_if::Draw;
use crate::model::what_if::Drawn;
use crate::model::what_if::Parameter;
use crate::model::what_if::ParameterUse;
use crate::planning::proposal::CostConstants;

/// The golden ratio's fraction, which keeps shifted draws apart.
const SHIFT: f64 = 0.618_033_988_749_895;

/// What values are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub profile: &'a Profile,
    pub statement: &'a Statement,
    pub analysis: &'a Analysis,
    pub constants: &'a CostConstants,
}

/// Sets of values for the parameters of a statement, so many times as many as
/// usual; at least one.
#[must_use]
pub fn draws(source: &Source<'_>, parameters: &[Parameter], times: usize) -> Vec<Draw> {
    let most = (source.constants.evidence_draws * times).max(1);
    let samples = &source.statement.samples;
    let of_columns = parameters.iter().any(|one| one.uses.iter().any(|used| used.1.is_some()));
    let count = match samples.len() {
        0 if of_columns => most,
        0 => 1,
        known => known.min(most),
    };
    (0..count)
        .map(|at| {
            let sample = samples.get(at * samples.len() / count);
            let value = |parameter: &Parameter| one(source, parameters, parameter, sample, at, count);
            Draw { weight: 1.0, values: parameters.iter().map(value).collect() }
        })
        .collect()
}

/// The value of one parameter in one draw.
fn one(
    source: &Source<'_>,
    all: &[Parameter],
    parameter: &Parameter,
    sample: Option<&Sample>,
    at: usize,
    count: usize,
) -> Drawn {
    if !parameter.readable {
        return Drawn::Unknown;
    }
    let list = parameter.uses.iter().any(|used| used.0 == ParameterUse::List);
    match sample.and_then(|sample| sample.get(parameter.number - 1)) {
        Some(SampledValue::Null) => return Drawn::Null,
        Some(SampledValue::Value(value)) => return Drawn::Value(value.clone()),
        Some(SampledValue::List(values)) if list => {
            let known: Vec<&String> = values.iter().flatten().collect();
            return Drawn::Value(array(&known));
        }
        Some(SampledValue::List(values)) => {
            return values.first().cloned().flatten().map_or(Drawn::Null, Drawn::Value);
        }
        Some(SampledValue::Omitted(_)) | None => {}
    }
    let (mut columns, mut place) = (Vec::new(), 0);
    for other in all {
        for (_, column) in other.uses.iter().take(1) {
            if other.number < parameter.number && !columns.contains(&column) {
                columns.push(column);
                place += 1;
            }
        }
    }
    let share = (at as f64 + 0.5) / count as f64;
    let drawn = parameter.uses.iter().find_map(|(used, column)| match (used, column) {
        (ParameterUse::Limit, _) => Some(limit(source)),
        (used, Some((relation, name))) => {
            let table = source.profile.table(relation)?;
            let column = table.column(name)?;
            let asked = Asked { source, all, parameter, table, column, share, place };
            asked.value(*used)
        }
        (_, None) => None,
    });
    drawn.map_or(Drawn::Unknown, Drawn::Value)
}

/// Rows that a limited statement returns.
fn limit(source: &Source<'_>) -> String {
    let statement = source.statement;
    let returned = if statement.calls > 0.0 { statement.rows / statement.calls } else { 0.0 };
    let rows = if returned > 0.0 { returned.ceil() } else { source.constants.limit_rows };
    format!("{rows:.0}")
}

/// A value that is wanted of a column.
struct Asked<'a> {
    source: &'a Source<'a>,
    all: &'a [Parameter],
    parameter: &'a Parameter,
    table: &'a Table,
    column: &'a Column,
    /// Which quantile, between zero and one.
    share: f64,
    /// Columns that parameters before this one are compared with.
    place: usize,
}

impl Asked<'_> {
    fn value(&self, used: ParameterUse) -> Option<String> {
        match used {
            ParameterUse::Equality => self.equal(self.before(ParameterUse::Equality)),
            ParameterUse::List => {
                let values: Vec<String> = (0..self.source.constants.in_list_values as usize)
                    .filter_map(|at| self.equal(at))
                    .collect();
                let mut known: Vec<&String> = Vec::new();
                for value in &values {
                    if !known.contains(&value) {
                        known.push(value);
                    }
                }
                (!known.is_empty()).then(|| array(&known))
            }
            ParameterUse::Lower => {
                self.sampled(Access::RangeLower).or_else(|| self.quantile(self.window().0))
            }
            ParameterUse::Upper => {
                self.sampled(Access::RangeUpper).or_else(|| self.quantile(self.window().1))
            }
            ParameterUse::Ago => {
                let moment = self.source.profile.captured_micros()?;
                let (from, _) = self.window();
                match self.column.type_name.key_type().read(&self.quantile(from)?)? {
                    KeyValue::Micros(at) => {
                        Some(format!("{} microseconds", moment.saturating_sub(at).max(0)))
                    }
                    _ => None,
                }
            }
            ParameterUse::Limit => None,
        }
    }

    /// How many parameters before this one are used in the same way with the
    /// same column.
    fn before(&self, used: ParameterUse) -> usize {
        let same = (used, Some((self.table.name(), self.column.name.clone())));
        self.all
            .iter()
            .filter(|other| other.number < self.parameter.number && other.uses.contains(&same))
            .count()
    }

    fn statistics(&self) -> Option<&ColumnStatistics> {
        self.column.statistics.as_ref()
    }

    /// A value that rows, or executions, have; the `nth` of several.
    fn equal(&self, nth: usize) -> Option<String> {
        let share = (self.share + SHIFT * (self.place + nth) as f64).fract();
        let sampled = [Access::Equality, Access::InList];
        if let Some(value) = sampled.iter().find_map(|access| self.sampled_at(*access, share)) {
            return Some(value);
        }
        let statistics = self.statistics()?;
        let mut passed = 0.0;
        let total = 1.0 - statistics.null_fraction.clamp(0.0, 1.0);
        let in_common: f64 = statistics.common_fractions.iter().sum();
        let bounded = statistics.histogram.len() > 1;
        let total = if bounded { total } else { in_common };
        for (value, fraction) in statistics.common_values.iter().zip(&statistics.common_fractions) {
            passed += fraction;
            if share * total < passed {
                return Some(value.clone());
            }
        }
        let rest = (total - in_common).max(f64::EPSILON);
        let within = ((share * total - in_common) / rest).clamp(0.0, 1.0);
        let between = statistics.histogram.len().checked_sub(1)?;
        // In between: the bounds themselves are where shards begin.
        let at = (within * between as f64) as usize;
        self.middle(&statistics.histogram, at).or_else(|| statistics.histogram.get(at).cloned())
    }

    /// A value between two bounds of a histogram.
    fn middle(&self, histogram: &[String], at: usize) -> Option<String> {
        let kind = self.column.type_name.key_type();
        let (low, high) = (kind.read(histogram.get(at)?)?, kind.read(histogram.get(at + 1)?)?);
        match (low, high) {
            (KeyValue::Integer(low), KeyValue::Integer(high)) => Some((low + (high - low) / 2).to_string()),
            (KeyValue::Micros(low), KeyValue::Micros(high)) => kind.write_moment(low + (high - low) / 2),
            _ => None,
        }
    }

    /// A value that executions used.
    fn sampled(&self, access: Access) -> Option<String> {
        self.sampled_at(access, self.share)
    }

    fn sampled_at(&self, access: Access, share: f64) -> Option<String> {
        let sampled = self.column.sampled.iter().find(|one| one.access == access && one.values > 0)?;
        let total = sampled.values as f64;
        let mut passed = 0.0;
        for value in sampled.holding().filter(|value| value.value.hash.is_none()) {
            passed += value.certain() as f64;
            if share * total < passed {
                return Some(value.value.value.clone());
            }
        }
        let rest: Vec<_> = sampled.reservoir.iter().filter(|value| value.hash.is_none()).collect();
        let within = ((share * total - passed) / (total - passed).max(f64::EPSILON)).clamp(0.0, 1.0);
        let at = (within * rest.len() as f64) as usize;
        rest.get(at.min(rest.len().saturating_sub(1))).map(|value| value.value.clone())
    }

    /// The quantiles between which a range lies.
    fn window(&self) -> (f64, f64) {
        let constants = self.source.constants;
        let column = Some((self.table.name(), self.column.name.clone()));
        let has =
            |used: ParameterUse| self.all.iter().any(|other| other.uses.contains(&(used, column.clone())));
        let returned = self.returned();
        match (has(ParameterUse::Lower), has(ParameterUse::Upper)) {
            (true, true) => {
                let share = returned.unwrap_or(constants.window_share).clamp(0.0, 1.0);
                let from = self.share * (1.0 - share);
                (from, from + share)
            }
            (false, true) => (0.0, returned.unwrap_or(constants.half_open_share)),
            _ => {
                let recent = self.column.type_name.key_type().is_time();
                let prior = if recent { constants.recent_share } else { constants.half_open_share };
                (1.0 - returned.unwrap_or(prior), 1.0)
            }
        }
    }

    /// The share of the table that a statement returns, if what it returns is
    /// what its one predicate leaves.
    fn returned(&self) -> Option<f64> {
        let Analysis::Facts(facts) = self.source.analysis else { return None };
        let StatementFacts { mentions, limited, aggregated, .. } = facts;
        let [mention] = &mentions[..] else { return None };
        let alone = mention
            .accesses
            .iter()
            .filter(|access| access.kind.narrows())
            .all(|access| access.columns.first() == Some(&self.column.name));
        let statement = self.source.statement;
        let tells = alone && !limited && !aggregated && statement.calls > 0.0 && statement.rows > 0.0;
        (tells && self.table.rows > 0.0)
            .then(|| (statement.rows / statement.calls / self.table.rows).clamp(0.0, 1.0))
    }

    /// The value below which that share of the rows lies.
    fn quantile(&self, share: f64) -> Option<String> {
        let statistics = self.statistics()?;
        let kind = self.column.type_name.key_type();
        if statistics.histogram.len() > 1 {
            let last = statistics.histogram.len() - 1;
            let place = share.clamp(0.0, 1.0) * last as f64;
            let at = (place as usize).min(last);
            return interpolated(&statistics.histogram, at, place.fract(), kind)
                .or_else(|| statistics.histogram.get(place.round() as usize).cloned());
        }
        let mut common: Vec<(&String, f64)> =
            statistics.common_values.iter().zip(statistics.common_fractions.iter().copied()).collect();
        common.sort_by(|a, b| match (kind.read(a.0), kind.read(b.0)) {
            (Some(x), Some(y)) => x.compare(&y).unwrap_or_else(|| a.0.cmp(b.0)),
            _ => a.0.cmp(b.0),
        });
        let total: f64 = common.iter().map(|one| one.1).sum();
        let mut passed = 0.0;
        let found = common.iter().find(|one| {
            passed += one.1;
            passed >= share * total
        });
        found.map(|one| one.0.clone())
    }
}

/// The value at a fraction of the way between two bounds of a histogram.
fn interpolated(histogram: &[String], at: usize, fraction: f64, kind: KeyType) -> Option<String> {
    let low = kind.read(histogram.get(at)?)?;
    let high = kind.read(histogram.get(at + 1)?)?;
    match (low, high) {
        (KeyValue::Integer(low), KeyValue::Integer(high)) => {
            Some((low + ((high - low) as f64 * fraction) as i128).to_string())
        }
        (KeyValue::Micros(low), KeyValue::Micros(high)) => {
            kind.write_moment(low + ((high - low) as f64 * fraction) as i64)
        }
        _ => None,
    }
}

/// An array in text form.
fn array(values: &[&String]) -> String {
    let quoted =
        values.iter().map(|value| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")));
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Access as ColumnAccess;
    use crate::model::access::AccessKind;
    use crate::model::access::Mention;
    use crate::model::name::QualifiedName;
    use serde_json::json;

    fn profile(
        statistics: serde_json::Value,
        sampled: serde_json::Value,
        samples: serde_json::Value,
    ) -> Profile {
        let of = |name: &str| json!({"schema": "pg_catalog", "name": name, "text": name});
        Profile::from_json(json!({
            "format": "pg_presplit profile", "version": 2, "captured_at": "2026-01-02T00:00:00Z",
            "server_version_num": 150_000, "database": "d",
            "tables": [{"schema": "app", "table": "t", "kind": "ordinary", "rows": 1000, "heap_bytes": 8192, "index_bytes": 0, "toast_bytes": 0,
                "columns": [{"name": "k", "type": of("integer"), "not_null": false, "statistics": statistics, "sampled": sampled},
                            {"name": "at", "type": of("timestamp with time zone"), "not_null": true, "statistics":
                                {"null_fraction": 0.0, "width": 8.0, "distinct": -1.0,
                                 "histogram": ["2025-12-23 00:00:00+00", "2026-01-02 00:00:00+00"]}}]}],
            "workload": {"statements": [{"queryid": 1, "query": "", "calls": 10.0, "exec_ms": 1.0, "rows": 70.0, "samples": samples}]}
        }))
        .unwrap()
    }

    fn drawn(profile: &Profile, uses: &[(ParameterUse, &str)]) -> Vec<Vec<Drawn>> {
        let mention = Mention {
            relation: QualifiedName::new("app", "t"),
            accesses: vec![
                ColumnAccess::of(AccessKind::Equality, "k"),
                ColumnAccess::of(AccessKind::Range, "at"),
            ],
        };
        let analysis =
            Analysis::Facts(StatementFacts { mentions: vec![mention], ..StatementFacts::default() });
        let constants = CostConstants::default();
        let source = Source {
            profile,
            statement: &profile.workload.statements[0],
            analysis: &analysis,
            constants: &constants,
        };
        let parameters: Vec<Parameter> = (1..)
            .zip(uses)
            .map(|(number, (used, column))| {
                let column =
                    (!column.is_empty()).then(|| (QualifiedName::new("app", "t"), (*column).to_owned()));
                Parameter { number, uses: vec![(*used, column)], readable: true }
            })
            .collect();
        draws(&source, &parameters, 1).into_iter().map(|draw| draw.values).collect()
    }

    fn values(drawn: &[Vec<Drawn>], at: usize) -> Vec<&str> {
        let text = |values: &'_ Vec<Drawn>| match &values[at] {
            Drawn::Value(text) => text.clone(),
            other => format!("{other:?}"),
        };
        drawn.iter().map(|one| text(one).leak() as &str).collect()
    }

    fn statistics() -> serde_json::Value {
        json!({"null_fraction": 0.0, "width": 4.0, "distinct": -0.5, "common_values": ["7"], "common_fractions": [0.4],
               "histogram": ["0", "100", "200", "300"]})
    }

    #[test]
    fn equal_values_are_as_frequent_as_in_the_table() {
        let profile = profile(statistics(), json!([]), json!([]));
        let found = drawn(&profile, &[(ParameterUse::Equality, "k")]);
        assert_eq!(values(&found, 0), ["7", "7", "50", "150", "250"]);
        assert_eq!(found, drawn(&profile, &[(ParameterUse::Equality, "k")]));
    }

    #[test]
    fn ranges_are_windows_and_what_is_recent_ends_now() {
        let profile = profile(statistics(), json!([]), json!([]));
        let found = drawn(&profile, &[(ParameterUse::Lower, "k"), (ParameterUse::Upper, "k")]);
        assert_eq!(values(&found, 0), ["28", "85", "142", "199", "256"]);
        assert_eq!(values(&found, 1), ["43", "100", "157", "214", "271"]);
        let found = drawn(&profile, &[(ParameterUse::Lower, "at")]);
        assert_eq!(values(&found, 0), ["2026-01-01 00:00:00+00"; 5]);
        // One day of ten, before the moment of the profile.
        let found = drawn(&profile, &[(ParameterUse::Ago, "at")]);
        assert_eq!(values(&found, 0), ["86400000000 microseconds"; 5]);
    }

    #[test]
    fn values_of_executions_come_first() {
        let samples = json!([["1", null], [false, "x"], [["3", "4"], "y"]]);
        let found = drawn(
            &profile(statistics(), json!([]), samples),
            &[(ParameterUse::Equality, "k"), (ParameterUse::Equality, "")],
        );
        assert_eq!(values(&found, 0)[0], "1");
        assert_eq!(values(&found, 0)[2], "3");
        assert_eq!(found[0][1], Drawn::Null);
        let sampled = json!([{"access": "equality", "sampled": 10, "executions": 10.0, "values": 10,
            "frequent": [{"value": "42", "count": 9, "error": 0}], "reservoir": [{"value": "43"}], "reservoir_of": 10}]);
        let found = drawn(&profile(statistics(), sampled, json!([])), &[(ParameterUse::Equality, "k")]);
        assert_eq!(values(&found, 0), ["42", "42", "42", "42", "43"]);
    }

    #[test]
    fn lists_limits_and_the_unknown() {
        let profile = profile(statistics(), json!([]), json!([]));
        let found = drawn(
            &profile,
            &[(ParameterUse::List, "k"), (ParameterUse::Limit, ""), (ParameterUse::Equality, "")],
        );
        assert!(values(&found, 0).iter().all(|list| list.starts_with("{\"") && list.ends_with("\"}")));
        assert_eq!((values(&found, 1)[0], &found[0][2]), ("7", &Drawn::Unknown));
        assert_eq!(drawn(&profile, &[]), [Vec::new()]);
        assert_eq!(array(&[&"a\"b".to_owned(), &"c\\".to_owned()]), "{\"a\\\"b\",\"c\\\\\"}");
    }
}
