//! Attributes that change, and a disk that is full.

use crate::common::*;
use gantry_plugin_api::log::*;

#[test]
fn batches_with_different_attributes_are_apart() {
    let mut log = Log::new(&[]);
    for (tag, numbers) in [("a", 0..3), ("b", 3..5), ("", 5..9)] {
        log.container.attributes = if tag.is_empty() { vec![] } else { vec![("tag".into(), tag.into())] };
        write(&mut *log.sink(), &lines(numbers), 10, 1);
    }
    let mut seen = Vec::new();
    let mut emit = |batch: &[LogRecord<'_>], attributes: &[(String, String)]| {
        seen.push((batch.len(), attributes.first().map(|(_, value)| value.clone()).unwrap_or_default()));
    };
    log.reader(ReadQuery::default()).next(100, 0, &mut emit).unwrap();
    assert_eq!(seen, [(3, "a".to_string()), (2, "b".to_string()), (4, String::new())]);
}

/// Needs root to mount a small file system.
#[test]
fn a_full_disk_is_an_error_and_tears_nothing() {
    let mut log = Log::new(&[("max-size", "unlimited")]);
    let Some(_mount) = SmallDisk::mount(log.dir.path()) else { return eprintln!("skipped: cannot mount a tmpfs") };
    let filler = log.dir.path().join("filler");
    std::fs::write(&filler, vec![0; 100 * 1024]).unwrap();
    log.container.attributes = vec![("k".into(), "v".into())];
    let mut sink = log.sink();
    let written = lines(0..3000);
    let mut full = 0;
    'disk: for (part, first) in written.chunks(300).zip((1..).step_by(300)) {
        let records: Vec<_> = part.iter().zip(first..).map(|(line, n)| line.record(n)).collect();
        while sink.write(&records).is_err() {
            full += 1;
            assert_eq!(log.all().last().map(Line::number), log.all().len().checked_sub(1).map(|last| last as u64));
            assert!(log.warnings.0.lock().unwrap().is_empty(), "torn record");
            // Give a little room, less than a batch needs.
            let left = std::fs::metadata(&filler).unwrap().len().saturating_sub(8 * 1024);
            std::fs::OpenOptions::new().write(true).open(&filler).unwrap().set_len(left).unwrap();
            if left == 0 {
                break 'disk;
            }
        }
    }
    assert!(full > 0, "the disk never was full");
    let numbers = numbers(&log.all());
    assert!(numbers == (0..numbers.len() as u64).collect::<Vec<_>>(), "lost or doubled");
    assert!(numbers.len() > 700, "{}", numbers.len());
}

struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(dir: &std::path::Path) -> Option<SmallDisk> {
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "none"])
            .arg(dir)
            .stderr(std::process::Stdio::null())
            .status();
        status.is_ok_and(|status| status.success()).then(|| SmallDisk(dir.to_path_buf()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
