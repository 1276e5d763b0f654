//! What holds an image, and what goes when nothing does.

use super::super::Meta;

pub(super) async fn run(_meta: &Meta) {}
