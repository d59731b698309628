//! What an archive says it holds, in either of the two layouts, as one plan per image.
//!
//! Docker's `manifest.json` is preferred, since it carries every tag; the OCI index beside it, or alone,
//! gives the digests that layers must have.

use std::collections::BTreeMap;

use gantry_model::digest::Digest;
use gantry_model::platform::Platform;
use gantry_model::reference::Reference;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::archive::Archive;
use crate::config::ImageConfig;
use crate::error::{Error, Result};
use crate::hash::sha256;
use crate::limits::Limits;

const IMAGE_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const ATTESTATION: &str = "vnd.docker.reference.type";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Indexes may point to indexes, but not for ever.
pub(crate) const NESTING: usize = 4;

/// One image to be installed.
pub(crate) struct Plan {
    pub(crate) id: Digest,
    pub(crate) config: ImageConfig,
    pub(crate) config_bytes: Vec<u8>,
    /// The manifest as it came; made by us if there was none.
    pub(crate) manifest_bytes: Option<Vec<u8>>,
    pub(crate) references: Vec<Reference>,
    /// Bottom first, as many as the configuration's diff ids.
    pub(crate) layers: Vec<PlannedLayer>,
}

/// One layer's blob in the archive.
pub(crate) struct PlannedLayer {
    pub(crate) name: String,
    /// What the manifest says its digest is.
    pub(crate) digest: Option<Digest>,
}

/// A reference from a manifest to a blob.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing)]
    platform: Option<PlatformEntry>,
}

#[derive(Clone, Debug, Deserialize)]
struct PlatformEntry {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    variant: String,
}

/// An image manifest or an index; one type, because media types are not always given.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestOrIndex {
    #[serde(default)]
    schema_version: u32,
    #[serde(default, deserialize_with = "crate::config::or_default")]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default, deserialize_with = "crate::config::or_default")]
    layers: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// Reads what the archive holds.
pub(crate) fn plans(archive: &Archive, limits: &Limits) -> Result<Vec<Plan>> {
    let docker = archive.find("manifest.json")?.is_some();
    let oci = archive.find("index.json")?.is_some();
    let plans = match (docker, oci) {
        (true, _) => docker_plans(archive, limits, oci)?,
        (false, true) => oci_plans(archive, limits)?,
        (false, false) => return Err(Error::NotAnImage("it has neither manifest.json nor index.json")),
    };
    match plans.is_empty() {
        true => Err(Error::NotAnImage("it holds no image")),
        false => Ok(plans),
    }
}

fn docker_plans(archive: &Archive, limits: &Limits, oci: bool) -> Result<Vec<Plan>> {
    let entries: Vec<DockerEntry> = parse("manifest.json", &archive.read("manifest.json", limits)?)?;
    let mut plans = entries.into_iter().map(|entry| docker_plan(archive, limits, entry)).collect::<Result<Vec<_>>>()?;
    if oci {
        let known = index_manifests(archive, limits)?;
        plans.iter_mut().for_each(|plan| adopt_manifest(plan, &known));
    }
    Ok(plans)
}

fn docker_plan(archive: &Archive, limits: &Limits, entry: DockerEntry) -> Result<Plan> {
    let bytes = archive.read(&entry.config, limits)?;
    if let Some(expected) = blob_digest(&entry.config) {
        check_digest(&entry.config, &bytes, &expected)?;
    }
    let tags = entry.repo_tags.unwrap_or_default();
    let references = tags.iter().map(|tag| Reference::parse(tag)).collect::<std::result::Result<_, _>>()?;
    let layers = entry.layers.unwrap_or_default();
    let planned = layers.into_iter().map(|name| PlannedLayer { digest: blob_digest(&name), name }).collect();
    plan(&entry.config, bytes, references, planned, limits)
}

/// The digest in a name such as `blobs/sha256/<hex>`, which names its content.
fn blob_digest(name: &str) -> Option<Digest> {
    name.strip_prefix("blobs/sha256/").and_then(|hex| Digest::from_hex(hex).ok())
}

fn plan(
    name: &str,
    config_bytes: Vec<u8>,
    references: Vec<Reference>,
    layers: Vec<PlannedLayer>,
    limits: &Limits,
) -> Result<Plan> {
    let config: ImageConfig = parse(name, &config_bytes)?;
    let expected = config.rootfs.diff_ids.len();
    if expected != layers.len() {
        return Err(Error::LayerCount { expected, found: layers.len() });
    }
    if layers.len() > limits.layers {
        return Err(Error::Depth(limits.layers));
    }
    Ok(Plan { id: sha256(&config_bytes), config, config_bytes, manifest_bytes: None, references, layers })
}

