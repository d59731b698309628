//! The suite that every log driver passes, with the defaults and with each option that changes the files.

use gantry_driver_log_local::Local;
use gantry_plugin_api::options::Options;
use gantry_plugin_testkit::log::{suite, suite_with};

#[test]
fn with_defaults() {
    suite(Local::default);
}

#[test]
fn rotating_and_compressing() {
    suite_with(Local::default, &Options::from_pairs([("max-size", "200k"), ("max-file", "50")]));
}

#[test]
fn rotating_often() {
    let pairs = [("max-size", "20k"), ("max-file", "400"), ("compress", "false")];
    suite_with(Local::default, &Options::from_pairs(pairs));
}
