//! Images.

use super::host::HEALTHCHECK;
use super::{Kind, MAYBE_INTEGER, SET, Type, field, integer, pairs, switch, text, texts};

pub static GRAPH: Type = Type {
    name: "GraphDriver",
    about: "Where files are.",
    fields: &[&[text("Name", "the storage driver"), pairs("Data", "what it tells")]],
};

pub static SUMMARY: Type = Type {
    name: "ImageSummary",
    about: "An image in a list.",
    fields: &[&[
        text("Id", "its id"),
        text("ParentId", "the image it was made of by a commit"),
        texts("RepoTags", "its names"),
        texts("RepoDigests", "its names by digest"),
        integer("Created", "seconds since 1970"),
        integer("Size", "bytes"),
        integer("SharedSize", "bytes that other images share, -1: not asked for"),
        integer("VirtualSize", "as Size").until(44),
        pairs("Labels", "its labels"),
        integer("Containers", "how many are made of it, -1: not asked for"),
        field("Manifests", Kind::List(&Kind::Any), "none; only when asked for").since(47),
        field("Descriptor", Kind::Object(&DESCRIPTOR), "its manifest").since(48),
    ]],
};

pub static INSPECT: Type = Type {
    name: "Image",
    about: "All of an image.",
    fields: &[&[
        text("Id", "its id"),
        texts("RepoTags", "its names"),
        texts("RepoDigests", "its names by digest"),
        text("Parent", "the image it was made of by a commit"),
        text("Comment", "note of its maker"),
        field("Created", Kind::Time, "when it was made"),
        text("DockerVersion", "empty"),
        text("Author", "its maker"),
        field("Config", Kind::Object(&CONFIG), "defaults of its containers"),
        text("Architecture", "amd64, arm64 …"),
        text("Variant", "of the architecture"),
        text("Os", "linux"),
        text("OsVersion", "of Windows").since(25),
        integer("Size", "bytes"),
        integer("VirtualSize", "as Size").until(44),
        field("GraphDriver", Kind::Object(&GRAPH), "where its files are"),
        field("RootFS", Kind::Object(&ROOT), "its layers"),
        field("Metadata", Kind::Object(&METADATA), "what belongs to this engine alone"),
        field("Descriptor", Kind::Object(&DESCRIPTOR), "its manifest").since(48),
        field("Manifests", Kind::List(&Kind::Any), "none; only when asked for").since(48),
    ]],
};

static CONFIG: Type = Type {
    name: "ImageConfig",
    about: "Defaults of containers. What an image cannot have is shown empty.",
    fields: &[&[
        text("Hostname", "empty"),
        text("Domainname", "empty"),
        text("User", "USER[:GROUP]"),
        switch("AttachStdin", "false"),
        switch("AttachStdout", "false"),
        switch("AttachStderr", "false"),
        field("ExposedPorts", SET, "PORT/PROTOCOL"),
        switch("Tty", "false"),
        switch("OpenStdin", "false"),
        switch("StdinOnce", "false"),
        texts("Env", "NAME=VALUE"),
        field("Cmd", Kind::Words, "the command, or its arguments"),
        field("Healthcheck", Kind::Object(&HEALTHCHECK), "how health is found out"),
        text("Image", "empty"),
        field("Volumes", SET, "places that become volumes"),
        text("WorkingDir", "where the command starts"),
        field("Entrypoint", Kind::Words, "what the command is given to"),
        texts("OnBuild", "instructions for images built on it"),
        pairs("Labels", "notes of its maker"),
        text("StopSignal", "the signal that stops its containers"),
        field("StopTimeout", MAYBE_INTEGER, "seconds before they are killed"),
        field("Shell", Kind::Words, "what runs commands in shell form"),
    ]],
};

static ROOT: Type = Type {
    name: "RootFS",
    about: "Layers of an image.",
    fields: &[&[text("Type", "layers"), texts("Layers", "digests of their archives")]],
};

static METADATA: Type = Type {
    name: "ImageMetadata",
    about: "What belongs to this engine alone.",
    fields: &[&[field("LastTagTime", Kind::Time, "when it got its last name")]],
};

pub static DESCRIPTOR: Type = Type {
    name: "Descriptor",
    about: "Where content is.",
    fields: &[&[text("mediaType", "what it is"), text("digest", "its digest"), integer("size", "its bytes")]],
};

pub static HISTORY: Type = Type {
    name: "HistoryLine",
    about: "A step in which an image was made.",
    fields: &[&[
        text("Id", "the image, or <missing>"),
        integer("Created", "seconds since 1970"),
        text("CreatedBy", "the instruction"),
        texts("Tags", "names"),
        integer("Size", "bytes it added"),
        text("Comment", "note of its maker"),
    ]],
};

pub static REMOVED: Type = Type {
    name: "ImageRemoved",
    about: "A name that went, or content.",
    fields: &[&[text("Untagged", "a name"), text("Deleted", "an id")]],
};

pub static PRUNED: Type = Type {
    name: "ImagesPruned",
    about: "Images that were removed.",
    fields: &[&[field("ImagesDeleted", Kind::Objects(&REMOVED), "each"), integer("SpaceReclaimed", "bytes")]],
};

pub static FOUND: Type = Type {
    name: "ImageFound",
    about: "A repository of a registry.",
    fields: &[&[
        text("name", "its name"),
        text("description", "what it is"),
        integer("star_count", "how many like it"),
        switch("is_official", "of the registry's own"),
        switch("is_automated", "false"),
    ]],
};

pub static MADE: Type = Type { name: "Made", about: "Something that was made.", fields: &[&[text("Id", "its id")]] };

pub static DISTRIBUTION: Type = Type {
    name: "Distribution",
    about: "What a registry has under a name.",
    fields: &[&[
        field("Descriptor", Kind::Object(&DESCRIPTOR), "its manifest"),
        field("Platforms", Kind::Objects(&PLATFORM), "for which it is"),
    ]],
};

static PLATFORM: Type = Type {
    name: "Platform",
    about: "What content runs on.",
    fields: &[&[
        text("architecture", "amd64, arm64 …"),
        text("os", "linux …"),
        text("os.version", "of Windows"),
        texts("os.features", "of Windows"),
        text("variant", "of the architecture"),
    ]],
};

pub static PROGRESS: Type = Type {
    name: "Progress",
    about: "A line of a transfer. Errors come as lines, too.",
    fields: &[&[
        text("status", "what is done"),
        text("id", "to which layer"),
        field("progressDetail", Kind::Object(&AMOUNT), "how far"),
        text("progress", "the same as a bar"),
        text("stream", "text to be printed"),
        text("error", "what went wrong"),
        field("errorDetail", Kind::Object(&ERROR), "what went wrong"),
    ]],
};

static AMOUNT: Type = Type {
    name: "Amount",
    about: "How far a transfer is.",
    fields: &[&[integer("current", "bytes done"), integer("total", "bytes in all")]],
};

pub static ERROR: Type =
    Type { name: "Error", about: "Why a request was refused.", fields: &[&[text("message", "a sentence")]] };
