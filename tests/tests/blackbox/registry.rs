//! Registries: Debian's docker-registry plain, with TLS and passwords, and with tokens; and one of our own that cuts,
//! stalls and lies.

use crate::need;
use gantry_tests::image::Layer;
use gantry_tests::registry::{Answer, Registry, Request, Server, Tokens};
use gantry_tests::{Run, Running, World, registry};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Leaves a test that needs docker-registry where there is none.
macro_rules! need_registry {
    () => {
        need!();
        if !registry::able() {
            return;
        }
    };
}

/// A command whose credentials are the world's own.
fn gantry<'a>(world: &World, words: impl IntoIterator<Item = &'a str>) -> Run {
    fed(world, words, b"")
}

fn fed<'a>(world: &World, words: impl IntoIterator<Item = &'a str>, input: &[u8]) -> Run {
    let mut command = world.command(words);
    command.env("DOCKER_CONFIG", world.path("docker")).env_remove("http_proxy").env_remove("HTTP_PROXY");
    Running::start(command, input).end()
}

fn line(world: &World, line: &str) -> Run {
    gantry(world, line.split_whitespace())
}

#[test]
fn what_is_pushed_comes_back_the_same() {
    need_registry!();
    let world = World::new();
    let registry = Registry::plain(&world);
    let name = registry.image("team/bb:1");
    line(&world, &format!("tag bb {name}")).ok();
    let id = line(&world, &format!("images -q --no-trunc {name}")).ok();
    let pushed = line(&world, &format!("push {name}")).ok();
    assert!(
        pushed.starts_with(&format!("The push refers to repository [{}]\n", registry.image("team/bb"))),
        "{pushed}"
    );
    assert!(pushed.contains(": Preparing\n") && pushed.contains(": Pushed\n"), "{pushed}");
    let last = pushed.lines().last().unwrap_or_default();
    let digest = last.strip_prefix("1: digest: ").and_then(|rest| rest.split(' ').next()).expect("a digest").to_owned();
    assert!(line(&world, &format!("push {name}")).ok().contains(": Layer already exists"));
    let other = registry.image("other/bb");
    line(&world, &format!("tag bb {other}")).ok();
    let mounted = line(&world, &format!("push {other}")).ok();
    assert!(mounted.contains(": Mounted from team/bb"), "{mounted}");

    line(&world, &format!("rmi -f {id}")).ok();
    assert_eq!("", line(&world, "images -q").ok());
    let pulled = line(&world, &format!("pull {name}")).ok();
    let wanted = ["1: Pulling from team/bb", ": Pulling fs layer", ": Download complete", ": Pull complete", &digest];
    wanted.iter().for_each(|words| assert!(pulled.contains(words), "{words}: {pulled}"));
    assert!(pulled.ends_with(&format!("Status: Downloaded newer image for {name}\n{name}")), "{pulled}");
    assert_eq!(id, line(&world, &format!("images -q --no-trunc {name}")).ok());
    assert_eq!("hello", line(&world, &format!("run --rm --network none {name} echo hello")).ok());
    assert!(line(&world, &format!("pull {name}")).ok().contains(&format!("Status: Image is up to date for {name}")));
    let repository = registry.image("team/bb");
    assert_eq!(format!("[{repository}@{digest}]"), gantry(&world, ["inspect", "-f", "{{.RepoDigests}}", &name]).ok());
    line(&world, &format!("rmi {name}")).ok();
    let by_digest = format!("{repository}@{digest}");
    assert!(line(&world, &format!("pull -q {by_digest}")).ok().contains(&by_digest));
    assert_eq!("yes", line(&world, &format!("run --rm --network none {by_digest} echo yes")).ok());
    drop(registry);
    world.assert_no_leaks();
}

