//! For tests: archives of images written by hand, and a storage driver that is a directory.
//!
//! The tar writer checks nothing, so that hostile archives can be written as easily as good ones. Failures
//! panic, as in any test.
#![allow(clippy::unwrap_used)]

pub mod sink;
pub mod tarball;

use std::io::Write;
use std::path::Path;

use gantry_model::digest::{DiffId, Digest};
use serde_json::{Value, json};

pub use sink::DirSink;
pub use tarball::{Tar, TarEntry};

use crate::hash::sha256;

/// How a test stores a layer or a whole archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// Compresses bytes.
pub fn pack(bytes: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Plain => bytes.to_vec(),
        Packing::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// One layer of a test image.
#[derive(Clone, Debug)]
pub struct TestLayer {
    pub blob: Vec<u8>,
    pub diff: DiffId,
    pub packing: Packing,
}

impl TestLayer {
    /// A layer from an uncompressed tar.
    pub fn new(tar: &[u8], packing: Packing) -> Self {
        Self { blob: pack(tar, packing), diff: DiffId(sha256(tar)), packing }
    }
}

/// An image to be written in one of the layouts.
#[derive(Clone, Debug)]
pub struct TestImage {
    pub layers: Vec<TestLayer>,
    pub tags: Vec<String>,
    /// The `config` object.
    pub container: Value,
    pub architecture: String,
}

impl TestImage {
    /// An image of layers, bottom first, with tags.
    pub fn new(layers: Vec<TestLayer>, tags: &[&str]) -> Self {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let architecture = crate::config::host_architecture().to_owned();
        Self { layers, tags, container: json!({"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]}), architecture }
    }

    /// One layer with the files given as path and content.
    pub fn of_files(files: &[(&str, &str)], tags: &[&str]) -> Self {
        let mut tar = Tar::new();
        for (path, text) in files {
            tar.file(path, text.as_bytes());
        }
        Self::new(vec![TestLayer::new(&tar.finish(), Packing::Gzip)], tags)
    }

    pub fn config(&self) -> Vec<u8> {
        let diffs: Vec<_> = self.layers.iter().map(|layer| layer.diff.to_string()).collect();
        let history: Vec<_> = diffs.iter().map(|diff| json!({"created_by": format!("ADD {diff}")})).collect();
        let config = json!({
            "created": "2024-01-02T03:04:05.5Z", "architecture": self.architecture, "os": "linux",
            "config": self.container, "rootfs": {"type": "layers", "diff_ids": diffs}, "history": history,
        });
        serde_json::to_vec(&config).unwrap()
    }

    pub fn id(&self) -> Digest {
        sha256(&self.config())
    }

    fn manifest(&self) -> Vec<u8> {
        let config = self.config();
        let describe =
            |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": sha256(bytes), "size": bytes.len()});
        let layers: Vec<_> = self.layers.iter().map(|layer| describe(media_type(layer.packing), &layer.blob)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe("application/vnd.oci.image.config.v1+json", &config), "layers": layers,
        });
        serde_json::to_vec(&manifest).unwrap()
    }

    fn blobs(&self) -> Vec<Vec<u8>> {
        let layers = self.layers.iter().map(|layer| layer.blob.clone());
        layers.chain([self.config(), self.manifest()]).collect()
    }

    fn index_entries(&self) -> Vec<Value> {
        let manifest = self.manifest();
        let entry = |name: Option<&String>| {
            let mut entry = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": sha256(&manifest), "size": manifest.len()});
            if let Some(name) = name {
                entry["annotations"] =
                    json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": "x"});
            }
            entry
        };
        if self.tags.is_empty() {
            return vec![entry(None)];
        }
        self.tags.iter().map(|tag| entry(Some(tag))).collect()
    }
}

fn media_type(packing: Packing) -> &'static str {
    match packing {
        Packing::Plain => "application/vnd.oci.image.layer.v1.tar",
        Packing::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Packing::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

fn blob_name(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(bytes).hex())
}

/// The layout of old `docker save`: a directory per layer, the configuration by its digest.
pub fn docker_archive(images: &[TestImage]) -> Vec<u8> {
    let mut tar = Tar::new();
    let mut manifest = Vec::new();
    for image in images {
        let config = format!("{}.json", image.id().hex());
        tar.file(&config, &image.config());
        let mut names = Vec::new();
        for layer in &image.layers {
            let name = format!("{}/layer.tar", sha256(&layer.blob).hex());
            tar.file(&name, &layer.blob);
            names.push(name);
        }
        manifest.push(json!({"Config": config, "RepoTags": image.tags, "Layers": names}));
    }
    tar.file("manifest.json", &serde_json::to_vec(&manifest).unwrap());
    tar.finish()
}

/// The files of an OCI layout; with `docker`, a manifest.json too, as newer `docker save` writes.
pub fn oci_files(images: &[TestImage], docker: bool) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
    for blob in images.iter().flat_map(TestImage::blobs) {
        if files.iter().all(|(name, _)| *name != blob_name(&blob)) {
            files.push((blob_name(&blob), blob));
        }
    }
    let entries: Vec<_> = images.iter().flat_map(TestImage::index_entries).collect();
    files.push(("index.json".into(), serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": entries})).unwrap()));
    if docker {
        let names = |image: &TestImage| image.layers.iter().map(|layer| blob_name(&layer.blob)).collect::<Vec<_>>();
        let entry = |image: &TestImage| json!({"Config": blob_name(&image.config()), "RepoTags": image.tags, "Layers": names(image)});
        let entries: Vec<_> = images.iter().map(entry).collect();
        files.push(("manifest.json".into(), serde_json::to_vec(&entries).unwrap()));
    }
    files
}

/// Files as a tar.
pub fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Tar::new();
    for (name, bytes) in files {
        tar.file(name, bytes);
    }
    tar.finish()
}

/// Files as a directory.
pub fn write_files(dir: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}
