//! Moving the files one index up. Every step can be interrupted and the whole repeated: files are only ever moved into a
//! free place, so what a first try has moved already is not moved again, and order is kept at every moment.

use super::compress::Compressor;
use super::error::{Context, LogFileError, Result};
use super::files::{Files, if_exists, remove};
use super::mark::Mark;
use std::fs::{self, File};
use std::io;

/// What is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Rotate at this size; `None`: never.
    pub max_size: Option<u64>,
    /// Files kept, at least 1, the current one included.
    pub max_file: u32,
    /// Compress rotated files.
    pub compress: bool,
}

/// Ends the current file and begins the next. `stored` counts the records of the sink so far.
pub fn next_generation(files: &Files, limits: &Limits, mark: &mut Mark, stored: u64) -> Result<File> {
    *mark = Mark { generation: mark.generation + 1, before: stored, rotating: true };
    mark.store(files)?;
    finish(files, limits, mark)
}

/// Does what a mark that says `rotating` promises.
pub fn finish(files: &Files, limits: &Limits, mark: &mut Mark) -> Result<File> {
    let current = files.current();
    // The new file stays empty until the mark is settled, so one with records is still the old one.
    let size = if_exists(fs::metadata(&current)).context(LogFileError::rotate, &current)?.map(|meta| meta.len());
    if size.is_some_and(|size| size > 0) {
        shift(files, limits.max_file).context(LogFileError::rotate, &current)?;
    }
    let file = files.open_current()?;
    mark.rotating = false;
    mark.store(files)?;
    Ok(file)
}

fn shift(files: &Files, max_file: u32) -> io::Result<()> {
    if max_file == 1 {
        return remove(&files.current());
    }
    let free = free_index(files, max_file)?;
    for index in (1..free).rev() {
        move_up(files, index)?;
    }
    fs::rename(files.current(), files.plain(1))
}

/// The first index without a file; the last one is made free when there is none.
fn free_index(files: &Files, max_file: u32) -> io::Result<u32> {
    for index in 1..max_file {
        if !files.plain(index).try_exists()? && !files.compressed(index).try_exists()? {
            return Ok(index);
        }
    }
    remove_both(files, max_file - 1)?;
    Ok(max_file - 1)
}

fn move_up(files: &Files, index: u32) -> io::Result<()> {
    if if_exists(fs::rename(files.plain(index), files.plain(index + 1)))?.is_some() {
        // Compressing was interrupted between making the compressed file and deleting the plain one.
        return remove(&files.compressed(index));
    }
    if_exists(fs::rename(files.compressed(index), files.compressed(index + 1))).map(drop)
}

fn remove_both(files: &Files, index: u32) -> io::Result<()> {
    remove(&files.plain(index))?;
    remove(&files.compressed(index))
}

/// Removes what an interrupted predecessor, or one with a larger `max-file`, left; answers whether a file waits to be
/// compressed.
pub fn tidy(files: &Files, limits: &Limits) -> Result<bool> {
    let indices = files.indices()?;
    if indices.iter().all(|index| *index == 0) {
        return Ok(false);
    }
    let act = || -> io::Result<bool> {
        remove(&files.unfinished())?;
        for index in indices.iter().filter(|index| **index > 0) {
            tidy_index(files, *index, limits.max_file)?;
        }
        let waits = |index: &u32| *index > 0 && files.plain(*index).exists();
        Ok(limits.compress && indices.iter().any(waits))
    };
    act().context(LogFileError::rotate, &files.current())
}

fn tidy_index(files: &Files, index: u32, max_file: u32) -> io::Result<()> {
    if index >= max_file {
        return remove_both(files, index);
    }
    if files.plain(index).try_exists()? { remove(&files.compressed(index)) } else { Ok(()) }
}

/// Rotates and, when asked for, sees to it that what was rotated is compressed.
pub fn rotate(
    files: &Files,
    limits: &Limits,
    mark: &mut Mark,
    stored: u64,
    compressor: &mut Compressor,
) -> Result<File> {
    let file = compressor.hold(|| next_generation(files, limits, mark, stored))?;
    if limits.compress {
        compressor.start(files);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn files(dir: &Path) -> Files {
        Files::new(dir, "c-json.log", "json-file.mark")
    }

    fn limits(max_file: u32) -> Limits {
        Limits { max_size: Some(1), max_file, compress: false }
    }

    /// Names without the common part, and contents.
    fn listing(dir: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.ends_with("json-file.mark"))
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_string();
                (name.replace("c-json.log", ""), fs::read_to_string(path).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    fn put(dir: &Path, entries: &[(&str, &str)]) {
        entries.iter().for_each(|(name, text)| fs::write(dir.join(format!("c-json.log{name}")), text).unwrap());
    }

    #[test]
    fn rotation_matrix() {
        type Entries<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(u32, Entries, Entries)] = &[
            (1, &[("", "a")], &[("", "")]),
            (2, &[("", "b"), (".1", "a")], &[("", ""), (".1", "b")]),
            (2, &[("", "b"), (".1.gz", "a")], &[("", ""), (".1", "b")]),
            (3, &[("", "a")], &[("", ""), (".1", "a")]),
            (3, &[("", "c"), (".1", "b"), (".2", "a")], &[("", ""), (".1", "c"), (".2", "b")]),
            (4, &[("", "c"), (".1.gz", "b"), (".2.gz", "a")], &[("", ""), (".1", "c"), (".2.gz", "b"), (".3.gz", "a")]),
            // Interrupted after .2 was moved: only the gap is filled, nothing is deleted.
            (4, &[("", "c"), (".1", "b"), (".3", "a")], &[("", ""), (".1", "c"), (".2", "b"), (".3", "a")]),
            // Interrupted after .1 was moved.
            (4, &[("", "c"), (".2", "b"), (".3", "a")], &[("", ""), (".1", "c"), (".2", "b"), (".3", "a")]),
            // Compressing was interrupted: the plain file counts.
            (3, &[("", "b"), (".1", "a"), (".1.gz", "half")], &[("", ""), (".1", "b"), (".2", "a")]),
            // Interrupted after the current file was moved, or after the new one was made.
            (3, &[(".1", "b"), (".2", "a")], &[("", ""), (".1", "b"), (".2", "a")]),
            (3, &[("", ""), (".1", "b"), (".2", "a")], &[("", ""), (".1", "b"), (".2", "a")]),
        ];
        for (max_file, before, after) in cases {
            let dir = tempfile::tempdir().unwrap();
            let files = files(dir.path());
            put(dir.path(), before);
            let mut mark = Mark { generation: 4, before: 9, rotating: true };
            finish(&files, &limits(*max_file), &mut mark).unwrap();
            let want: Vec<_> = after.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
            assert_eq!(listing(dir.path()), want, "max-file={max_file} {before:?}");
            assert_eq!(Mark::load(&files).unwrap(), Mark { generation: 4, before: 9, rotating: false });
        }
    }

    #[test]
    fn tidying_removes_leftovers_only() {
        let dir = tempfile::tempdir().unwrap();
        let names = [("", "d"), (".1", "c"), (".1.gz", "half"), (".1.gz.tmp", "x"), (".2.gz", "b"), (".7", "a")];
        put(dir.path(), &names);
        let compress = Limits { compress: true, ..limits(4) };
        assert!(tidy(&files(dir.path()), &compress).unwrap());
        let names: Vec<_> = listing(dir.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["", ".1", ".2.gz"]);
    }
}