#[test]
fn a_missing_image_is_fetched_when_it_is_run() {
    need_registry!();
    let world = World::new();
    let registry = Registry::plain(&world);
    let name = registry.image("bb");
    line(&world, &format!("tag bb {name}")).ok();
    line(&world, &format!("push -q {name}")).ok();
    line(&world, &format!("rmi -f {name} bb")).ok();
    line(&world, &format!("run --rm --network none --pull never {name} true")).fails(125, "No such image: ");
    let run = line(&world, &format!("run --rm --network none {name} echo there"));
    assert_eq!("there", run.ok());
    let said = &run.stderr;
    assert!(
        said.starts_with(&format!("Unable to find image '{name}:latest' locally\nlatest: Pulling from bb\n")),
        "{said}"
    );
    assert!(said.contains(&format!("Status: Downloaded newer image for {name}:latest\n")), "{said}");
    let again = line(&world, &format!("run --rm --network none --pull always {name} true"));
    again.ok();
    assert!(again.stderr.contains("Status: Image is up to date"), "{}", again.stderr);
    line(&world, &format!("rmi -f {name}")).ok();
    let quiet = line(&world, &format!("create -q --network none {name} true"));
    quiet.ok();
    assert_eq!(format!("Unable to find image '{name}:latest' locally\n"), quiet.stderr);
    let nothing = registry.image("nothing");
    line(&world, &format!("run --rm {nothing}")).fails(125, &format!("manifest for {nothing}:latest not found"));
    line(&world, &format!("run --pull sometimes {name}")).fails(125, "invalid pull option: 'sometimes'");
    line(&world, &format!("pull {name}:other"))
        .fails(1, &format!("manifest for {name}:other not found: manifest unknown"));
    line(&world, &format!("push {name}:other")).fails(1, "An image does not exist locally with the tag");
}

#[test]
fn repositories_are_listed_searched_and_fetched_whole() {
    need_registry!();
    let world = World::new();
    let registry = Registry::plain(&world);
    for tag in ["1", "2"] {
        line(&world, &format!("tag bb {}", registry.image(&format!("some/tool:{tag}")))).ok();
    }
    let name = registry.image("some/tool");
    line(&world, &format!("push -a {name}")).ok();
    let found = line(&world, &format!("search {}", registry.image("tool"))).ok();
    assert!(found.starts_with("NAME") && found.contains(&name), "{found}");
    assert_eq!(1, line(&world, &format!("search {}", registry.image("nosuch"))).ok().lines().count());
    let manifest = line(&world, &format!("manifest inspect {name}:1")).ok();
    let parsed: Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(2, parsed["schemaVersion"]);
    assert!(manifest.starts_with("{\n\t\"schemaVersion\": 2,\n"), "{manifest}");
    let verbose: Value =
        serde_json::from_str(&line(&world, &format!("manifest inspect -v {name}:1")).ok()).expect("JSON");
    assert_eq!(parsed, verbose["OCIManifest"]);
    let id = line(&world, "images -q --no-trunc bb").ok();
    line(&world, &format!("rmi -f {id}")).ok();
    line(&world, &format!("pull -q -a {name}")).ok();
    assert_eq!(2, line(&world, &format!("images {name}")).ok().lines().count() - 1);
}

#[test]
fn a_mirror_stands_in_for_the_default_registry() {
    need_registry!();
    let world = World::new();
    let registry = Registry::plain(&world);
    let name = registry.image("library/busybox");
    line(&world, &format!("tag bb {name}")).ok();
    line(&world, &format!("push -q {name}")).ok();
    line(&world, &format!("rmi -f {name} bb")).ok();
    let host = registry.host();
    world.configure(&format!("[registry.\"docker.io\"]\nmirrors = [\"http://127.0.0.1:1\", \"http://{host}\"]\n"));
    let pulled = line(&world, "pull busybox").ok();
    assert!(pulled.starts_with("Using default tag: latest\nlatest: Pulling from library/busybox\n"), "{pulled}");
    assert!(pulled.ends_with("docker.io/library/busybox:latest"), "{pulled}");
    assert_eq!("m", line(&world, "run --rm --network none busybox echo m").ok());
    assert!(line(&world, "search busyb").ok().contains("library/busybox"));
}

