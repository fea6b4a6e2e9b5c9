//! Every setting: one table of facts, and the checked values as a struct.
//!
//! The table is the single statement of names, types, defaults, limits, units
//! and meanings. `pg::guc` declares the server's variables from it, the view
//! `presplit.settings` and the README show it, tests compare them. What a user
//! typed is the server's variable; what it means is [`Settings`].

/// Who may change a setting, by PostgreSQL's own contexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    User,
    Superuser,
    Sighup,
    Postmaster,
}

/// Unit of a numeric setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    None,
    Milliseconds,
    Seconds,
    Kilobytes,
    Megabytes,
    Percent,
}

impl Unit {
    /// How the view `presplit.settings` names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Kilobytes => "kB",
            Self::Megabytes => "MB",
            Self::Percent => "%",
        }
    }
}

/// Type, default and limits of a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Bool { default: bool },
    Int { default: i32, min: i32, max: i32 },
    Real { default: f64, min: f64, max: f64 },
    Text { default: &'static str },
    Choice { default: &'static str, choices: &'static [&'static str] },
}

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// Name after the prefix `presplit.`.
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub context: Context,
    /// One phrase, as core's short descriptions.
    pub meaning: &'static str,
    /// Effect and trade-off.
    pub effect: &'static str,
}

impl Setting {
    /// What it takes, as a sentence goes on after "It takes".
    #[must_use]
    pub fn takes(&self) -> String {
        let unit = match self.unit {
            Unit::None => String::new(),
            unit => format!(" of {}", unit.word()),
        };
        match self.kind {
            Kind::Bool { .. } => "true or false".to_owned(),
            Kind::Int { min, max, .. } => format!("a whole number{unit} from {min} to {max}"),
            Kind::Real { min, max, .. } => format!("a number{unit} from {min} to {max}"),
            Kind::Text { .. } => "a string".to_owned(),
            Kind::Choice { choices, .. } => format!("one of the strings {}", choices.join(", ")),
        }
    }

    /// Whether a JSON value fits the setting's type and limits.
    #[must_use]
    pub fn admits(&self, value: &serde_json::Value) -> bool {
        match self.kind {
            Kind::Bool { .. } => value.is_boolean(),
            Kind::Int { min, max, .. } => {
                value.as_i64().is_some_and(|number| (i64::from(min)..=i64::from(max)).contains(&number))
            }
            Kind::Real { min, max, .. } => value.as_f64().is_some_and(|number| (min..=max).contains(&number)),
            Kind::Text { .. } => value.is_string(),
            Kind::Choice { choices, .. } => value.as_str().is_some_and(|word| choices.contains(&word)),
        }
    }
}

/// All settings, sorted by name.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "acceptable_query_time",
        kind: Kind::Real { default: 0.0, min: 0.0, max: 3_600_000.0 },
        unit: Unit::Milliseconds,
        context: Context::User,
        meaning: "Mean time per call of a table's statements above which a rebalance is considered.",
        effect: "Zero turns the rule off. A lower value leads to more and smaller shards.",
    },
    Setting {
        name: "cutover_budget",
        kind: Kind::Int { default: 500, min: 1, max: 3_600_000 },
        unit: Unit::Milliseconds,
        context: Context::User,
        meaning: "Longest time that any session may wait on a whole cutover.",
        effect: "A cutover that cannot finish within it gives way and is tried again later.",
    },
    Setting {
        name: "cutover_lock_timeout",
        kind: Kind::Int { default: 150, min: 1, max: 3_600_000 },
        unit: Unit::Milliseconds,
        context: Context::User,
        meaning: "Longest wait for one lock in a cutover.",
        effect: "A lower value makes others wait less and the cutover try more often.",
    },
    Setting {
        name: "cutover_snapshots",
        kind: Kind::Choice { default: "strict", choices: &["strict", "relaxed"] },
        unit: Unit::None,
        context: Context::User,
        meaning: "Whether a cutover waits for older snapshots.",
        effect: "With relaxed, statements that began before the cutover may miss the last changes, or fail with 40001.",
    },
    Setting {
        name: "data_retention_policy",
        kind: Kind::Text { default: "" },
        unit: Unit::None,
        context: Context::Superuser,
        meaning: "How long data are meant to be kept, for proposals.",
        effect: "Informs proposals only: nothing is dropped or archived except where configure_shards sets it for a table.",
    },
    Setting {
        name: "databases",
        kind: Kind::Text { default: "" },
        unit: Unit::None,
        context: Context::Sighup,
        meaning: "Databases that the launcher serves, separated by commas.",
        effect: "Empty means every database that has the extension.",
    },
    Setting {
        name: "load_workers",
        kind: Kind::Int { default: 0, min: 0, max: 1024 },
        unit: Unit::None,
        context: Context::User,
        meaning: "Maximum number of load workers for all sessions together.",
        effect: "Zero takes as many as there are cores with nothing else to do, within the free worker slots less two.",
    },
    Setting {
        name: "load_workers_min_size",
        kind: Kind::Int { default: 16384, min: -1, max: i32::MAX },
        unit: Unit::Kilobytes,
        context: Context::User,
        meaning: "Minimum size of the rows of a COPY into up to 16 shards that load workers are started for.",
        effect: "More shards need more in proportion. Smaller ones are loaded in the session; -1 loads all of them there.",
    },
    Setting {
        name: "max_replica_lag",
        kind: Kind::Int { default: 10, min: 0, max: 86_400 },
        unit: Unit::Seconds,
        context: Context::Sighup,
        meaning: "Replica lag above which operations pause.",
        effect: "Zero never pauses.",
    },
    Setting {
        name: "max_shards_per_table",
        kind: Kind::Int { default: 1024, min: 1, max: 32_768 },
        unit: Unit::None,
        context: Context::User,
        meaning: "Maximum number of shards that a proposal may give one table.",
        effect: "Statements that cannot be pruned become slower to plan with every shard.",
    },
    Setting {
        name: "max_snapshot_age",
        kind: Kind::Int { default: 30, min: 0, max: 86_400 },
        unit: Unit::Seconds,
        context: Context::User,
        meaning: "Age of a snapshot above which a cutover is postponed.",
        effect: "Cutovers wait for older snapshots; long-running queries would make them wait in vain.",
    },
    Setting {
        name: "max_workers",
        kind: Kind::Int { default: 2, min: 0, max: 1024 },
        unit: Unit::None,
        context: Context::Postmaster,
        meaning: "Maximum number of concurrent job workers.",
        effect: "Each takes one of max_worker_processes.",
    },
    Setting {
        name: "min_free_disk",
        kind: Kind::Int { default: 10, min: 0, max: 100 },
        unit: Unit::Percent,
        context: Context::Sighup,
        meaning: "Share of each file system that an operation writes to that must stay free.",
        effect: "Operations wait while less is free where the data directory, pg_wal or a tablespace of new shards is.",
    },
    Setting {
        name: "operations_enabled",
        kind: Kind::Bool { default: true },
        unit: Unit::None,
        context: Context::Sighup,
        meaning: "Whether operations run.",
        effect: "When off, everything stops at its next chunk.",
    },
    Setting {
        name: "parallel_copy",
        kind: Kind::Bool { default: true },
        unit: Unit::None,
        context: Context::User,
        meaning: "Whether COPY into a sharded table may use load workers.",
        effect: "When off, rows are routed in the session.",
    },
    Setting {
        name: "pause_at",
        kind: Kind::Text { default: "" },
        unit: Unit::None,
        context: Context::Superuser,
        meaning: "Phases at which a worker waits on an advisory lock.",
        effect: "For tests: names separated by commas.",
    },
    Setting {
        name: "predicted_data_volume",
        kind: Kind::Int { default: 0, min: 0, max: i32::MAX },
        unit: Unit::Megabytes,
        context: Context::User,
        meaning: "Expected size of all user tables at the horizon.",
        effect: "Zero takes the forecast. A declared volume replaces it, shared by the forecast of each table.",
    },
    Setting {
        name: "predicted_peak_qps",
        kind: Kind::Real { default: 0.0, min: 0.0, max: 1e9 },
        unit: Unit::None,
        context: Context::User,
        meaning: "Expected queries per second at peak, for the whole database.",
        effect: "Zero takes the rate of the workload. A higher rate makes planning time weigh more.",
    },
    Setting {
        name: "rebalance_mode",
        kind: Kind::Choice { default: "advise", choices: &["off", "advise", "auto"] },
        unit: Unit::None,
        context: Context::Superuser,
        meaning: "Whether the worker decides, and whether it acts.",
        effect: "With advise it only records what it would do.",
    },
    Setting {
        name: "rebalance_threshold",
        kind: Kind::Real { default: 0.5, min: 0.0, max: 1000.0 },
        unit: Unit::None,
        context: Context::User,
        meaning: "Tolerated skew: largest shard over the mean, less one, of size or load.",
        effect: "The alarm ends at 0.6 of it. A lower value leads to more splits.",
    },
    Setting {
        name: "reshard_rate_limit",
        kind: Kind::Int { default: 32_768, min: 0, max: i32::MAX },
        unit: Unit::Kilobytes,
        context: Context::User,
        meaning: "Maximum rate at which an operation copies, per second.",
        effect: "Zero sets no limit.",
    },
    Setting {
        name: "restore_hook",
        kind: Kind::Bool { default: true },
        unit: Unit::None,
        context: Context::Superuser,
        meaning: "Whether statements for armed tables are rewritten.",
        effect: "When off, an event trigger still refuses to create an armed table whole.",
    },
    Setting {
        name: "retention_grace",
        kind: Kind::Int { default: 604_800, min: 0, max: i32::MAX },
        unit: Unit::Seconds,
        context: Context::User,
        meaning: "How long a shard detached by retention is kept before it is dropped.",
        effect: "Within it the shard can be attached again.",
    },
    Setting {
        name: "retired_shard_grace",
        kind: Kind::Int { default: 86_400, min: 0, max: i32::MAX },
        unit: Unit::Seconds,
        context: Context::User,
        meaning: "How long a replaced shard is kept.",
        effect: "It takes no rows, and its disk space is not yet free.",
    },
    Setting {
        name: "sample_rate",
        kind: Kind::Real { default: 0.0, min: 0.0, max: 1.0 },
        unit: Unit::None,
        context: Context::Superuser,
        meaning: "Share of executions whose key values are sampled.",
        effect: "Zero samples nothing. Works only where shared_preload_libraries has the library.",
    },
    Setting {
        name: "unique_policy",
        kind: Kind::Choice { default: "strict", choices: &["strict", "extend", "per_shard"] },
        unit: Unit::None,
        context: Context::User,
        meaning: "What becomes of unique constraints that do not include the shard key.",
        effect: "Strict refuses, extend appends the key, per_shard keeps uniqueness only inside each shard.",
    },
    Setting {
        name: "window",
        kind: Kind::Text { default: "" },
        unit: Unit::None,
        context: Context::Sighup,
        meaning: "Time of day in which copies, cutovers and drops may run, as 01:00-05:00 Europe/Berlin.",
        effect: "Empty means always. Shards for the time ahead are made at any time. The word is one of SQL: write presplit.\"window\" in ALTER SYSTEM.",
    },
    Setting {
        name: "worker_naptime",
        kind: Kind::Int { default: 10, min: 1, max: 86_400 },
        unit: Unit::Seconds,
        context: Context::Sighup,
        meaning: "Time between two looks of the worker at each database.",
        effect: "A lower value notices changes sooner and costs more.",
    },
];

