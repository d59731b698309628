//! Images from archives, honest and hostile.

use crate::need;
use gantry_tests::World;
use gantry_tests::image::Layer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Write;

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A `docker save` archive of one layer.
pub fn saved(layer: &[u8], tag: &str) -> Vec<u8> {
    saved_stack(&[layer], tag)
}

/// A `docker save` archive of several layers.
pub fn saved_stack(layers: &[&[u8]], tag: &str) -> Vec<u8> {
    let diffs: Vec<_> = layers.iter().map(|layer| format!("sha256:{}", hex(layer))).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": { "Cmd": ["cat", "/who"], "Env": ["FROM=image"], "WorkingDir": "/tmp" },
        "rootfs": { "type": "layers", "diff_ids": diffs },
        "history": layers.iter().map(|_| json!({ "created": "2024-01-01T00:00:00Z", "created_by": "test" })).collect::<Vec<_>>(),
    })
    .to_string();
    let name = format!("{}.json", hex(config.as_bytes()));
    let paths: Vec<_> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = json!([{ "Config": name, "RepoTags": [tag], "Layers": paths }]).to_string();
    let mut archive = Layer::default();
    archive.file(&name, 0o644, config.as_bytes());
    paths.iter().zip(layers).for_each(|(path, layer)| archive.file(path, 0o644, layer));
    archive.file("manifest.json", 0o644, manifest.as_bytes());
    archive.finish()
}

/// An OCI layout whose blob of the layer may differ from its digest.
pub fn oci(layer: &[u8], blob: &[u8], media: &str, digest: &str) -> Vec<u8> {
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["cat", "/who"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(layer))] },
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": format!("sha256:{}", hex(config.as_bytes())), "size": config.len() },
        "layers": [{ "mediaType": media, "digest": format!("sha256:{digest}"), "size": blob.len() }],
    })
    .to_string();
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{}", hex(manifest.as_bytes())), "size": manifest.len(),
            "annotations": { "org.opencontainers.image.ref.name": "oci:1", "io.containerd.image.name": "oci:1" } }],
    })
    .to_string();
    let mut archive = Layer::default();
    archive.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
    for blob in [config.as_bytes(), manifest.as_bytes()] {
        archive.file(&format!("blobs/sha256/{}", hex(blob)), 0o644, blob);
    }
    archive.file(&format!("blobs/sha256/{digest}"), 0o644, blob);
    archive.file("index.json", 0o644, index.as_bytes());
    archive.finish()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// The busybox layer with one more file.
pub fn greeting() -> Vec<u8> {
    let mut layer = std::fs::read(gantry_tests::image::busybox_tar()).expect("made by the harness");
    let mut more = Layer::default();
    more.file("who", 0o644, b"loaded\n");
    layer.truncate(layer.len() - 1024);
    layer.extend(more.finish());
    layer
}