#[test]
fn passwords_and_certificates() {
    need_registry!();
    let world = World::new();
    let registry = Registry::guarded(&world);
    let (host, name) = (registry.host(), registry.image("bb"));
    line(&world, &format!("tag bb {name}")).ok();
    let trusting = |ca: &str| world.configure(&format!("[registry.\"{host}\"]\nca = \"{}\"\n", world.text(ca)));
    // This machine's own registries need no certificate, unless one is settled.
    line(&world, &format!("push {name}")).fails(1, "push access denied for");
    other_authority(&world);
    trusting("other.pem");
    line(&world, &format!("push {name}")).fails(1, &format!("cannot trust registry {host}"));
    trusting("ca.pem");
    line(&world, &format!("push {name}")).fails(1, "may require 'gantry login'");
    fed(&world, ["login", "-u", "u", "--password-stdin", &host], b"wrong\n").fails(1, "unauthorized");
    assert!(!world.path("docker/config.json").exists());
    let login = fed(&world, ["login", "-u", "u", "--password-stdin", &host], b"p\n");
    assert_eq!("Login Succeeded", login.ok());
    assert!(login.stderr.contains("stored unencrypted"), "{}", login.stderr);
    assert_eq!("Login Succeeded", line(&world, &format!("login {host}")).ok());
    line(&world, &format!("push {name}")).ok();
    line(&world, &format!("rmi -f {name} bb")).ok();
    line(&world, &format!("pull {name}")).ok();
    assert_eq!(format!("Removing login credentials for {host}"), line(&world, &format!("logout {host}")).ok());
    assert_eq!(format!("Not logged in to {host}"), line(&world, &format!("logout {host}")).ok());
    line(&world, &format!("pull {name}")).fails(1, "pull access denied for");
    line(&world, &format!("login -u u {host}")).fails(1, "Cannot perform an interactive login from a non TTY device");
}

fn other_authority(world: &World) {
    let (key, out) = (world.text("other.key"), world.text("other.pem"));
    let words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout", &key, "-out", &out];
    assert!(std::process::Command::new("openssl").args(words).output().expect("openssl runs").status.success());
}

#[test]
fn credential_helpers_are_asked() {
    need_registry!();
    let world = World::new();
    let registry = Registry::guarded(&world);
    let (host, name) = (registry.host(), registry.image("bb"));
    let kept = world.text("kept");
    let script = format!(
        "#!/bin/sh\ncase $1 in\nstore) cat > {kept};;\nget) cat {kept} 2>/dev/null || {{ echo credentials not found in native keychain; exit 1; }};;\nerase) rm {kept};;\nesac\n"
    );
    let helper = world.file("bin/docker-credential-test", script);
    std::process::Command::new("chmod").args(["+x", &helper]).status().expect("chmod");
    world.file("docker/config.json", json!({ "credsStore": "test", "other": 1 }).to_string());
    let path = format!("{}:{}", world.text("bin"), std::env::var("PATH").unwrap_or_default());
    let with_helper = |words: &str, input: &[u8]| {
        let mut command = world.command(words.split_whitespace());
        command.env("DOCKER_CONFIG", world.path("docker")).env("PATH", &path);
        Running::start(command, input).end()
    };
    line(&world, &format!("tag bb {name}")).ok();
    with_helper(&format!("push {name}"), b"").fails(1, "push access denied");
    assert_eq!("Login Succeeded", with_helper(&format!("login -u u --password-stdin {host}"), b"p").ok());
    assert!(std::fs::read_to_string(&kept).expect("stored").contains("\"Secret\":\"p\""));
    with_helper(&format!("push {name}"), b"").ok();
    with_helper(&format!("logout {host}"), b"").ok();
    assert!(!std::path::Path::new(&kept).exists());
}

#[test]
fn tokens_are_fetched_for_what_is_done() {
    need_registry!();
    let world = World::new();
    let tokens = Tokens::start(&world);
    let registry = Registry::with_tokens(&world, &tokens);
    let (host, open, own) = (registry.host(), registry.image("public/bb"), registry.image("own/bb"));
    for name in [&open, &own] {
        line(&world, &format!("tag bb {name}")).ok();
    }
    line(&world, &format!("push {open}")).fails(1, "push access denied for");
    fed(&world, ["login", "-u", "u", "--password-stdin", &host], b"no").fails(1, "unauthorized: incorrect username");
    fed(&world, ["login", "-u", "u", "--password-stdin", &host], b"p").ok();
    let config = std::fs::read_to_string(world.path("docker/config.json")).expect("kept");
    assert!(config.contains("\"identitytoken\": \"lasting\""), "{config}");
    for name in [&open, &own] {
        line(&world, &format!("push {name}")).ok();
    }
    line(&world, &format!("logout {host}")).ok();
    line(&world, &format!("rmi -f {open} {own} bb")).ok();
    line(&world, &format!("pull {own}")).fails(1, "pull access denied for");
    line(&world, &format!("pull {open}")).ok();
    let scopes: Vec<String> = tokens.server.seen().into_iter().map(|request| request.path).collect();
    assert!(scopes.iter().any(|path| path.contains("scope=repository%3Apublic%2Fbb%3Apull")), "{scopes:#?}");
}