/// What becomes of unique constraints that do not include the shard key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniquePolicy {
    /// Refuse.
    #[default]
    Strict,
    /// Append the shard key.
    Extend,
    /// Keep it inside each shard only.
    PerShard,
}

impl UniquePolicy {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Extend => "extend",
            Self::PerShard => "per_shard",
        }
    }
}

/// The settings that a proposal depends on, in checked form.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Queries per second at peak; none = from the workload.
    pub peak_qps: Option<f64>,
    /// Bytes of all user tables at the horizon; none = forecast.
    pub data_volume_bytes: Option<f64>,
    pub retention_policy: String,
    pub unique_policy: UniquePolicy,
    pub shards_per_table_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            peak_qps: None,
            data_volume_bytes: None,
            retention_policy: String::new(),
            unique_policy: UniquePolicy::Strict,
            shards_per_table_max: 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert!(SETTINGS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for setting in SETTINGS {
            assert!(setting.meaning.ends_with('.') && setting.effect.ends_with('.'), "{}", setting.name);
            match setting.kind {
                Kind::Int { default, min, max } => assert!((min..=max).contains(&default)),
                Kind::Real { default, min, max } => assert!((min..=max).contains(&default)),
                Kind::Choice { default, choices } => assert!(choices.contains(&default)),
                Kind::Bool { .. } | Kind::Text { .. } => {}
            }
        }
    }
}
