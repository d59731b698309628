//! `system check`: everything on record compared with everything that is there, and put right on request; and the look
//! at what was unpacked shortly before a boot ended, which no command has to ask for.

mod objects;

use crate::Engine;
use crate::error::{Error, Result};
use crate::image::Containers;
use crate::request::PullRequest;
use crate::userns;
use gantry_image::check::{Depth, Finding, Subject};
use gantry_image::{Image, UnpackOptions};
use gantry_store::containers;
use objects::Cure;
use std::collections::BTreeMap;

/// How `system check` looks, and whether it mends.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckRequest {
    /// Leave contents out.
    pub quick: bool,
    /// Put right what is wrong.
    pub repair: bool,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What, and what is wrong with it.
    pub text: String,
    /// Only what a killed command left: in nobody's way, and gone with the next command that writes.
    pub leftover: bool,
    /// It was mended; when nobody asked for that, it was not.
    pub mended: bool,
    cure: Cure,
}

impl Problem {
    fn damage(text: String, cure: Cure) -> Problem {
        Problem { text, leftover: false, mended: false, cure }
    }

    fn leftover(text: String, cure: Cure) -> Problem {
        Problem { text, leftover: true, mended: false, cure }
    }

    /// What is wrong with a thing may change when it is mended in part.
    fn is_about_the_same(&self, other: &Problem) -> bool {
        match (&self.cure, &other.cure) {
            (Cure::Image(_, a), Cure::Image(_, b)) if a.subject != Subject::Leftover => a.subject == b.subject,
            _ => self.text == other.text,
        }
    }
}

impl Engine {
    /// Looks at everything; mends it when that is asked for, and looks again.
    pub fn check(&self, request: CheckRequest) -> Result<Vec<Problem>> {
        let depth = if request.quick { Depth::Quick } else { Depth::Full };
        let mut found = self.problems(depth)?;
        if request.repair && !found.is_empty() {
            self.mend(&found)?;
            let left = self.problems(depth)?;
            for problem in &mut found {
                problem.mended = !left.iter().any(|other| other.is_about_the_same(problem));
            }
        }
        if !request.quick && found.iter().all(|problem| problem.mended || problem.leftover) {
            self.images()?.believe()?;
        }
        Ok(found)
    }

