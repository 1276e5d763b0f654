//! What the operator sees: log lines and metrics.

mod log;
mod metrics;

pub use log::{set_level as set_log_level, start as start_log};
pub use metrics::{Metrics, Outcome, Route, StoreReadings, Sweep, VerifyCounts};
