//! `save`: images as an archive that both worlds read: Docker's `manifest.json` and an OCI layout over the same blobs.
//!
//! Blobs go out as they are stored, so that what was pulled is loaded elsewhere with the same digests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use gantry_model::digest::Digest;
use gantry_model::reference::Reference;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::manifest::manifest_type;
use crate::records::Image;
use crate::store::ImageStore;
use crate::tar::{Entry, Kind, TarWriter};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// One image with the names under which it is saved.
struct Saved {
    image: Image,
    manifest: Vec<u8>,
    names: Vec<Reference>,
}

impl ImageStore {
    /// Writes images as one archive. An image named by its id is saved without a name, a repository with all its tags.
    pub fn save(&self, names: &[String], output: impl Write) -> Result<()> {
        let saved = self.to_save(names)?;
        let mut tar = TarWriter::new(io::BufWriter::with_capacity(1 << 20, output));
        self.write_blobs(&mut tar, &saved)?;
        for (name, text) in [
            ("index.json", index(&saved)),
            ("manifest.json", manifests(&saved)),
            ("oci-layout", LAYOUT.to_vec()),
            ("repositories", repositories(&saved)),
        ] {
            tar.bytes(&file(name), &text).map_err(written)?;
        }
        let buffer = tar.finish().map_err(written)?;
        buffer.into_inner().map_err(|error| written(error.into_error()))?.flush().map_err(written)
    }

    fn to_save(&self, names: &[String]) -> Result<Vec<Saved>> {
        let mut saved: Vec<Saved> = Vec::new();
        for name in names {
            for (image, reference) in self.named(name)? {
                match saved.iter_mut().find(|known| known.image.id == image.id) {
                    Some(known) => known.names.extend(reference),
                    None => {
                        let manifest = self.content().read(&image.manifest, Limits::default().json_bytes)?;
                        saved.push(Saved { image, manifest, names: reference.into_iter().collect() });
                    }
                }
            }
        }
        saved.iter_mut().for_each(|one| {
            one.names.sort();
            one.names.dedup();
        });
        Ok(saved)
    }

    /// What a name stands for: one image, or all tags of a repository if it names neither tag nor image.
    fn named(&self, name: &str) -> Result<Vec<(Image, Option<Reference>)>> {
        match self.resolve(name) {
            Ok(image) => {
                let named = Reference::parse(name).ok().filter(|reference| reference.digest().is_none());
                let known = self.references()?;
                let reference = named.filter(|named| known.iter().any(|record| record.reference == *named));
                Ok(vec![(image, reference)])
            }
            Err(error) => {
                let Ok(wanted) = Reference::parse_repository(name) else { return Err(error) };
                let records = self.references()?.into_iter().map(|record| record.reference);
                let tags = records.filter(|r| r.digest().is_none() && r.repository() == wanted.repository());
                let found: Vec<_> =
                    tags.map(|tag| Ok((self.resolve(&tag.to_string())?, Some(tag)))).collect::<Result<_>>()?;
                if found.is_empty() { Err(error) } else { Ok(found) }
            }
        }
    }

    fn write_blobs<W: Write>(&self, tar: &mut TarWriter<W>, saved: &[Saved]) -> Result<()> {
        for dir in ["blobs/", "blobs/sha256/"] {
            let entry = Entry { kind: Kind::Directory, path: dir.into(), mode: 0o755, ..Entry::default() };
            tar.header(&entry).map_err(written)?;
        }
        let blobs: BTreeSet<Digest> = saved.iter().flat_map(|one| one.image.blobs()).collect();
        for digest in blobs {
            let size = self.content().size(&digest)?;
            let entry = Entry { size, ..file(&blob_path(&digest)) };
            let whole = tar.file(&entry, self.content().open(&digest)?).map_err(written)?;
            if !whole {
                return Err(Error::MissingContent(digest));
            }
        }
        Ok(())
    }
}

fn written(source: io::Error) -> Error {
    Error::Io { act: "write", path: "the archive".into(), source }
}

fn file(name: &str) -> Entry {
    Entry { kind: Kind::Regular, path: name.into(), mode: 0o644, ..Entry::default() }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A descriptor for each name, as containerd and Docker annotate them.
fn index(saved: &[Saved]) -> Vec<u8> {
    let mut entries = Vec::new();
    for one in saved {
        let plain = json!({
            "mediaType": manifest_type(&one.manifest),
            "digest": one.image.manifest.to_string(),
            "size": one.manifest.len(),
        });
        if one.names.is_empty() {
            entries.push(plain.clone());
        }
        for name in &one.names {
            let mut entry = plain.clone();
            entry["annotations"] = json!({
                "io.containerd.image.name": name.to_string(),
                "org.opencontainers.image.ref.name": name.tag().unwrap_or_default(),
            });
            entries.push(entry);
        }
    }
    text(&json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries }))
}

fn manifests(saved: &[Saved]) -> Vec<u8> {
    let entries = saved.iter().map(|one| {
        let tags: Vec<_> = one.names.iter().map(Reference::familiar).collect();
        json!({
            "Config": blob_path(&one.image.id),
            "RepoTags": if tags.is_empty() { Value::Null } else { json!(tags) },
            "Layers": one.image.layers.iter().map(|layer| blob_path(&layer.blob)).collect::<Vec<_>>(),
        })
    });
    text(&entries.collect())
}

/// For old readers: repository, tag, id of the topmost layer.
fn repositories(saved: &[Saved]) -> Vec<u8> {
    let mut map: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for one in saved {
        let Some(top) = one.image.layers.last() else { continue };
        for name in &one.names {
            let tags = map.entry(name.familiar_name()).or_default();
            tags.insert(name.tag().unwrap_or_default().to_owned(), top.blob.hex());
        }
    }
    text(&json!(map))
}

fn text(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