    fn problems(&self, depth: Depth) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for driver in self.drivers_with_layers()? {
            let storage = self.open_storage(&driver)?;
            let options = UnpackOptions::new(&driver, &storage);
            let findings = self.images()?.check(&options, depth, &Containers(self))?;
            for finding in findings {
                let problem = of_image(&driver, finding);
                // Content and names belong to no driver.
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
        self.check_objects(&mut problems)?;
        Ok(problems)
    }

    /// The driver in use, and others that hold layers of images or containers.
    pub(crate) fn drivers_with_layers(&self) -> Result<Vec<String>> {
        let mut drivers = self.images()?.layer_drivers()?;
        drivers.push(self.storage_driver().to_owned());
        let ids = containers::ids(&self.layout)?;
        drivers.extend(ids.iter().filter_map(|id| self.container_file(id).ok()).map(|file| file.storage_driver));
        drivers.retain(|name| !name.is_empty());
        drivers.sort();
        drivers.dedup();
        Ok(drivers)
    }

    /// What cannot be mended stays to be found again.
    fn mend(&self, problems: &[Problem]) -> Result<()> {
        let mut findings: BTreeMap<&str, Vec<Finding>> = BTreeMap::new();
        for problem in problems {
            match &problem.cure {
                Cure::Image(driver, finding) => findings.entry(driver).or_default().push(finding.clone()),
                other => told(&problem.text, self.cure(other)),
            }
        }
        for (driver, findings) in findings {
            let driver = if driver.is_empty() { self.storage_driver() } else { driver };
            self.mend_images(driver, &findings)?;
        }
        Ok(())
    }

    /// Layers and contents are taken away and made again, and stopped containers led to the new ones.
    fn mend_images(&self, driver: &str, findings: &[Finding]) -> Result<()> {
        let (in_use, findings): (Vec<_>, Vec<_>) =
            findings.iter().cloned().partition(|finding| self.runs_on(driver, finding));
        for finding in &in_use {
            tracing::warn!("{finding}: a running container uses it; stop the container and check again");
        }
        for image in self.images()?.clear_damaged(&findings)? {
            told(&format!("image {}", image.id.short()), self.restore(driver, &image));
        }
        self.lead_to_new_layers(driver)?;
        self.collect_layers(driver)
    }

    fn runs_on(&self, driver: &str, finding: &Finding) -> bool {
        let Subject::Layer { id, .. } = &finding.subject else { return false };
        let records = containers::list(&self.layout).unwrap_or_default();
        let live =
            records.into_iter().filter(|record| crate::container::corrected(record.clone()).state.status.is_live());
        let mut files = live.filter_map(|record| self.container_file(&record.id).ok());
        // Where every container has a copy of its own, nothing runs on the layer itself.
        let copies = self.with_storage(driver, |store| Ok(!store.capabilities()?.copy_on_write)).unwrap_or(false);
        !copies && files.any(|file| file.storage_driver == driver && file.layers.contains(id))
    }

    /// From the bytes that are kept; else from the registry it came from.
    fn restore(&self, driver: &str, image: &Image) -> Result<()> {
        let storage = self.open_storage(driver)?;
        if self.images()?.is_whole(image) {
            return Ok(self.images()?.unpack_image(image, &UnpackOptions::new(driver, &storage))?);
        }
        let summary = self.images()?.summary(image.clone())?;
        let Some(reference) = summary.digests.first() else {
            let error = Error::invalid(format!("the content of image {} is lost", image.id.short()));
            return Err(error.with_hint("load or pull the image again"));
        };
        let platform = Some(format!("{}/{}", image.os, image.architecture));
        let request = PullRequest { reference: reference.to_string(), platform, all_tags: false, lazy: false };
        self.pull(&request, &|_| {}).map(drop)
    }

    /// Containers that do not run keep the ids of their layers; a layer that was made again has another.
    fn lead_to_new_layers(&self, driver: &str) -> Result<()> {
        for id in containers::ids(&self.layout)? {
            let Ok(mut file) = self.container_file(&id) else { continue };
            let running = containers::read(&self.layout, &id)
                .is_ok_and(|record| crate::container::corrected(record).state.status.is_live());
            if file.storage_driver != driver || running {
                continue;
            }
            let own = userns::own_chains(&file);
            let now = self.images()?.layers_of(driver, if own.is_empty() { &file.chains } else { &own })?;
            if let Some(layers) = now.filter(|layers| *layers != file.layers) {
                file.layers = layers;
                self.replace_container_file(&file)?;
            }
        }
        Ok(())
    }

    /// Looks at the last layers of the boot before, once after each boot, and makes spoilt ones again.
    pub(crate) fn settle_doubts(&self) -> Result<()> {
        if !self.images()?.is_doubtful()? {
            return Ok(());
        }
        for driver in self.drivers_with_layers()? {
            let storage = self.open_storage(&driver)?;
            let findings = self.images()?.check_recent(&UnpackOptions::new(&driver, &storage))?;
            if !findings.is_empty() {
                findings.iter().for_each(|finding| tracing::warn!("spoilt by the end of the last boot: {finding}"));
                self.mend_images(&driver, &findings)?;
            }
        }
        Ok(self.images()?.believe()?)
    }

    /// Brings everything to the disk, so that the next boot trusts it: for the host's orderly shutdown.
    pub fn settle(&self) -> Result<()> {
        let root = std::fs::File::open(self.layout.root()).map_err(Error::io("open the root directory"))?;
        nix::unistd::syncfs(&root).map_err(|errno| Error::io("sync the root directory")(errno.into()))?;
        Ok(self.images()?.believe()?)
    }
}

fn of_image(driver: &str, finding: Finding) -> Problem {
    let text = finding.to_string();
    let leftover = finding.subject == Subject::Leftover;
    let driver = match finding.subject {
        Subject::Layer { .. } | Subject::Leftover => driver,
        _ => "",
    };
    let cure = Cure::Image(driver.to_owned(), finding);
    if leftover { Problem::leftover(text, cure) } else { Problem::damage(text, cure) }
}

/// What cannot be mended is told, and found again by the second look.
fn told(what: &str, mended: Result<()>) {
    if let Err(error) = mended {
        tracing::warn!("{what}: cannot be mended: {error}");
    }
}
