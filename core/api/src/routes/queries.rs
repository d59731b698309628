//! What stands behind the question mark of each route, for the description of the API.

use crate::schema::{Field, integer, switch, text, texts};

const FILTERS: Field = text("filters", "a JSON object of lists: {\"label\":[\"a=b\"]}");
const STDIN: Field = switch("stdin", "what the client sends goes to it");
const STDOUT: Field = switch("stdout", "with its output");
const STDERR: Field = switch("stderr", "with its errors");
const PATH: Field = text("path", "a place in the container");
const ROWS: Field = integer("h", "rows");
const COLUMNS: Field = integer("w", "columns");
const CHANGES: Field = texts("changes", "instructions of a Dockerfile");
const REPO: Field = text("repo", "the image's name");
const TAG: Field = text("tag", "the name's tag or digest");
const PLATFORM: Field = text("platform", "OS[/ARCHITECTURE[/VARIANT]]");
const SIGNAL: Field = text("signal", "a name or a number");
const SINCE: Field = text("since", "seconds since 1970, with a fraction");
const UNTIL: Field = text("until", "seconds since 1970, with a fraction");

pub const FILTERED: &[Field] = &[FILTERS];
pub const USAGE: &[Field] = &[texts("type", "container, image, volume or build-cache").since(42)];
pub const EVENTS: &[Field] = &[SINCE, UNTIL, FILTERS];
pub const CONTAINERS: &[Field] = &[
    switch("all", "also those that do not run"),
    integer("limit", "the newest so many"),
    switch("size", "with sizes"),
    FILTERS,
];
pub const CREATE: &[Field] = &[text("name", "its name"), PLATFORM.since(41)];
pub const INSPECT: &[Field] = &[switch("size", "with sizes")];
pub const TOP: &[Field] = &[text("ps_args", "options of ps")];
pub const LOGS: &[Field] = &[
    switch("follow", "go on with new lines"),
    STDOUT,
    STDERR,
    SINCE,
    UNTIL.since(35),
    switch("timestamps", "with times"),
    switch("details", "with attributes"),
    text("tail", "the last so many lines, or all"),
];
pub const STATS: &[Field] = &[
    switch("stream", "one look a second; default: true"),
    switch("one-shot", "one look, without the one before").since(41),
];
pub const ARCHIVE: &[Field] = &[PATH];
pub const EXTRACT: &[Field] = &[
    PATH,
    switch("noOverwriteDirNonDir", "always so: a directory never takes a file's place"),
    switch("copyUIDGID", "always so: owners are those of the archive").since(30),
];
pub const START: &[Field] = &[text("detachKeys", "keys to leave it")];
pub const STOP: &[Field] = &[integer("t", "seconds before it is killed"), SIGNAL.since(42)];
pub const KILL: &[Field] = &[SIGNAL];
pub const RENAME: &[Field] = &[text("name", "the new name")];
pub const SIZE: &[Field] = &[ROWS, COLUMNS];
pub const WAIT: &[Field] = &[text("condition", "not-running, next-exit or removed").since(30)];
pub const ATTACH: &[Field] = &[
    text("detachKeys", "keys to leave it"),
    switch("logs", "first what it has written before"),
    switch("stream", "follow it"),
    STDIN,
    STDOUT,
    STDERR,
];
pub const REMOVE: &[Field] = &[
    switch("v", "with its anonymous volumes"),
    switch("force", "kill it first"),
    switch("link", "remove the link of that name, CONTAINER/ALIAS"),
];
pub const COMMIT: &[Field] = &[
    text("container", "its name or id"),
    REPO,
    TAG,
    text("comment", "a note"),
    text("author", "who made it"),
    switch("pause", "freeze the container meanwhile; default: true"),
    CHANGES,
];
pub const IMAGES: &[Field] = &[
    switch("all", "without effect: there are no images between"),
    FILTERS,
    text("filter", "a reference").until(41),
    switch("shared-size", "with what they share and who uses them").since(42),
    switch("digests", "without effect: digests are always there"),
    switch("manifests", "with an empty list of manifests").since(47),
];
pub const SEARCH: &[Field] = &[text("term", "a word"), integer("limit", "at most so many"), FILTERS];
pub const SAVE: &[Field] = &[texts("names", "images"), PLATFORM.since(48)];
pub const PULL: &[Field] = &[
    text("fromImage", "the image to fetch"),
    text("fromSrc", "-: the archive in the body; else where it is downloaded from"),
    REPO,
    TAG,
    text("message", "a note"),
    CHANGES,
    PLATFORM.since(32),
];
pub const LOAD: &[Field] = &[switch("quiet", "without progress"), PLATFORM.since(48)];
pub const TAGGED: &[Field] = &[REPO, TAG];
pub const PUSH: &[Field] = &[TAG, PLATFORM.since(46)];
pub const UNTAG: &[Field] =
    &[switch("force", "whoever uses it"), switch("noprune", "without effect: nothing stays that has no name")];
pub const NETWORK: &[Field] = &[switch("verbose", "without effect").since(28), text("scope", "local").since(31)];
pub const FORCE: &[Field] = &[switch("force", "a missing one is no error").since(25)];