/// Manifests of the index by the image they describe.
fn index_manifests(archive: &Archive, limits: &Limits) -> Result<Vec<(Digest, Vec<u8>)>> {
    let mut found = Vec::new();
    for (_, bytes) in image_manifests(archive, limits)? {
        let manifest: ManifestOrIndex = parse("manifest", &bytes)?;
        found.extend(manifest.config.map(|config| (config.digest, bytes)));
    }
    Ok(found)
}

/// Takes over the manifest of the same image if it describes the same blobs.
fn adopt_manifest(plan: &mut Plan, known: &[(Digest, Vec<u8>)]) {
    let Some((_, bytes)) = known.iter().find(|(id, _)| *id == plan.id) else { return };
    let Ok(manifest) = serde_json::from_slice::<ManifestOrIndex>(bytes) else { return };
    let same = manifest.layers.len() == plan.layers.len()
        && manifest.layers.iter().zip(&plan.layers).all(|(known, planned)| planned.digest == Some(known.digest));
    if same {
        plan.manifest_bytes = Some(bytes.clone());
    }
}

fn oci_plans(archive: &Archive, limits: &Limits) -> Result<Vec<Plan>> {
    let mut plans: Vec<Plan> = Vec::new();
    for (descriptor, bytes) in image_manifests(archive, limits)? {
        let reference = reference(&descriptor.annotations)?;
        let next = oci_plan(archive, limits, bytes, reference)?;
        match plans.iter_mut().find(|plan| plan.id == next.id) {
            Some(known) => known.references.extend(next.references),
            None => plans.push(next),
        }
    }
    Ok(plans)
}

fn oci_plan(archive: &Archive, limits: &Limits, bytes: Vec<u8>, reference: Option<Reference>) -> Result<Plan> {
    let manifest: ManifestOrIndex = parse("manifest", &bytes)?;
    let config = manifest.config.ok_or(Error::NotAnImage("a manifest has no configuration"))?;
    let config_bytes = read_blob(archive, &config, limits)?;
    let planned = |layer: Descriptor| PlannedLayer { name: blob_name(&layer.digest), digest: Some(layer.digest) };
    let layers = manifest.layers.into_iter().map(planned).collect();
    let plan = plan(&blob_name(&config.digest), config_bytes, reference.into_iter().collect(), layers, limits)?;
    Ok(Plan { manifest_bytes: Some(bytes), ..plan })
}

/// The image manifests that the index leads to, one per top-level entry, for this machine.
fn image_manifests(archive: &Archive, limits: &Limits) -> Result<Vec<(Descriptor, Vec<u8>)>> {
    let index: ManifestOrIndex = parse("index.json", &archive.read("index.json", limits)?)?;
    let mut found = Vec::new();
    for descriptor in index.manifests.into_iter().filter(is_image) {
        if let Some(bytes) = manifest_for_host(archive, &descriptor, limits, NESTING)? {
            found.push((descriptor, bytes));
        }
    }
    Ok(found)
}

fn is_image(descriptor: &Descriptor) -> bool {
    let known = descriptor.platform.as_ref().is_none_or(|platform| platform.os != "unknown");
    known && !descriptor.annotations.contains_key(ATTESTATION)
}

fn manifest_for_host(
    archive: &Archive,
    descriptor: &Descriptor,
    limits: &Limits,
    depth: usize,
) -> Result<Option<Vec<u8>>> {
    let bytes = read_blob(archive, descriptor, limits)?;
    let parsed: ManifestOrIndex = parse(&blob_name(&descriptor.digest), &bytes)?;
    if parsed.config.is_some() {
        return Ok(Some(bytes));
    }
    let candidates: Vec<_> = parsed.manifests.into_iter().filter(is_image).collect();
    if candidates.is_empty() || depth == 0 {
        return Ok(None);
    }
    let host = Platform::host();
    let chosen = candidates.iter().find(|candidate| fits(candidate, &host));
    let chosen = chosen.ok_or_else(|| wrong_platform(&candidates, &host))?;
    manifest_for_host(archive, chosen, limits, depth - 1)
}

fn fits(descriptor: &Descriptor, platform: &Platform) -> bool {
    let fits = |entry: &PlatformEntry| platform.accepts(&entry.os, &entry.architecture, &entry.variant);
    descriptor.platform.as_ref().is_none_or(fits)
}

fn wrong_platform(candidates: &[Descriptor], wanted: &Platform) -> Error {
    let names = candidates.iter().filter_map(|candidate| candidate.platform.as_ref());
    let joint = |variant: &str| if variant.is_empty() { String::new() } else { format!("/{variant}") };
    let found: Vec<_> = names.map(|p| format!("{}/{}{}", p.os, p.architecture, joint(&p.variant))).collect();
    Error::Platform { wanted: wanted.to_string(), found: found.join(", ") }
}

