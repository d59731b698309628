//! `image inspect` and `history`: Docker's keys over the record and the configuration.

use std::collections::BTreeMap;

use gantry_model::digest::{DiffId, Digest};
use serde::Serialize;

use crate::config::{ContainerConfig, Healthcheck, ImageConfig, as_keys};
use crate::error::Result;
use crate::records::Image;
use crate::store::ImageStore;

/// All that `image inspect` shows, in Docker's order.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageInspect {
    pub id: Digest,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    pub parent: String,
    pub comment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    pub docker_version: String,
    pub author: String,
    pub config: InspectConfig,
    pub architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    pub os: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    pub size: u64,
    pub graph_driver: GraphDriver,
    #[serde(rename = "RootFS")]
    pub root_fs: InspectRootFs,
    pub metadata: Metadata,
    pub descriptor: InspectDescriptor,
}

/// Where the layers lie; the caller knows.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphDriver {
    pub data: Option<BTreeMap<String, String>>,
    pub name: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectRootFs {
    #[serde(rename = "Type")]
    pub kind: String,
    pub layers: Vec<DiffId>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    pub last_tag_time: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectDescriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
}

/// The container defaults with the empty fields that scripts expect.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectConfig {
    pub hostname: String,
    pub domainname: String,
    pub user: String,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    #[serde(serialize_with = "as_keys", skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    pub env: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    pub image: String,
    pub volumes: Option<BTreeMap<String, BTreeMap<(), ()>>>,
    pub working_dir: String,
    pub entrypoint: Option<Vec<String>>,
    pub on_build: Option<Vec<String>>,
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
}

/// One line of `history`, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryLine {
    /// Only the newest line knows its image.
    pub id: Option<Digest>,
    pub created: Option<String>,
    pub created_by: String,
    pub comment: String,
    pub size: u64,
    pub tags: Vec<String>,
}

impl ImageStore {
    /// All that is known of an image. The graph driver's part is the caller's to fill.
    pub fn inspect(&self, image: &Image) -> Result<ImageInspect> {
        let config = self.config(&image.id)?;
        let summary = self.summary(image.clone())?;
        let familiar = |list: &[gantry_model::reference::Reference]| list.iter().map(|r| r.familiar()).collect();
        Ok(ImageInspect {
            id: image.id,
            repo_tags: familiar(&summary.tags),
            repo_digests: familiar(&summary.digests),
            parent: image.parent.map(|parent| parent.to_string()).unwrap_or_default(),
            comment: comment(&config),
            created: config.created,
            docker_version: config.docker_version,
            author: config.author,
            config: config.config.into(),
            architecture: config.architecture,
            variant: config.variant,
            os: config.os,
            os_version: config.os_version,
            size: image.size,
            graph_driver: GraphDriver::default(),
            root_fs: InspectRootFs { kind: config.rootfs.kind, layers: config.rootfs.diff_ids },
            metadata: Metadata { last_tag_time: self.tag_time(image)? },
            descriptor: self.descriptor(image),
        })
    }

    fn tag_time(&self, image: &Image) -> Result<String> {
        let never = || "0001-01-01T00:00:00Z".to_owned();
        Ok(self.last_tagged(&image.id)?.unwrap_or_else(never))
    }

    fn descriptor(&self, image: &Image) -> InspectDescriptor {
        let size = std::fs::metadata(self.content.path(&image.manifest)).map_or(0, |meta| meta.len());
        let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        InspectDescriptor { media_type, digest: image.manifest, size }
    }

    /// How the image came about, newest first.
    pub fn history(&self, image: &Image) -> Result<Vec<HistoryLine>> {
        let config = self.config(&image.id)?;
        let mut sizes = image.layers.iter().map(|layer| layer.size);
        let mut lines = Vec::with_capacity(config.history.len());
        for entry in config.history {
            let size = if entry.empty_layer { 0 } else { sizes.next().unwrap_or(0) };
            let (created, created_by, comment) = (entry.created, entry.created_by, entry.comment);
            lines.push(HistoryLine { id: None, created, created_by, comment, size, tags: Vec::new() });
        }
        lines.reverse();
        if let Some(newest) = lines.first_mut() {
            newest.id = Some(image.id);
            newest.tags = self.records.references_of(&image.id)?.iter().map(|r| r.familiar()).collect();
        }
        Ok(lines)
    }
}

fn comment(config: &ImageConfig) -> String {
    match config.comment.is_empty() {
        true => config.history.last().map(|entry| entry.comment.clone()).unwrap_or_default(),
        false => config.comment.clone(),
    }
}

impl From<ContainerConfig> for InspectConfig {
    fn from(config: ContainerConfig) -> Self {
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let volumes: BTreeMap<_, _> = config.volumes.into_iter().map(|name| (name, BTreeMap::new())).collect();
        Self {
            hostname: String::new(),
            domainname: String::new(),
            user: config.user,
            attach_stdin: false,
            attach_stdout: false,
            attach_stderr: false,
            exposed_ports: config.exposed_ports,
            tty: false,
            open_stdin: false,
            stdin_once: false,
            env: some(config.env),
            cmd: some(config.cmd),
            healthcheck: config.healthcheck,
            image: String::new(),
            volumes: (!volumes.is_empty()).then_some(volumes),
            working_dir: config.working_dir,
            entrypoint: some(config.entrypoint),
            on_build: some(config.on_build),
            labels: (!config.labels.is_empty()).then_some(config.labels),
            stop_signal: config.stop_signal,
            stop_timeout: config.stop_timeout,
            shell: config.shell,
        }
    }
}
