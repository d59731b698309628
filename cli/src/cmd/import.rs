//! `import`.

use super::{Command, Context, Outcome, failed};
use crate::args::images::{IMPORT, IMPORT_FLAGS, ImportArgs};
use crate::out;
use crate::out::failure::Failure;
use gantry_engine::request::ImportRequest;
use std::fs::File;
use std::io;

pub static COMMAND: Command<ImportArgs> = Command { info: IMPORT, flags: &[IMPORT_FLAGS], run };

fn run(context: &Context, args: ImportArgs, arguments: Vec<String>) -> Outcome {
    let source = arguments[0].as_str();
    let request = ImportRequest {
        reference: arguments.get(1).cloned(),
        changes: args.changes,
        message: args.message.unwrap_or_default(),
        platform: args.platform,
    };
    let engine = context.engine()?;
    let id = match source {
        "-" => engine.import(io::stdin(), "-", request),
        url if url.starts_with("http://") || url.starts_with("https://") => engine.import_from(url, request, || ()),
        path => {
            let file = File::open(path).map_err(|error| Failure::error(format!("cannot open {path}: {error}")))?;
            engine.import(file, path, request)
        }
    };
    out::line(&id.map_err(failed)?).map(|()| 0)
}
