//! What keeps a forecast from being made.
//!
//! Only input that makes a forecast meaningless is refused. Thin history is
//! not an error: it gives a forecast that says how little it rests on.

use thiserror::Error;

use crate::model::report::Report;
use crate::model::report::SqlState;
use crate::planning::forecast::DAY;
use crate::planning::forecast::HORIZON_MAX;
use crate::planning::forecast::series::VALUE_MAX;

/// Input that no forecast can be made from.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ForecastError {
    #[error("series has no observation")]
    EmptySeries,
    #[error("series has {times} times and {values} values")]
    UnequalLengths { times: usize, values: usize },
    /// `position` counts from 1, as SQL arrays do.
    #[error("observation {position} is not a finite number in range")]
    NotFinite { position: usize, value: f64 },
    /// The horizon in microseconds.
    #[error("horizon is outside the supported range")]
    Horizon(i64),
    #[error("expected rows per day is not a finite number in range")]
    ExpectedRate(f64),
    /// In bytes.
    #[error("expected size is not a finite number in range")]
    ExpectedVolume(f64),
    #[error("size of table \"{table}\" is not a finite number in range")]
    TableSize { table: String },
}

impl Report for ForecastError {
    fn sqlstate(&self) -> SqlState {
        SqlState::InvalidParameterValue
    }
    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::EmptySeries => "A forecast starts from at least one observed value.".to_owned(),
            Self::UnequalLengths { .. } => "Every value belongs to the time at the same position.".to_owned(),
            Self::NotFinite { value, .. } => {
                format!("The value is {value}; values lie between -{VALUE_MAX:e} and {VALUE_MAX:e}.")
            }
            // What is longer than the calendar was not counted.
            Self::Horizon(micros) if micros.saturating_abs() > 1000 * HORIZON_MAX => {
                format!("It must be more than zero and at most {} days (100 years).", HORIZON_MAX / DAY)
            }
            Self::Horizon(micros) => format!(
                "The horizon is {} days; it must be more than zero and at most {} days (100 years).",
                *micros as f64 / DAY as f64,
                HORIZON_MAX / DAY
            ),
            Self::ExpectedRate(rate) => {
                format!("The rate is {rate}; rates lie between -{VALUE_MAX:e} and {VALUE_MAX:e}.")
            }
            Self::ExpectedVolume(bytes) => {
                format!("It is {bytes} bytes; sizes are not negative and at most {VALUE_MAX:e}.")
            }
            Self::TableSize { .. } => "Rows and bytes must be finite and not negative.".to_owned(),
        })
    }
    fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::EmptySeries => "Give at least four observations for a forecast with an interval.",
                Self::UnequalLengths { .. } => "Give two arrays of the same length.",
                Self::NotFinite { .. } => "Leave out observations that have no value.",
                Self::Horizon(_) => "Give a horizon such as '90 days'.",
                Self::ExpectedRate(_) => {
                    "Give the expected rows per day as a number, or null to use the forecast."
                }
                Self::ExpectedVolume(_) => "Give the expected size in MB, or null to use the forecast.",
                Self::TableSize { .. } => "Run ANALYZE on the table and capture the profile again.",
            }
            .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_follow_the_style_guide() {
        for error in [
            ForecastError::EmptySeries,
            ForecastError::UnequalLengths { times: 1, values: 2 },
            ForecastError::NotFinite { position: 1, value: f64::NAN },
            ForecastError::Horizon(-DAY),
            ForecastError::ExpectedRate(f64::INFINITY),
            ForecastError::ExpectedVolume(-1.0),
            ForecastError::TableSize { table: "public.t".to_owned() },
        ] {
            let message = error.to_string();
            assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
            assert_eq!(error.sqlstate().code(), "22023");
            for text in [error.detail().unwrap(), error.hint().unwrap()] {
                assert!(text.starts_with(char::is_uppercase) && text.ends_with('.'), "{text}");
            }
        }
        let detail = ForecastError::Horizon(-DAY).detail().unwrap();
        assert_eq!(
            detail,
            "The horizon is -1 days; it must be more than zero and at most 36525 days (100 years)."
        );
    }
}
