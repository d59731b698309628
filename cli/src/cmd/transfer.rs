//! `save`, `export`, `commit`, `diff`, `cp`.

use super::{Command, Context, Outcome, failed};
use crate::args::transfer::{self as args, CommitArgs, CopyArgs, ExportArgs, SaveArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;
use crate::out::failure::Failure;
use gantry_engine::model::size::human_decimal;
use gantry_engine::request::{CommitRequest, CopyRequest};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

pub static SAVE: Command<SaveArgs> = Command { info: args::SAVE, flags: &[args::SAVE_FLAGS], run: save };
pub static EXPORT: Command<ExportArgs> = Command { info: args::EXPORT, flags: &[args::EXPORT_FLAGS], run: export };
pub static COMMIT: Command<CommitArgs> = Command { info: args::COMMIT, flags: &[args::COMMIT_FLAGS], run: commit };
pub static DIFF: Command<NoArgs> = Command { info: args::DIFF, flags: &[NO_FLAGS], run: diff };
pub static COPY: Command<CopyArgs> = Command { info: args::COPY, flags: &[args::COPY_FLAGS], run: copy };

fn save(context: &Context, args: SaveArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    to_file_or_stdout(args.output.as_deref(), "save", |output| engine.save(&names, output).map_err(failed))
}

fn export(context: &Context, args: ExportArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    to_file_or_stdout(args.output.as_deref(), "export", |output| engine.export(&names[0], output).map_err(failed))
}

/// An archive for a file appears there whole or not at all.
pub fn to_file_or_stdout(
    path: Option<&str>,
    command: &str,
    write: impl FnOnce(Box<dyn Write + Send>) -> Result<(), Failure>,
) -> Outcome {
    let Some(path) = path.filter(|path| !path.is_empty() && *path != "-") else {
        if io::stdout().is_terminal() {
            let hint = "cowardly refusing to write an archive to a terminal. Use the -o flag or redirect";
            return Err(Failure::error(format!("{command}: {hint}")));
        }
        return write(Box::new(io::stdout())).map(|()| 0);
    };
    let target = Path::new(path);
    if !is_plain(target) {
        let file = File::options().write(true).open(target).map_err(|error| unwritable(path, &error))?;
        return write(Box::new(file)).map(|()| 0);
    }
    let temporary = beside(target);
    let file = File::create_new(&temporary).map_err(|error| unwritable(path, &error))?;
    let renamed = write(Box::new(file))
        .and_then(|()| std::fs::rename(&temporary, target).map_err(|error| unwritable(path, &error)));
    if renamed.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    renamed.map(|()| 0)
}

/// A file to be, or one to be replaced; not a pipe or device.
fn is_plain(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()) || !path.exists()
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn unwritable(path: &str, error: &io::Error) -> Failure {
    Failure::error(format!("cannot write {path}: {error}"))
}

fn commit(context: &Context, args: CommitArgs, names: Vec<String>) -> Outcome {
    let request = CommitRequest {
        reference: names.get(1).cloned(),
        author: args.author.unwrap_or_default(),
        message: args.message.unwrap_or_default(),
        config: None,
        changes: args.changes,
        pause: !args.no_pause,
    };
    let id = context.engine()?.commit(&names[0], &request).map_err(failed)?;
    out::line(&id.to_string()).map(|()| 0)
}

fn diff(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let changes = context.engine()?.diff(&names[0]).map_err(failed)?;
    out::print(&changes.iter().map(|change| format!("{} {}\n", change.kind, change.path.display())).collect::<String>())
        .map(|()| 0)
}

/// One side of a copy.
pub enum Side<'a> {
    Host(&'a str),
    Container(&'a str, &'a str),
    Stream,
}

/// `CONTAINER:PATH`, unless it is written as a path of the host.
pub fn side(text: &str) -> Side<'_> {
    match text.split_once(':') {
        _ if text == "-" => Side::Stream,
        Some((name, path)) if !text.starts_with(['/', '.']) && !name.contains('/') => Side::Container(name, path),
        _ => Side::Host(text),
    }
}

fn copy(context: &Context, args: CopyArgs, sides: Vec<String>) -> Outcome {
    let request = CopyRequest { archive: args.archive, follow: args.follow };
    let engine = context.engine()?;
    let bytes = match (side(&sides[0]), side(&sides[1])) {
        (Side::Container(name, source), Side::Host(target)) => {
            engine.copy_out(name, source, target, &request).map_err(failed)?
        }
        (Side::Host(source), Side::Container(name, target)) => {
            engine.copy_in(source, name, target, &request).map_err(failed)?
        }
        (Side::Container(name, source), Side::Stream) => {
            if io::stdout().is_terminal() {
                return Err(Failure::error("refusing to write an archive to a terminal"));
            }
            return engine.copy_to_stream(name, source, &request, io::stdout()).map(|()| 0).map_err(failed);
        }
        (Side::Stream, Side::Container(name, target)) => {
            return engine.copy_from_stream(io::stdin(), name, target).map(|()| 0).map_err(failed);
        }
        (Side::Container(..), Side::Container(..)) => {
            return Err(Failure::error("copying between containers is not supported"));
        }
        _ => return Err(Failure::error("must specify at least one container source")),
    };
    copied(bytes, &sides[1], &args)
}

/// Tells what was copied.
pub fn copied(bytes: u64, target: &str, args: &CopyArgs) -> Outcome {
    if !args.quiet {
        out::note(&format!("Successfully copied {} to {target}", human_decimal(bytes, 3)));
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides() {
        assert!(matches!(side("c:/x"), Side::Container("c", "/x")));
        assert!(matches!(side("c:x:y"), Side::Container("c", "x:y")));
        assert!(matches!(side("./c:x"), Side::Host(_)));
        assert!(matches!(side("/a:b"), Side::Host(_)));
        assert!(matches!(side("a/b:c"), Side::Host(_)));
        assert!(matches!(side("-"), Side::Stream));
    }
}