fn hex(bytes: &[u8]) -> String {
    format!("sha256:{}", Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// An image of one layer, as a registry has it.
pub(super) struct Fake {
    /// By path below `/v2/fake/`.
    things: HashMap<String, (String, Vec<u8>)>,
    layer: String,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Fake {
    pub(super) fn new() -> Fake {
        let mut tar = std::fs::read(gantry_tests::image::busybox_tar()).expect("made by the harness");
        tar.truncate(tar.len() - 1024);
        let mut more = Layer::default();
        let noise: Vec<u8> = (0..4_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        more.file("noise", 0o644, &noise);
        tar.extend(more.finish());
        let blob = gzip(&tar);
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": { "Cmd": ["sha256sum", "/noise"] },
            "rootfs": { "type": "layers", "diff_ids": [hex(&tar)] },
        })
        .to_string()
        .into_bytes();
        let mut fake = Fake { things: HashMap::new(), layer: hex(&blob) };
        let manifest = fake.manifest(&config, &blob, blob.len());
        fake.put("manifests/latest", MANIFEST, manifest);
        fake
    }

    fn manifest(&mut self, config: &[u8], blob: &[u8], size: usize) -> Vec<u8> {
        self.put(&format!("blobs/{}", hex(config)), "x", config.to_vec());
        self.put(&format!("blobs/{}", hex(blob)), "x", blob.to_vec());
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": hex(config), "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": hex(blob), "size": size }],
        })
        .to_string()
        .into_bytes()
    }

    fn put(&mut self, path: &str, kind: &str, bytes: Vec<u8>) {
        self.things.insert(path.to_owned(), (kind.to_owned(), bytes));
    }

    pub(super) fn layer_path(&self) -> String {
        format!("/v2/fake/blobs/{}", self.layer)
    }

    /// The honest answer, ranges included.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        if request.path == "/v2/" {
            return Answer::new(200, "{}");
        }
        let Some((kind, bytes)) = request.path.strip_prefix("/v2/fake/").and_then(|path| self.things.get(path)) else {
            return Answer::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#);
        };
        let start = request.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
        let start: Option<usize> = start.and_then(|range| range.trim_end_matches('-').parse().ok());
        match start {
            Some(start) => Answer::new(206, &bytes[start..])
                .header("content-range", &format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len())),
            None => Answer::new(200, bytes.clone()).header("content-type", kind),
        }
    }

    fn serve(self) -> Server {
        Server::start(move |request| self.answer(request))
    }
}

/// A world that gives up after a few tries.
fn impatient() -> World {
    let world = World::empty();
    world.configure("[engine.registry]\nretries = 4\ntimeout = \"20s\"\n");
    world
}

pub(super) fn pull(world: &World, server: &Server) -> Run {
    line(world, &format!("pull {}/fake", server.host()))
}

