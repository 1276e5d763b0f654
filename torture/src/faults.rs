//! Faults.
use anyhow::Result;

use crate::{Options, Report};

pub(crate) fn run(_options: &Options) -> Result<Report> {
    Ok(Report::default())
}

pub(crate) fn self_test(_options: &Options) -> Result<Report> {
    Ok(Report::default())
}