/// What a registry sends for a reference.
pub(crate) enum RemoteDocument {
    Image { config: Descriptor, layers: Vec<Descriptor> },
    Index(Vec<Descriptor>),
}

/// Reads a manifest or an index; whatever is neither, or is no container image, is refused by its name.
pub(crate) fn document(name: &str, bytes: &[u8]) -> Result<RemoteDocument> {
    let parsed: ManifestOrIndex = parse(&format!("the manifest of {name}"), bytes)?;
    if parsed.schema_version == 1 {
        return Err(Error::OldManifest(name.to_owned()));
    }
    match parsed.config {
        None if parsed.manifests.is_empty() => Err(Error::NotAnImage("its manifest names no configuration")),
        None => Ok(RemoteDocument::Index(parsed.manifests.into_iter().filter(is_image).collect())),
        Some(config) if !is_config(&config.media_type) => {
            Err(Error::Artifact { name: name.to_owned(), kind: config.media_type })
        }
        Some(config) => Ok(RemoteDocument::Image { config, layers: parsed.layers }),
    }
}

/// Other things than images live in registries, with configurations of other types.
fn is_config(media_type: &str) -> bool {
    matches!(media_type, "" | OCI_CONFIG | DOCKER_CONFIG | "application/octet-stream")
}

/// The digests that an index names; none if it is a manifest.
pub fn index_entries(bytes: &[u8]) -> Vec<Digest> {
    let parsed = serde_json::from_slice::<ManifestOrIndex>(bytes);
    parsed.map_or_else(|_| Vec::new(), |parsed| parsed.manifests.iter().map(|entry| entry.digest).collect())
}

/// The manifest of an index for a platform; of several the first is meant, as their order is the publisher's.
pub(crate) fn choose(candidates: &[Descriptor], platform: &Platform) -> Result<Digest> {
    let chosen = candidates.iter().find(|candidate| fits(candidate, platform));
    chosen.map(|chosen| chosen.digest).ok_or_else(|| wrong_platform(candidates, platform))
}

/// The media type of a manifest: its own word, else what its configuration lets us conclude.
pub(crate) fn manifest_type(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        #[serde(default)]
        media_type: String,
        config: Option<Descriptor>,
    }
    let Ok(typed) = serde_json::from_slice::<Typed>(bytes) else { return OCI_MANIFEST.to_owned() };
    match typed.config {
        _ if !typed.media_type.is_empty() => typed.media_type,
        Some(config) if config.media_type == DOCKER_CONFIG => DOCKER_MANIFEST.to_owned(),
        _ => OCI_MANIFEST.to_owned(),
    }
}

/// A full name, or nothing: a bare tag names no repository.
fn reference(annotations: &BTreeMap<String, String>) -> Result<Option<Reference>> {
    let full = annotations.get(IMAGE_NAME);
    let named = annotations.get(REF_NAME).filter(|name| name.contains([':', '/']));
    full.or(named).map(|name| Reference::parse(name)).transpose().map_err(Error::from)
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn read_blob(archive: &Archive, descriptor: &Descriptor, limits: &Limits) -> Result<Vec<u8>> {
    let name = blob_name(&descriptor.digest);
    let bytes = archive.read(&name, limits)?;
    check_digest(&name, &bytes, &descriptor.digest)?;
    Ok(bytes)
}

fn check_digest(name: &str, bytes: &[u8], expected: &Digest) -> Result<()> {
    let found = sha256(bytes);
    match found == *expected {
        true => Ok(()),
        false => Err(Error::Mismatch { what: name.to_owned(), expected: *expected, found }),
    }
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::Json { name: name.to_owned(), source })
}

/// A manifest for an image that came without one.
pub(crate) fn write_manifest(config: &[u8], layers: Vec<Descriptor>) -> Vec<u8> {
    let config = Descriptor::new(OCI_CONFIG, sha256(config), config.len() as u64);
    let manifest = Manifest { schema_version: 2, media_type: OCI_MANIFEST, config, layers };
    serde_json::to_vec(&manifest).unwrap_or_default()
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let annotations = BTreeMap::new();
        Self { media_type: media_type.to_owned(), digest, size, annotations, platform: None }
    }
}

/// The annotations and checks that tests of other modules rely on.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_from_annotations() {
        let annotated = |pairs: &[(&str, &str)]| {
            let map = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            reference(&map).expect("reference").map(|reference| reference.familiar())
        };
        assert_eq!(annotated(&[(REF_NAME, "latest")]), None);
        assert_eq!(annotated(&[(REF_NAME, "a:1")]).as_deref(), Some("a:1"));
        assert_eq!(annotated(&[(REF_NAME, "1"), (IMAGE_NAME, "docker.io/library/a:1")]).as_deref(), Some("a:1"));
        assert_eq!(annotated(&[]), None);
    }
}