#[test]
fn imported_images_are_listed_tagged_and_removed() {
    need!();
    let world = World::new();
    let list = world.line("images").ok();
    assert!(list.starts_with("REPOSITORY"), "{list}");
    let words: Vec<&str> = list.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(["bb", "latest"], words[..2]);
    assert_eq!("", world.line("tag bb other:v1").ok());
    assert_eq!("bb:latest\nother:v1", sorted(&world.gantry(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok()));
    assert!(world.line("rmi bb").ok().contains("Untagged: bb:latest"));
    world.line("run --rm --network none other:v1 true").ok();
    world.line("create --name user other:v1 true").ok();
    world.line("rmi other:v1").fails(1, "is using its referenced image");
    world.line("rm user").ok();
    assert!(world.line("rmi other:v1").ok().contains("Deleted: sha256:"));
    assert_eq!("", world.line("images -q").ok());
    world.line("rmi other:v1").fails(1, "No such image: other:v1");
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn docker_s_archives_are_loaded_plain_and_compressed() {
    need!();
    let world = World::empty();
    let archive = saved(&greeting(), "saved:1");
    for (name, data) in [("plain.tar", archive.clone()), ("zipped.tar.gz", gzip(&archive))] {
        let file = world.file(name, data);
        let loaded = world.gantry(["load", "-i", &file]).ok();
        assert!(loaded.contains("Loaded image: saved:1"), "{loaded}");
        assert_eq!("loaded", world.line("run --rm --network none saved:1").ok());
        assert_eq!(
            "image /tmp",
            world.gantry(["run", "--rm", "--network", "none", "saved:1", "sh", "-c", "echo $FROM $PWD"]).ok()
        );
        world.line("rmi saved:1").ok();
    }
    let run = world.fed(["load"], &archive);
    assert!(run.ok().contains("saved:1"));
    let inspected: Value = serde_json::from_str(&world.line("image inspect saved:1").ok()).expect("json");
    assert_eq!(json!(["cat", "/who"]), inspected[0]["Config"]["Cmd"]);
}

#[test]
fn layers_lie_upon_each_other_with_either_driver() {
    need!();
    let mut above = Layer::default();
    above.file("who", 0o644, b"second\n");
    above.file("etc/.wh.group", 0o644, b"");
    let layers: [&[u8]; 2] = [&greeting(), &above.finish()];
    let world = World::empty();
    let file = world.file("stack.tar", saved_stack(&layers, "stack:1"));
    for driver in ["overlay2", "vfs"] {
        world.gantry(["--storage-driver", driver, "load", "-i", &file]).ok();
        let words = ["--storage-driver", driver, "run", "--rm", "--network", "none", "stack:1"];
        let run =
            world.gantry(words.into_iter().chain(["sh", "-c", "cat /who; ls /etc/passwd; ls /etc/group 2>/dev/null"]));
        assert_eq!("second\n/etc/passwd", run.stdout.trim_end(), "{driver}: {run:#?}");
    }
    world.assert_no_leaks();
}

#[test]
fn oci_layouts_are_loaded_with_every_compression() {
    need!();
    let layer = greeting();
    let zipped = gzip(&layer);
    let packed = zstd::encode_all(layer.as_slice(), 1).expect("memory takes everything");
    let media = |kind: &str| format!("application/vnd.oci.image.layer.v1.tar{kind}");
    for (blob, kind) in [(&layer, ""), (&zipped, "+gzip"), (&packed, "+zstd")] {
        let world = World::empty();
        let file = world.file("oci.tar", oci(&layer, blob, &media(kind), &hex(blob)));
        world.gantry(["load", "-i", &file]).ok();
        assert_eq!("loaded", world.line("run --rm --network none oci:1").ok(), "{kind}");
    }
}

#[test]
fn import_takes_changes_and_standard_input() {
    need!();
    let world = World::empty();
    let tar = std::fs::read(gantry_tests::image::busybox_tar()).expect("made by the harness");
    let run = world.fed(["import", "-c", "CMD [\"echo\",\"hi\"]", "-c", "ENV A=b", "-", "piped:1"], &tar);
    assert!(run.ok().starts_with("sha256:"));
    assert_eq!("hi", world.line("run --rm --network none piped:1").ok());
    assert_eq!("[A=b]", world.gantry(["inspect", "-f", "{{.Config.Env}}", "piped:1"]).ok());
    world.fed(["import", "-c", "NONSENSE x", "-", "bad:1"], &tar).code(1);
}

/// Answers so many requests, `/tar` with these bytes.
fn serve_file(bytes: Vec<u8>, requests: usize) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(requests).flatten() {
            let mut head = String::new();
            let mut reader = std::io::BufReader::new(&stream);
            while std::io::BufRead::read_line(&mut reader, &mut head).is_ok_and(|read| read > 2) {}
            let (status, body) =
                if head.starts_with("GET /tar ") { ("200 OK", &bytes[..]) } else { ("404 Not Found", &b""[..]) };
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = (&stream).write_all(head.as_bytes()).and_then(|()| (&stream).write_all(body));
        }
    });
    port
}

#[test]
fn an_archive_is_imported_from_where_it_lies() {
    need!();
    let world = World::empty();
    let tar = std::fs::read(gantry_tests::image::busybox_tar()).expect("made by the harness");
    let port = serve_file(tar, 2);
    let url = format!("http://127.0.0.1:{port}/tar");
    assert!(world.gantry(["import", &url, "fetched"]).ok().starts_with("sha256:"));
    assert_eq!("there", world.line("run --rm --network none fetched echo there").ok());
    assert!(world.line("history --no-trunc fetched").ok().contains(&format!("Imported from {url}")));
    let missing = format!("http://127.0.0.1:{port}/nosuch");
    world.gantry(["import", &missing]).fails(1, "the server does not have it");
    world.line("import http://127.0.0.1:1/x").fails(1, "cannot download http://127.0.0.1:1/x: Connection refused");
    world.line("import http://").fails(1, "this is no address of a server");
}

#[test]
fn unknown_images_are_told() {
    need!();
    let world = World::empty();
    world.line("run --rm --pull never nosuch true").fails(125, "No such image: nosuch:latest");
    let refused = world.line("run --rm UPPER true");
    assert!(!refused.stderr.contains("Unable to find"), "{refused:#?}");
    refused.fails(125, "repository name (library/UPPER) must be lowercase");
    world.line("image inspect nosuch").code(1);
    world.line("tag nosuch x").fails(1, "No such image: nosuch");
    world.line("run --rm UPPER/case true").code(125);
}
