//! Images and files in and out: save, export, commit, diff, cp.

use crate::need;
use gantry_tests::image::Layer;
use gantry_tests::{World, process};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// Names and bytes of the entries of an archive.
fn entries(archive: &Path) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(fs::File::open(archive).expect("the archive"));
    let mut found = Vec::new();
    for entry in tar.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry");
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut data = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut data).expect("its data");
        found.push((path, data));
    }
    found
}

fn names(archive: &Path) -> Vec<String> {
    entries(archive).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn what_is_saved_is_loaded_the_same() {
    need!();
    let world = World::new();
    world.line("tag bb other/name:1").ok();
    let (first, second) = (world.text("a.tar"), world.text("b.tar"));
    world.gantry(["save", "-o", &first, "bb", "other/name:1"]).ok();
    let id = world.line("images -q --no-trunc bb").ok();
    let digest = world.gantry(["inspect", "-f", "{{.Descriptor.digest}}", "bb"]).ok();
    let found = entries(Path::new(&first));
    let read =
        |name: &str| found.iter().find(|(known, _)| known == name).map(|(_, data)| data.clone()).unwrap_or_default();
    let manifest: Value = serde_json::from_slice(&read("manifest.json")).expect("JSON");
    assert_eq!(serde_json::json!(["bb:latest", "other/name:1"]), manifest[0]["RepoTags"]);
    let index: Value = serde_json::from_slice(&read("index.json")).expect("JSON");
    assert_eq!("docker.io/library/bb:latest", index["manifests"][0]["annotations"]["io.containerd.image.name"]);
    assert_eq!(br#"{"imageLayoutVersion":"1.0.0"}"#[..], read("oci-layout"));

    let other = World::empty();
    let loaded = other.gantry(["load", "-i", &first]).ok();
    assert_eq!("Loaded image: bb:latest\nLoaded image: other/name:1", loaded);
    assert_eq!(id, other.line("images -q --no-trunc bb").ok());
    assert_eq!(digest, other.gantry(["inspect", "-f", "{{.Descriptor.digest}}", "bb"]).ok());
    other.gantry(["save", "-o", &second, "bb", "other/name:1"]).ok();
    assert!(fs::read(&first).expect("saved") == fs::read(&second).expect("saved"), "saving again gives other bytes");
    assert_eq!("same", other.line("run --rm --network none other/name:1 echo same").ok());
    let short = id.trim_start_matches("sha256:")[..12].to_owned();
    let by_id = world.text("id.tar");
    world.gantry(["save", "-o", &by_id, &short]).ok();
    assert!(
        String::from_utf8_lossy(&entries(Path::new(&by_id)).iter().find(|(n, _)| n == "manifest.json").expect("it").1)
            .contains("\"RepoTags\":null")
    );
    world.line("save nosuch -o /dev/null").fails(1, "No such image: nosuch");
    assert!(!world.path("x.tar").exists());
    world.gantry(["save", "-o", &world.text("x.tar"), "nosuch"]).code(1);
    assert!(!world.path("x.tar").exists());
}

#[test]
fn a_diff_shows_what_changed() {
    need!();
    let world = World::new();
    for driver in ["overlay2", "vfs"] {
        if driver == "vfs" {
            world
                .gantry([
                    "--storage-driver",
                    "vfs",
                    "import",
                    &gantry_tests::image::busybox_tar().to_string_lossy(),
                    "bb",
                ])
                .ok();
        }
        let script = "echo new > /home/new; mkdir /d; echo x > /d/x; rm /etc/group; echo more >> /etc/passwd; rm -r /www; mkdir /www; echo v > /vol/v";
        let name = format!("c-{driver}");
        let words = [
            "--storage-driver",
            driver,
            "run",
            "--name",
            &name,
            "--network",
            "none",
            "-v",
            "/vol",
            "bb",
            "sh",
            "-c",
            script,
        ];
        world.gantry(words).ok();
        let wanted = "A /d\nA /d/x\nC /etc\nD /etc/group\nC /etc/passwd\nC /home\nA /home/new\nA /vol\nC /www\nD /www/index.html";
        assert_eq!(wanted, world.line(&format!("diff {name}")).ok(), "{driver}");
    }
    world.line("create --name idle --network none bb true").ok();
    assert_eq!("", world.line("diff idle").ok());
    world.line("diff nosuch").fails(1, "No such container: nosuch");
    world.assert_no_leaks();
}

#[test]
fn a_commit_is_an_image_with_the_changes() {
    need!();
    let world = World::new();
    let script = "echo kept > /home/f; chmod 4755 /home/f; ln /home/f /home/g; ln -s f /home/s; mkdir -p /a/b; rm /etc/group; rm -r /www; sleep 300";
    world
        .gantry(["run", "-d", "--name", "cc", "--network", "none", "-e", "A=b", "-v", "/vol", "bb", "sh", "-c", script])
        .ok();
    let done = || world.line("exec cc test ! -e /www").code == 0;
    gantry_tests::eventually("the script is done", done);
    let words =
        ["commit", "-a", "me", "-m", "note", "-c", "CMD [\"cat\",\"/home/g\"]", "-c", "LABEL x=y", "cc", "made:1"];
    let id = world.gantry(words).ok();
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!("running", world.status("cc"));
    assert_eq!("kept", world.line("run --rm --network none made:1").ok());
    let look =
        "stat -c %a:%h /home/f; readlink /home/s; ls -d /a/b; ls /etc/group /www 2>&1 | grep -c 'No such'; echo $A";
    let seen = world.gantry(["run", "--rm", "--network", "none", "made:1", "sh", "-c", look]).ok();
    assert_eq!("4755:2\nf\n/a/b\n2\nb", seen);
    assert_eq!(
        "me note y",
        world.gantry(["inspect", "-f", "{{.Author}} {{.Comment}} {{.Config.Labels.x}}", "made:1"]).ok()
    );
    let history = world.line("history --no-trunc made:1").ok();
    assert!(history.contains("note") && history.lines().count() == 3, "{history}");
    world.line("commit cc Bad:Tag").fails(1, "must be lowercase");
    world.gantry(["commit", "-c", "RUN x", "cc"]).fails(1, "RUN is not a valid change command");
    // What was committed goes out and comes back like any other image.
    let file = world.text("made.tar");
    world.gantry(["save", "-o", &file, "made:1"]).ok();
    let other = World::empty();
    other.gantry(["load", "-i", &file]).ok();
    assert_eq!("kept", other.line("run --rm --network none made:1").ok());
    world.line("rm -f cc").ok();
    world.line("rmi made:1").ok();
    world.assert_no_leaks();
}

#[test]
fn a_commit_without_changes_has_the_layers_of_its_image() {
    need!();
    let world = World::new();
    world.line("create --name idle --network none bb true").ok();
    world.gantry(["commit", "-c", "ENV A=b", "idle", "same:1"]).ok();
    let layers = |image| world.gantry(["image", "inspect", "-f", "{{json .RootFS.Layers}}", image]).ok();
    assert_eq!(layers("bb"), layers("same:1"));
    let sizes = world.line("history --format {{.Size}} same:1").ok();
    assert_eq!(Some("0B"), sizes.lines().next(), "{sizes}");
    let file = world.text("same.tar");
    world.gantry(["save", "-o", &file, "same:1"]).ok();
    world.line("rm idle").ok();
    world.line("rmi same:1").ok();
    world.gantry(["load", "-i", &file]).ok();
    assert_eq!("b", world.gantry(["run", "--rm", "--network", "none", "same:1", "sh", "-c", "echo $A"]).ok());
    world.line("rmi same:1").ok();
    world.assert_no_leaks();
}

#[test]
fn an_export_holds_the_files_and_no_volume() {
    need!();
    let world = World::new();
    let script = "echo f > /home/f; ln /home/f /home/g; echo v > /vol/v; sleep 300";
    world.gantry(["run", "-d", "--name", "cc", "--network", "none", "-v", "/vol", "bb", "sh", "-c", script]).ok();
    gantry_tests::eventually("the script is done", || world.line("exec cc test -e /vol/v").code == 0);
    let (running, stopped) = (world.text("running.tar"), world.text("stopped.tar"));
    world.gantry(["export", "-o", &running, "cc"]).ok();
    let found = names(Path::new(&running));
    for name in ["bin/busybox", "home/f", "home/g", "vol/", "proc/"] {
        assert!(found.iter().any(|known| known == name), "{name}: {found:?}");
    }
    assert!(!found.iter().any(|name| name == "vol/v" || name.starts_with("proc/1")), "{found:?}");
    world.line("kill cc").ok();
    world.becomes("cc", "exited");
    world.gantry(["export", "-o", &stopped, "cc"]).ok();
    assert_eq!(found.len(), names(Path::new(&stopped)).len());
    world.gantry(["import", &stopped, "again"]).ok();
    assert_eq!("f", world.line("run --rm --network none again cat /home/g").ok());
    world.assert_no_leaks();
}

/// A container that runs and one that does not, with a volume each.
fn pair(world: &World) {
    for name in ["on", "off"] {
        let words =
            ["run", "-d", "--name", name, "--network", "none", "-v", &format!("{name}-vol:/vol"), "bb", "sleep", "300"];
        world.gantry(words).ok();
    }
    world.line("kill off").ok();
    world.becomes("off", "exited");
}

#[test]
fn copies_go_both_ways() {
    need!();
    let world = World::new();
    pair(&world);
    let file = world.file("in/file", "data\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("ours");
    world.file("in/sub/deep", "deep\n");
    symlink("file", world.path("in/link")).expect("ours");
    for name in ["on", "off"] {
        let copy = |source: &str, target: &str| world.gantry(["cp", source, target]);
        let said = copy(&file, &format!("{name}:/home/new"));
        assert!(said.stderr.starts_with("Successfully copied "), "{said:?}");
        said.ok();
        copy(&file, &format!("{name}:/vol/")).ok();
        copy(&world.text("in"), &format!("{name}:/home")).ok();
        copy(&format!("{}/.", world.text("in")), &format!("{name}:/home")).ok();
        copy(&world.text("in"), &format!("{name}:/home/other")).ok();
        copy(&file, &format!("{name}:/nosuch/x")).fails(1, "Could not find the file /nosuch/x in container");
        copy(&file, &format!("{name}:/nosuch/")).fails(1, "Could not find the file");
        copy(&world.text("in"), &format!("{name}:/etc/passwd")).fails(1, "cannot copy directory");
        copy(&world.text("absent"), &format!("{name}:/")).fails(1, "no such file or directory");

        let out = |path: &str| world.text(&format!("out-{name}/{path}"));
        fs::create_dir(world.path(&format!("out-{name}"))).expect("ours");
        for (source, target, wanted) in [
            ("/home/new", "a", "a"),
            ("/vol/file", "", "file"),
            ("/home/in/sub", "", "sub/deep"),
            ("/home/in/sub/.", "made", "made/deep"),
            ("/home/other/sub", "named", "named/deep"),
            ("home/sub/deep", "relative", "relative"),
        ] {
            copy(&format!("{name}:{source}"), &out(target)).ok();
            let text = fs::read_to_string(out(wanted)).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            assert!(text == "data\n" || text == "deep\n", "{wanted}: {text}");
        }
        assert_eq!(0o640, fs::metadata(out("a")).expect("copied").mode() & 0o7777);
        copy(&format!("{name}:/home/in/link"), &out("l")).ok();
        assert_eq!(Path::new("file"), fs::read_link(out("l")).expect("a link"));
        world.gantry(["cp", "-L", &format!("{name}:/home/in/link"), &out("followed")]).ok();
        assert_eq!("data\n", fs::read_to_string(out("followed")).expect("a file"));
        copy(&format!("{name}:/nosuch"), &out("x"))
            .fails(1, &format!("Could not find the file /nosuch in container {name}"));
        copy(&format!("{name}:/home/in"), &out("a")).fails(1, "cannot copy directory");
    }
    assert_eq!("640 0:0", world.gantry(["exec", "on", "stat", "-c", "%a %u:%g", "/home/new"]).ok());
    world.line("start off").ok();
    assert_eq!("data", world.line("exec off cat /vol/file").ok());
    assert_eq!("deep", world.line("exec off cat /home/in/sub/deep").ok());
    world.line("cp on:/x off:/y").fails(1, "copying between containers is not supported");
    world.line("cp a b").fails(1, "must specify at least one container source");
    world.assert_no_leaks();
}

#[test]
fn copies_keep_owners_when_asked() {
    need!();
    let world = World::new();
    pair(&world);
    let file = world.file("mine", "x");
    assert!(Command::new("chown").args(["12:34", &file]).status().expect("chown").success());
    world.gantry(["cp", "-a", &file, "on:/home/kept"]).ok();
    world.gantry(["cp", &file, "on:/home/given"]).ok();
    let owners = world.gantry(["exec", "on", "stat", "-c", "%u:%g", "/home/kept", "/home/given"]).ok();
    assert_eq!("12:34\n0:0", owners);
    world.gantry(["cp", "-a", "on:/home/kept", &world.text("back")]).ok();
    let back = fs::metadata(world.path("back")).expect("copied");
    assert_eq!((12, 34), (back.uid(), back.gid()));
}

#[test]
fn archives_go_through_pipes() {
    need!();
    let world = World::new();
    pair(&world);
    let mut layer = Layer::default();
    layer.dir("dir", 0o755);
    layer.file("dir/.wh.name", 0o644, b"plain\n");
    let archive = layer.finish();
    for name in ["on", "off"] {
        world.fed(["cp", "-", &format!("{name}:/home")], &archive).ok();
        world.fed(["cp", "-", &format!("{name}:/etc/passwd")], &archive).fails(1, "must be a directory");
        let out = world.path(&format!("{name}.tar"));
        let mut command = world.command(["cp", &format!("{name}:/home/dir"), "-"]);
        assert!(command.stdout(fs::File::create(&out).expect("ours")).status().expect("runs").success());
        assert_eq!(["dir/", "dir/.wh.name"][..], names(&out));
    }
    world.fed(["cp", "-", "on:/home"], b"this is no archive at all, but longer than nothing").code(1);
}

#[test]
fn a_container_cannot_lead_a_copy_astray() {
    need!();
    let world = World::new();
    let secret = world.file("outside/secret", "secret\n");
    let outside = world.text("outside");
    let script =
        format!("ln -s {outside} /home/abs; ln -s ../../../../../../..{outside} /home/rel; mkdir /home/dir; sleep 300");
    world.gantry(["run", "-d", "--name", "cc", "--network", "none", "bb", "sh", "-c", &script]).ok();
    gantry_tests::eventually("the script is done", || world.line("exec cc test -d /home/dir").code == 0);
    for link in ["abs", "rel"] {
        world
            .gantry(["cp", &format!("cc:/home/{link}/secret"), &world.text("stolen")])
            .fails(1, "Could not find the file");
        world.gantry(["cp", &secret, &format!("cc:/home/{link}/planted")]).code(1);
    }
    assert!(!world.path("stolen").exists() && !world.path("outside/planted").exists());
    // A directory is swapped for a link and back while copies go in and out of it.
    let swap = format!(
        "while true; do mv /home/dir /home/x; ln -s {outside} /home/dir; rm /home/dir; mv /home/x /home/dir; done"
    );
    world.gantry(["exec", "-d", "cc", "sh", "-c", &swap]).ok();
    for _ in 0..20 {
        world.gantry(["cp", &secret, "cc:/home/dir/planted"]);
        world.gantry(["cp", "cc:/home/dir/secret", &world.text("stolen")]);
    }
    assert!(!world.path("stolen").exists() && !world.path("outside/planted").exists());
    world.assert_no_leaks();
    assert!(process::naming(&world.path("state")).is_empty());
}

#[test]
fn what_nobody_needs_is_pruned_and_counted() {
    need!();
    let world = World::new();
    world.line("create --name user --network none bb true").ok();
    let tar = gantry_tests::image::busybox_tar().to_string_lossy().into_owned();
    let mut more = fs::read(&tar).expect("made by the harness");
    let mut layer = Layer::default();
    layer.file("more", 0o644, &[7; 100_000]);
    more.truncate(more.len() - 1024);
    more.extend(layer.finish());
    world.fed(["import", "-"], &more).ok();
    world.line("tag bb unused:1").ok();
    let df = world.line("system df").ok();
    let rows: Vec<Vec<&str>> = df.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"][..], rows[0]);
    assert_eq!(["Images", "2", "1"], rows[1][..3]);
    assert_eq!(["Containers", "1", "0"], rows[2][..3]);
    for sort in ["image", "container", "network", "system"] {
        world.line(&format!("{sort} prune -f --filter until=soon")).fails(1, "soon");
    }
    world.fed(["image", "prune"], b"n\n").ok();
    assert_eq!(2, world.line("images -aq --no-trunc").ok().lines().count());
    let pruned = world.line("image prune -f").ok();
    assert!(pruned.starts_with("Deleted Images:\ndeleted: sha256:") && !pruned.contains("space: 0B"), "{pruned}");
    assert_eq!("Total reclaimed space: 0B", world.line("image prune -f").ok());
    assert_eq!("Total reclaimed space: 0B", world.line("image prune -a -f").ok());
    assert_eq!("Total reclaimed space: 0B", world.line("container prune -f --filter until=24h").ok());
    let all = world.line("system prune -a -f").ok();
    assert!(all.contains("Deleted Containers:") && all.contains("untagged: unused:1"), "{all}");
    assert_eq!("", world.line("images -aq").ok());
    assert_eq!("", world.line("ps -aq").ok());
    world.line("image prune -f --filter nonsense=1").fails(1, "invalid filter 'nonsense'");
}

#[test]
fn others_read_what_is_saved_and_the_other_way_round() {
    need!();
    let skopeo = |words: &[&str]| Command::new("skopeo").args(words).output();
    if skopeo(&["--version"]).is_err() {
        eprintln!("skipped: needs skopeo");
        return;
    }
    let world = World::new();
    let saved = world.text("saved.tar");
    world.gantry(["save", "-o", &saved, "bb"]).ok();
    let layout = world.text("layout");
    for (from, to) in [
        (format!("docker-archive:{saved}"), format!("oci:{layout}:a")),
        (format!("oci-archive:{saved}"), format!("docker-archive:{}:theirs:1", world.text("theirs.tar"))),
    ] {
        let output = skopeo(&["--insecure-policy", "copy", "-q", &from, &to]).expect("skopeo runs");
        assert!(output.status.success(), "{from}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(world.gantry(["load", "-i", &layout]).ok().starts_with("Loaded image ID: sha256:"));
    assert_eq!("Loaded image: theirs:1", world.gantry(["load", "-i", &world.text("theirs.tar")]).ok());
    assert_eq!("fine", world.line("run --rm --network none theirs:1 echo fine").ok());
}
