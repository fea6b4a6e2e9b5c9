//! Numbers as sentences show them.
//!
//! Invariant: two significant digits, and the unit behind them.

use crate::planning::proposal::cost;

/// A number with six significant digits: what is stored reads back the same.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// A number with two significant digits.
pub fn short(value: f64) -> String {
    let value = if value.abs() < 1e-9 { 0.0 } else { value };
    match value.abs() {
        size if size >= 10.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}").trim_end_matches(".0").to_owned(),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.1e}"),
    }
}

pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.1 {
        "less than 0.1 %".to_owned()
    } else {
        format!("{} %", short(percent))
    }
}

pub fn rate(value: f64) -> String {
    format!("{} {}", short(value), cost::UNIT)
}

pub fn milliseconds(value: f64) -> String {
    format!("{} ms", short(value))
}

/// Bytes as `pg_size_pretty` writes them: units of 1024.
pub fn bytes(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["bytes", "kB", "MB", "GB"] {
        if value < 1024.0 {
            return format!("{} {unit}", short(value));
        }
        value /= 1024.0;
    }
    format!("{} TB", short(value))
}

pub fn duration(micros: i64) -> String {
    const DAY: f64 = 86_400e6;
    let days = micros as f64 / DAY;
    if days < 1.0 {
        return format!("{} hours", short(days * 24.0));
    }
    if days >= 365.25 { format!("{:.1} years", days / 365.25) } else { format!("{} days", short(days)) }
}