/// The layer is as it was sent.
pub(super) fn sound(world: &World, server: &Server) {
    let noise: Vec<u8> = (0..4_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let wanted = format!("{}  /noise", hex(&noise).trim_start_matches("sha256:"));
    assert_eq!(wanted, line(world, &format!("run --rm --network none {}/fake", server.host())).ok());
}

/// Nothing came of it, and nothing is left.
fn nothing(world: &World) {
    assert_eq!("", line(world, "images -aq").ok());
    for dir in ["content/blobs/sha256", "content/ingest", "layers/overlay2"] {
        let entries = std::fs::read_dir(world.path("root").join(dir)).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let left: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        assert!(left.is_empty(), "{dir}: {left:?}");
    }
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    need!();
    for knows_ranges in [true, false] {
        let fake = Fake::new();
        let path = fake.layer_path();
        let server = Server::start(move |request| {
            let mut answer = fake.answer(request);
            if request.path == path {
                if !knows_ranges && answer.status == 206 {
                    let plain = Request { headers: HashMap::new(), ..request.clone() };
                    answer = fake.answer(&plain);
                }
                let start = if answer.status == 206 { 0 } else { 1_500_000 };
                answer.cut =
                    (request.headers.get("range").is_none_or(|range| range.len() < 14)).then_some(start + 1_200_000);
            }
            answer
        });
        let world = impatient();
        pull(&world, &server).ok();
        sound(&world, &server);
        let asked: Vec<_> = server.seen().iter().filter_map(|request| request.headers.get("range").cloned()).collect();
        assert!(!asked.is_empty(), "no range was asked for");
    }
}

#[test]
fn overload_passes_and_a_broken_registry_is_given_up() {
    need!();
    let fake = Arc::new(Fake::new());
    let count = AtomicUsize::new(0);
    let kept = Arc::clone(&fake);
    let server = Server::start(move |request| match count.fetch_add(1, Ordering::Relaxed) {
        // The first two find out how the registry is spoken to.
        2 | 5 => Answer::new(503, "").header("retry-after", "0"),
        3 => Answer::new(429, "{}"),
        7 => Answer { cut: Some(0), ..Answer::new(200, "x") },
        _ => kept.answer(request),
    });
    let world = impatient();
    pull(&world, &server).ok();
    sound(&world, &server);
    let broken = Server::start(move |request| match request.path.contains("/blobs/") {
        true => Answer::new(502, r#"{"errors":[{"message":"out of order"}]}"#),
        false => fake.answer(request),
    });
    let world = World::empty();
    world.configure("[engine.registry]\nretries = 1\n");
    pull(&world, &broken).fails(1, "(status 502): out of order");
    nothing(&world);
}

#[test]
fn what_is_not_what_it_says_is_refused() {
    need!();
    type Change = fn(&mut Fake);
    let cases: [(&str, Change); 9] = [
        ("digest mismatch", |fake| {
            let path = format!("blobs/{}", fake.layer);
            // The time in gzip's head: nothing but the digest notices.
            fake.things.get_mut(&path).expect("there").1[4] ^= 1;
        }),
        ("bytes were announced", |fake| {
            let path = format!("blobs/{}", fake.layer);
            fake.things.get_mut(&path).expect("there").1.push(0);
        }),
        ("digest mismatch", |fake| {
            let path =
                fake.things.keys().find(|path| path.starts_with("blobs/") && !path.ends_with(&fake.layer)).cloned();
            fake.things.get_mut(&path.expect("a configuration")).expect("there").1[0] = b' ';
        }),
        ("has schema 1", |fake| fake.put("manifests/latest", MANIFEST, br#"{"schemaVersion":1}"#.to_vec())),
        ("not a container image", |fake| {
            let text = format!(
                r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"{}","size":1}},"layers":[]}}"#,
                hex(b"x")
            );
            fake.put("manifests/latest", MANIFEST, text.into_bytes());
        }),
        ("exceeds the limit", |fake| fake.put("manifests/latest", MANIFEST, vec![b' '; 20 << 20])),
        ("does not parse", |fake| fake.put("manifests/latest", MANIFEST, vec![b'['; 1 << 20])),
        ("only for linux/s390x", |fake| {
            let text = format!(
                r#"{{"schemaVersion":2,"manifests":[{{"digest":"{}","size":1,"platform":{{"os":"linux","architecture":"s390x"}}}}]}}"#,
                hex(b"x")
            );
            fake.put("manifests/latest", INDEX, text.into_bytes());
        }),
        ("layers length mismatch", |fake| {
            let path = "manifests/latest";
            let mut manifest: Value = serde_json::from_slice(&fake.things[path].1).expect("JSON");
            let layer = manifest["layers"][0].clone();
            manifest["layers"] = json!([layer, layer]);
            fake.put(path, MANIFEST, manifest.to_string().into_bytes());
        }),
    ];
    for (words, change) in cases {
        let mut fake = Fake::new();
        change(&mut fake);
        let server = fake.serve();
        let world = impatient();
        pull(&world, &server).fails(1, words);
        nothing(&world);
    }
}

