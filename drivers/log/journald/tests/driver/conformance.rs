//! The suite that every log driver passes, on each format of the journal's files.

use crate::private::{Private, driver};
use gantry_plugin_testkit::log::suite;

#[test]
fn with_the_files_this_journald_writes() {
    let Some(private) = Private::start() else { return };
    suite(|| driver(&private));
}

#[test]
fn with_the_files_of_an_older_journald() {
    let older =
        [("SYSTEMD_JOURNAL_COMPACT", "0"), ("SYSTEMD_JOURNAL_KEYED_HASH", "0"), ("SYSTEMD_JOURNAL_COMPRESS", "LZ4")];
    let Some(private) = Private::with("", &older) else { return };
    suite(|| driver(&private));
}
