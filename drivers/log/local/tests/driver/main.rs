//! The driver through its trait, on real files.

#![allow(clippy::unwrap_used)]

#[path = "../../../../shared/testing/logfiles/common.rs"]
mod common;
mod conformance;
mod damage;
#[path = "../../../../shared/testing/logfiles/follow.rs"]
mod follow;
#[path = "../../../../shared/testing/logfiles/full.rs"]
mod full;
#[path = "../../../../shared/testing/logfiles/read.rs"]
mod read;
#[path = "../../../../shared/testing/logfiles/resume.rs"]
mod resume;
#[path = "../../../../shared/testing/logfiles/rotation.rs"]
mod rotation;
mod subject;
#[path = "../../../../shared/testing/logfiles/torn.rs"]
mod torn;
#[path = "../../../../shared/testing/warnings.rs"]
mod warnings;
mod write;
