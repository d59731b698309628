//! Which files make up the configuration. `gantry.toml` of the most important directory, then the drop-ins
//! `gantry.d/*.toml` of all directories in the order of their names, where a name in a more important directory masks
//! the same name in a less important one (the order of UAPI.6, "Configuration Files Specification").

use crate::fault::{Fault, Source};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Nobody writes more by hand; whatever is larger is not a configuration.
const LARGEST: u64 = 1 << 20;

/// The files to read, least important first.
pub fn list(dirs: &[PathBuf], faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    let mut drop_ins = BTreeMap::new();
    for dir in dirs {
        collect(&dir.join("gantry.d"), &mut drop_ins, faults);
    }
    let main = dirs.iter().rev().map(|dir| dir.join("gantry.toml")).find(|file| file.symlink_metadata().is_ok());
    main.into_iter().chain(drop_ins.into_values()).collect()
}

fn collect(dir: &Path, found: &mut BTreeMap<std::ffi::OsString, PathBuf>, faults: &mut Vec<Fault>) {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return,
        Err(error) => return faults.push(Fault::of_file(dir, format!("cannot list: {error}"))),
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && Path::new(&name).extension().is_some_and(|ext| ext == "toml") {
            found.insert(name, entry.path());
        }
    }
}

/// Reads a file; a mask (an empty file, or a link to /dev/null) reads as empty.
pub fn read(path: &Path) -> Result<Source, Fault> {
    let bytes = contents(path).map_err(|error| Fault::of_file(path, format!("cannot read: {error}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Fault::of_file(path, "larger than 1 MiB".into()));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { path: path.to_owned(), text }),
        Err(error) => Err(not_text(path, error.as_bytes(), error.utf8_error().valid_up_to())),
    }
}

fn contents(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_text(path: &Path, bytes: &[u8], at: usize) -> Fault {
    let source = Source { path: path.to_owned(), text: String::from_utf8_lossy(bytes).into_owned() };
    Fault::at(&source, at..at, crate::fault::Problem::new("not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(dirs: &[PathBuf], base: &Path) -> Vec<String> {
        let mut faults = Vec::new();
        let list = list(dirs, &mut faults);
        assert!(faults.is_empty());
        list.iter().map(|p| p.strip_prefix(base).expect("below").display().to_string()).collect()
    }

    #[test]
    fn drop_ins_come_by_name_and_etc_masks_usr() {
        let base = tempfile::tempdir().expect("a directory");
        let dirs = [base.path().join("usr"), base.path().join("etc")];
        for (dir, file) in
            [("usr", "10-a.toml"), ("usr", "20-b.toml"), ("etc", "20-b.toml"), ("etc", "15-c.toml"), ("etc", "x.conf")]
        {
            fs::create_dir_all(base.path().join(dir).join("gantry.d")).expect("made");
            fs::write(base.path().join(dir).join("gantry.d").join(file), "").expect("written");
        }
        fs::write(dirs[0].join("gantry.toml"), "").expect("written");
        let drop_ins = ["usr/gantry.d/10-a.toml", "etc/gantry.d/15-c.toml", "etc/gantry.d/20-b.toml"];
        assert_eq!([&["usr/gantry.toml"][..], &drop_ins[..]].concat(), names(&dirs, base.path()));
        fs::write(dirs[1].join("gantry.toml"), "").expect("written");
        assert_eq!([&["etc/gantry.toml"][..], &drop_ins[..]].concat(), names(&dirs, base.path()));
    }

    #[test]
    fn what_is_not_text_is_told_with_its_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("g.toml");
        fs::write(&file, b"a = 1\nb = \"\xff\"\n").expect("written");
        let fault = read(&file).expect_err("not text");
        assert_eq!((2, 6, "not UTF-8"), (fault.line, fault.column, fault.message.as_str()));
        assert!(read(dir.path()).expect_err("a directory").message.contains("cannot read"));
    }
}
