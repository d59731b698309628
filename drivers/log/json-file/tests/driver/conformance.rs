//! The suite that every log driver passes, with the defaults and with each option that changes the files.

use gantry_driver_log_json_file::JsonFile;
use gantry_plugin_api::options::Options;
use gantry_plugin_testkit::log::{suite, suite_with};

#[test]
fn with_defaults() {
    suite(JsonFile::default);
}

#[test]
fn rotating_and_compressing() {
    let pairs = [("max-size", "200k"), ("max-file", "50"), ("compress", "true"), ("partial-metadata", "true")];
    suite_with(JsonFile::default, &Options::from_pairs(pairs));
}

#[test]
fn rotating_often() {
    suite_with(JsonFile::default, &Options::from_pairs([("max-size", "20k"), ("max-file", "400")]));
}
