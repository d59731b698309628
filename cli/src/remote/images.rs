//! `images`, `tag`, `rmi` by an engine elsewhere.

use super::{failed, filters_json, forgiving, on};
use crate::args::images::{self as args, ImagesArgs, RmiArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::cmd::images::{Listed, print, wanted};
use crate::cmd::{Command, Context, Outcome, each};
use crate::out::failure::Failure;
use gantry_client::segment;
use gantry_engine::model::reference::Reference;
use serde_json::Value;

pub static LIST: Command<ImagesArgs> = Command { info: args::IMAGES, flags: &[args::IMAGES_FLAGS], run: list };
pub static TAG: Command<NoArgs> = Command { info: args::TAG, flags: &[NO_FLAGS], run: tag };
pub static RMI: Command<RmiArgs> = Command { info: args::RMI, flags: &[args::RMI_FLAGS], run: rmi };

fn list(context: &Context, args: ImagesArgs, words: Vec<String>) -> Outcome {
    let mut query = filters_json(&wanted(&args, &words)?);
    query.push(on("all", args.all));
    let found = context.client()?.call("GET", "/images/json", &query, None).map_err(failed)?;
    let images: Vec<Listed> = found.as_array().into_iter().flatten().map(listed).collect();
    print(&args, &images)
}

fn listed(image: &Value) -> Listed {
    let names = |key: &str| {
        let names = image[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        // Engines of old say so of images without a name.
        names.filter(|name| !name.starts_with("<none>")).filter_map(|name| Reference::parse(name).ok()).collect()
    };
    Listed {
        id: image["Id"].as_str().unwrap_or_default().to_owned(),
        tags: names("RepoTags"),
        digests: names("RepoDigests"),
        created_ns: image["Created"].as_u64().unwrap_or(0).saturating_mul(1_000_000_000),
        size: image["Size"].as_u64().unwrap_or(0),
        containers: image["Containers"].as_u64().unwrap_or(0),
    }
}

/// A name with tag as repository and tag.
pub(super) fn parted(name: &str) -> Result<(String, Option<String>), Failure> {
    let parsed = Reference::parse(name).map_err(|error| Failure::error(error.to_string()))?;
    let bare = Reference::parse_repository(name).is_ok();
    Ok((parsed.familiar_name(), parsed.tag().filter(|_| !bare).map(str::to_owned)))
}

fn tag(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let (repository, tag) = parted(&names[1])?;
    let query = [("repo", repository), ("tag", tag.unwrap_or_else(|| "latest".to_owned()))];
    let path = format!("/images/{}/tag", segment(&names[0]));
    context.client()?.call("POST", &path, &query, None).map(|_| 0).map_err(failed)
}

fn rmi(context: &Context, args: RmiArgs, names: Vec<String>) -> Outcome {
    let client = context.client()?;
    let query = [on("force", args.force), on("noprune", args.no_prune)];
    each(&names, |name| {
        let path = format!("/images/{}", segment(name));
        let removed = forgiving(client.call("DELETE", &path, &query, None), args.force)?;
        let line = |one: &Value| {
            let (what, name) = one.as_object()?.iter().next()?;
            Some(format!("{what}: {}", name.as_str()?))
        };
        let lines: Vec<String> = removed.iter().flat_map(|found| found.as_array()).flatten().filter_map(line).collect();
        Ok((!lines.is_empty()).then(|| lines.join("\n")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_of_the_api() {
        let image = json!({"Id": "sha256:ab", "RepoTags": ["a:1", "<none>:<none>"], "RepoDigests": null, "Created": 2, "Size": 3});
        let got = listed(&image);
        assert_eq!((got.tags.len(), got.digests.len(), got.created_ns, got.size), (1, 0, 2_000_000_000, 3));
    }

    #[test]
    fn names_are_parted() {
        assert_eq!(parted("reg:5/a").unwrap(), ("reg:5/a".to_owned(), None));
        assert_eq!(parted("a:1").unwrap(), ("a".to_owned(), Some("1".to_owned())));
        assert!(parted("A").is_err());
    }
}