#[test]
fn indexes_lead_to_this_platform_and_not_on_for_ever() {
    need!();
    let mut fake = Fake::new();
    let (_, manifest) = fake.things["manifests/latest"].clone();
    let entry = |digest: String, arch: &str| json!({ "mediaType": MANIFEST, "digest": digest, "size": 1, "platform": { "os": "linux", "architecture": arch } });
    let (host, other) = match std::env::consts::ARCH {
        "aarch64" => ("arm64", "amd64"),
        _ => ("amd64", "arm64"),
    };
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(hex(b"absent"), other), entry(hex(&manifest), host)] });
    let mut inner = index.to_string().into_bytes();
    fake.put(&format!("manifests/{}", hex(&manifest)), MANIFEST, manifest);
    fake.put("manifests/latest", INDEX, inner.clone());
    for _ in 0..8 {
        let digest = hex(&inner);
        fake.put(&format!("manifests/{digest}"), INDEX, inner);
        inner = json!({ "schemaVersion": 2, "manifests": [{ "digest": digest, "size": 1 }] }).to_string().into_bytes();
    }
    fake.put("manifests/deep", INDEX, inner);
    let named = hex(&fake.things["manifests/latest"].1);
    let server = fake.serve();
    let world = impatient();
    line(&world, &format!("pull {}/fake:deep", server.host())).fails(1, "the nesting of indexes exceeds");
    line(&world, &format!("pull --platform linux/{other} {}/fake", server.host())).fails(1, "not found");
    assert!(pull(&world, &server).ok().contains(&format!("Digest: {named}")));
    sound(&world, &server);
    line(&world, &format!("pull --platform nonsense/a/b/c {}/fake", server.host())).fails(1, "invalid platform");
}

#[test]
fn credentials_do_not_follow_redirections() {
    need!();
    let fake = Arc::new(Fake::new());
    let (path, kept) = (fake.layer_path(), Arc::clone(&fake));
    let store = Server::start(move |request| kept.answer(request));
    let target = format!("http://{}{path}", store.host());
    let registry = Server::start(move |request| match request.headers.get("authorization").map(String::as_str) {
        None => Answer::new(401, "{}").header("www-authenticate", "Basic realm=\"r\""),
        Some("Basic dTpw") if request.path == path => Answer::new(307, "").header("location", &target),
        Some("Basic dTpw") => fake.answer(request),
        Some(_) => Answer::new(403, "{}"),
    });
    let world = impatient();
    fed(&world, ["login", "-u", "u", "--password-stdin", &registry.host()], b"p").ok();
    pull(&world, &registry).ok();
    sound(&world, &registry);
    let seen = store.seen();
    assert!(seen.iter().any(|request| request.path.contains("/blobs/")), "{seen:?}");
    assert!(seen.iter().all(|request| !request.headers.contains_key("authorization")), "{seen:?}");
}

#[test]
fn an_upload_goes_on_after_a_cut() {
    need!();
    let world = World::new();
    world.configure("[engine.registry]\nretries = 4\n");
    let stored: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
    let (parts, tries) = (Arc::new(Mutex::new(Vec::<u8>::new())), AtomicUsize::new(0));
    let kept = Arc::clone(&stored);
    let server = Server::start(move |request| {
        let mut parts = parts.lock().expect("nobody panics with it");
        let progress = |len: usize| format!("0-{}", len.max(1) - 1);
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        match (request.method.as_str(), path) {
            ("HEAD", _) => Answer::new(404, ""),
            ("POST", _) => {
                parts.clear();
                Answer::new(202, "").header("location", "/v2/fake/blobs/uploads/1?state=a")
            }
            ("PATCH", _) if tries.fetch_add(1, Ordering::Relaxed) == 0 => {
                parts.extend(&request.body[..request.body.len().min(100_000)]);
                Answer::new(503, "")
            }
            ("PATCH", _) => {
                parts.extend(&request.body);
                Answer::new(202, "").header("location", "/v2/fake/blobs/uploads/1?state=b")
            }
            ("GET", "/v2/fake/blobs/uploads/1") => Answer::new(204, "")
                .header("location", "/v2/fake/blobs/uploads/1?state=c")
                .header("range", &progress(parts.len())),
            ("PUT", path) if path.contains("/blobs/") => {
                let digest = query.split("digest=").nth(1).unwrap_or_default().replace("%3A", ":");
                kept.lock().expect("nobody panics with it").insert(digest, parts.clone());
                Answer::new(201, "")
            }
            ("PUT", _) => Answer::new(201, ""),
            _ => Answer::new(200, "{}"),
        }
    });
    let name = format!("{}/fake", server.host());
    line(&world, &format!("tag bb {name}")).ok();
    line(&world, &format!("push {name}")).ok();
    let stored = stored.lock().expect("nobody panics with it");
    assert_eq!(2, stored.len());
    assert!(stored.iter().all(|(digest, bytes)| *digest == hex(bytes)), "an upload is damaged");
    assert!(
        server
            .seen()
            .iter()
            .any(|request| request.headers.get("content-range").is_some_and(|r| r.starts_with("100000-")))
    );
}
