//! Giving up the oldest files before their time, from another process than the one that writes.
//!
//! A file is first moved to a name of its own, then counted, then deleted: whatever rotates meanwhile, what is counted is
//! what goes. A move that nobody finished is finished by the next call.

use super::error::{Context, LogFileError, Result};
use super::files::{Files, if_exists, remove};
use super::format::Decoder;
use flate2::bufread::MultiGzDecoder;
use gantry_plugin_api::log::Trimmed;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes read at a time.
const BLOCK: usize = 256 * 1024;
/// No record is longer; what looks like one is damage.
const LONGEST: usize = 16 * 1024 * 1024;

/// Deletes the oldest files until so many bytes are free; with `all` the current one, too, since nobody writes it.
pub fn trim<D: Decoder>(files: &Files, bytes: u64, all: bool) -> Result<Trimmed> {
    let mut gone = finish::<D>(files)?;
    for path in candidates(files, all)? {
        if gone.bytes >= bytes {
            break;
        }
        let compressed = path.extension().is_some_and(|end| end == "gz");
        let taken = files.taken(compressed);
        if if_exists(fs::rename(&path, &taken)).context(LogFileError::rotate, &path)?.is_some() {
            add(&mut gone, give_up::<D>(&taken, compressed)?);
        }
    }
    Ok(gone)
}

/// What a killed predecessor had taken.
fn finish<D: Decoder>(files: &Files) -> Result<Trimmed> {
    let mut gone = Trimmed::default();
    for compressed in [false, true] {
        let taken = files.taken(compressed);
        if taken.exists() {
            add(&mut gone, give_up::<D>(&taken, compressed)?);
        }
    }
    Ok(gone)
}

/// The oldest first. A file that is being compressed is left alone: it would come back.
fn candidates(files: &Files, all: bool) -> Result<Vec<PathBuf>> {
    let compressing = !all && files.unfinished().exists();
    let indices = files.indices()?.into_iter().rev().filter(|index| *index > u32::from(compressing));
    let mut paths: Vec<PathBuf> = indices.flat_map(|index| [files.compressed(index), files.plain(index)]).collect();
    paths.extend(Some(files.current()).filter(|_| all));
    Ok(paths)
}

fn add(sum: &mut Trimmed, more: Trimmed) {
    sum.records += more.records;
    sum.bytes += more.bytes;
}

fn give_up<D: Decoder>(path: &Path, compressed: bool) -> Result<Trimmed> {
    let counted = || -> io::Result<Trimmed> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let file = BufReader::with_capacity(BLOCK, file);
        let records = if compressed { count::<D>(MultiGzDecoder::new(file)) } else { count::<D>(file) };
        Ok(Trimmed { records, bytes })
    };
    let trimmed = counted().context(LogFileError::read, path)?;
    remove(path).context(LogFileError::rotate, path)?;
    Ok(trimmed)
}

/// The records of a file, as far as it can be read.
fn count<D: Decoder>(mut file: impl Read) -> u64 {
    let (mut text, mut block, mut records) = (Vec::new(), vec![0; BLOCK], 0);
    loop {
        match file.read(&mut block) {
            Ok(0) | Err(_) => return records,
            Ok(length) => text.extend_from_slice(&block[..length]),
        }
        let whole = D::whole(&text);
        records += whole.records;
        text.drain(..whole.bytes);
        if text.len() > LONGEST {
            text.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logfiles::format::{Found, Record, Start, Whole};
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    /// Lines.
    #[derive(Default)]
    struct Lines;

    impl Decoder for Lines {
        type Body = ();
        fn next(&mut self, _: &mut [u8]) -> Found<()> {
            Found::Torn
        }
        fn bytes<'a>(_: &Record<()>, text: &'a mut [u8]) -> Option<&'a [u8]> {
            Some(text)
        }
        fn pairs(_: &[u8]) -> Vec<(String, String)> {
            Vec::new()
        }
        fn start(_: &[u8]) -> Start {
            Start::At(0)
        }
        fn whole(text: &[u8]) -> Whole {
            let bytes = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            Whole { bytes, records: text[..bytes].iter().filter(|byte| **byte == b'\n').count() as u64 }
        }
        fn lacking(_: &[u8]) -> Option<Vec<u8>> {
            None
        }
    }

    fn files(dir: &Path) -> Files {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&b"line\n".repeat(100_000)).expect("compressed");
        fs::write(dir.join("log.3.gz"), gzip.finish().expect("compressed")).expect("written");
        for (name, text) in [("log.2", "a\nb\nhalf"), ("log.1", "c\n"), ("log", "d\ne\n"), ("other", "x")] {
            fs::write(dir.join(name), text).expect("written");
        }
        Files::new(dir, "log", "mark")
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("directory");
        let mut names: Vec<_> = entries.map(|e| e.expect("entry").file_name().into_string().expect("name")).collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_go_first_and_are_counted() {
        let dir = tempfile::tempdir().expect("directory");
        let files = files(dir.path());
        let size = fs::metadata(dir.path().join("log.3.gz")).expect("size").len();
        assert_eq!(trim::<Lines>(&files, 1, false).expect("trimmed"), Trimmed { records: 100_000, bytes: size });
        assert_eq!(names(dir.path()), ["log", "log.1", "log.2", "other"]);
        assert_eq!(trim::<Lines>(&files, 1000, false).expect("trimmed"), Trimmed { records: 3, bytes: 10 });
        assert_eq!(names(dir.path()), ["log", "other"], "the one being written stays");
        assert_eq!(trim::<Lines>(&files, 1, true).expect("trimmed"), Trimmed { records: 2, bytes: 4 });
        assert_eq!(names(dir.path()), ["other"]);
    }

    #[test]
    fn what_was_begun_is_finished_and_what_is_compressed_stays() {
        let dir = tempfile::tempdir().expect("directory");
        let files = files(dir.path());
        fs::rename(dir.path().join("log.3.gz"), files.taken(true)).expect("moved");
        fs::write(files.unfinished(), "x").expect("written");
        assert_eq!(trim::<Lines>(&files, u64::MAX, false).expect("trimmed").records, 100_002);
        assert_eq!(names(dir.path()), ["log", "log.1", "log.1.gz.tmp", "other"]);
    }
}
