//! Everything that can be in a layer, through everything that is done with layers: unpack, change, commit, save, load;
//! compared with what it was, file by file, and archive by archive byte by byte.

use super::images::{greeting, saved_stack};
use crate::need;
use gantry_tests::World;
use gantry_tests::image::Layer;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Every sort of file, owner, mode, time, name and attribute; made by a shell in a directory.
const CORPUS: &str = r#"
set -e
mkdir -p corpus && cd corpus
mkdir -p gone/deep tree/sub/below dir2 empty sticky "$(printf 'd%.0s' $(seq 120))/$(printf 'e%.0s' $(seq 120))"
echo 1 >gone/a; echo 2 >gone/deep/b; echo 3 >tree/sub/x; echo 4 >tree/sub/below/y; echo 5 >dir2/z
echo file >file; echo plain >plain; : >nothing
printf 'f%.0s' $(seq 255) >"$(printf 'f%.0s' $(seq 255))"
echo deep >"$(printf 'd%.0s' $(seq 120))/$(printf 'e%.0s' $(seq 120))/$(printf 'g%.0s' $(seq 200))"
echo 100 >"$(printf 'd%.0s' $(seq 99))"; mkdir "$(printf 'c%.0s' $(seq 92))"; echo cut >"$(printf 'c%.0s' $(seq 92))/x"
echo bytes >"$(printf 'not\377text\001')"; echo ' ' >' leading blank'; echo n >"$(printf 'new\nline')"
ln plain hard1; ln plain tree/hard2; ln -s plain soft; ln -s /abs/olute absolute; ln -s ../../../up up; ln -s "$(printf 't%.0s' $(seq 300))" longlink
mkfifo fifo; mknod char c 1 3; mknod block b 7 200
truncate -s 3M sparse; printf middle | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none; truncate -s 1M hole
echo suid >suid; chmod 4755 suid; chmod 2711 tree; chmod 1777 sticky; chmod 0 nothing; chown 12345:54321 file; chown -h 7:8 soft
setfattr -n user.note -v 0x00ff0a plain; setfattr -n user.dir -v d tree; setfattr -n user.empty file
setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 suid
touch -h -d '2001-02-03 04:05:06.123456789' file soft fifo; touch -d @0 empty; touch -d '1969-01-01' char; touch -d '2100-01-01 00:00:00.5' dir2
"#;

/// What a container does with it.
const CHANGES: &str = r#"
set -e
cd /corpus
rm -rf gone; mkdir gone; echo new >gone/new
rm -r tree/sub; rm file; mkdir file; echo x >file/x; rm -r dir2; echo f >dir2
ln plain across; ln suid over; echo more >>hard1; mv soft moved; rm char; mkfifo fifo2; mknod null c 1 3
chmod 4711 suid; chown 7:8 sticky; truncate -s 2000000 hole; rm empty -r; mkdir -p made/of/many; ln -s nowhere made/link
"#;

fn shell(dir: &Path, script: &str) {
    let output = Command::new("bash").args(["-c", script]).current_dir(dir).output().expect("bash is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// One line for everything below a directory: sort, mode, owner, size or device, time, links, target; contents; and
/// extended attributes.
fn listing(dir: &Path) -> String {
    let script = r#"
        export LC_ALL=C
        find corpus -type d -printf '%p %y %m %U:%G\n' -o -type f -printf '%p %y %m %U:%G %s %T@ %n\n' \
            -o -type l -printf '%p %y %U:%G %l\n' -o -printf '%p %y %m %U:%G\n' | sort
        find corpus \( -type c -o -type b \) -exec stat -c '%n %t:%T' {} + | sort
        find corpus -type f -print0 | sort -z | xargs -0 sha256sum
        find corpus -print0 | sort -z | xargs -0 getfattr -h -d -m '^(user|security\.capability)' -e hex 2>/dev/null | sed '/^$/d'
        find corpus -type f -links +1 -printf '%i %p\n' | sort -k 2 | awk '{ if ($1 in seen) print seen[$1], "=", $2; else seen[$1] = $2 }'
    "#;
    let output = Command::new("bash").args(["-c", script]).current_dir(dir).output().expect("bash is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The corpus as a container of an image has it.
fn seen(world: &World, driver: &str, image: &str, place: &str) -> String {
    let gantry = |words: &[&str]| world.gantry(["--storage-driver", driver].iter().chain(words));
    let (name, tar) = (format!("seen-{place}"), world.text(&format!("{place}.tar")));
    gantry(&["create", "--name", &name, "--network", "none", image, "true"]).ok();
    gantry(&["export", "-o", &tar, &name]).ok();
    gantry(&["rm", &name]).ok();
    let dir = world.path(place);
    fs::create_dir_all(&dir).expect("our own directory is writable");
    shell(&dir, &format!("tar --xattrs --xattrs-include='*' --numeric-owner -xpf {tar} corpus"));
    listing(&dir)
}

#[track_caller]
fn same(wanted: &str, found: &str, what: &str) {
    let differ: Vec<_> = wanted.lines().zip(found.lines()).filter(|(a, b)| a != b).take(8).collect();
    assert!(wanted == found, "{what}: {} lines, {} wanted: {differ:#?}", found.lines().count(), wanted.lines().count());
}

#[test]
fn everything_comes_back_as_it_was() {
    need!();
    if Command::new("getfattr").arg("--version").output().is_err() {
        eprintln!("skipped: needs getfattr");
        return;
    }
    let (world, other) = (World::empty(), World::empty());
    let base = world.path("base");
    fs::create_dir_all(&base).expect("our own directory is writable");
    let busybox = gantry_tests::image::busybox_tar().display().to_string();
    shell(&base, &format!("tar -xpf {busybox}"));
    shell(&base, CORPUS);
    let wanted = listing(&base);
    assert!(wanted.lines().count() > 60, "{wanted}");
    let (pax, gnu) = (world.text("pax.tar"), world.text("gnu.tar"));
    let all = "--numeric-owner --sparse -C";
    shell(&base, &format!("tar --format=pax --xattrs --xattrs-include='*' -cf {pax} {all} . ."));
    // It knows no attributes and whole seconds only.
    shell(&base, &format!("tar --format=gnu -cf {gnu} {all} . ."));
    for driver in ["overlay2", "vfs"] {
        world.gantry(["--storage-driver", driver, "import", &pax, "pax"]).ok();
        same(&wanted, &seen(&world, driver, "pax", &format!("pax-{driver}")), driver);
    }
    world.gantry(["import", &gnu, "gnu"]).ok();
    let plain = |text: &str| -> Vec<String> {
        let files = text.lines().filter(|line| line.contains(" f ") || line.contains(" l ") || line.contains(" = "));
        files.map(|line| line.split('.').next().unwrap_or(line).to_owned()).collect()
    };
    assert_eq!(plain(&wanted), plain(&seen(&world, "overlay2", "gnu", "gnu")), "of a GNU archive");

    world.gantry(["run", "--name", "changed", "--network", "none", "pax", "sh", "-c", CHANGES]).ok();
    let tar = world.text("changed.tar");
    world.gantry(["export", "-o", &tar, "changed"]).ok();
    fs::create_dir_all(world.path("changed")).expect("our own directory is writable");
    shell(&world.path("changed"), &format!("tar --xattrs --xattrs-include='*' --numeric-owner -xpf {tar} corpus"));
    let changed = listing(&world.path("changed"));
    world.line("commit changed changed:1").ok();
    let (saved, again) = (world.text("saved.tar"), other.text("again.tar"));
    world.gantry(["save", "-o", &saved, "changed:1"]).ok();
    for driver in ["overlay2", "vfs"] {
        other.gantry(["--storage-driver", driver, "load", "-i", &saved]).ok();
        let found = seen(&other, driver, "changed:1", &format!("loaded-{driver}"));
        same(&changed, &found, &format!("loaded into {driver}"));
    }
    other.gantry(["save", "-o", &again, "changed:1"]).ok();
    assert!(fs::read(&saved).expect("saved") == fs::read(&again).expect("saved"), "saved again it is another archive");
    assert_eq!("Everything is as it should be.", other.line("system check").ok());
    world.assert_no_leaks();
    other.assert_no_leaks();
}

#[test]
fn five_hundred_layers_are_carried() {
    need!();
    let mut layers = vec![greeting()];
    for number in 1..499 {
        let mut layer = Layer::default();
        layer.file(&format!("f{number}"), 0o644, format!("{number}").as_bytes());
        layer.file("top", 0o644, format!("{number}").as_bytes());
        if number > 1 {
            layer.file(&format!(".wh.f{}", number - 1), 0o644, b"");
        }
        layers.push(layer.finish());
    }
    let stack: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let (world, other) = (World::empty(), World::empty());
    let archive = world.file("tower.tar", saved_stack(&stack, "tower:1"));
    world.gantry(["load", "-i", &archive]).ok();
    let look = "cat /top /who; ls / | grep '^f[0-9]'";
    let seen =
        |world: &World, image: &str| world.gantry(["run", "--rm", "--network", "none", image, "sh", "-c", look]).ok();
    assert_eq!("498loaded\nf498", seen(&world, "tower:1"));
    world.gantry(["run", "--name", "more", "--network", "none", "tower:1", "sh", "-c", "echo -n 499 >/top"]).ok();
    world.line("commit more tower:2").ok();
    let saved = world.text("saved.tar");
    world.gantry(["save", "-o", &saved, "tower:2"]).ok();
    other.gantry(["load", "-i", &saved]).ok();
    assert_eq!("499loaded\nf498", seen(&other, "tower:2"));
    // What could not be stacked is not made.
    other.gantry(["run", "--name", "full", "--network", "none", "tower:2", "sh", "-c", "echo -n 500 >/top"]).ok();
    assert_eq!("C /top", other.line("diff full").ok());
    other.line("commit full tower:3").fails(1, "max depth exceeded: an image has 500 layers at most");
    other.line("rm full").ok();
    world.assert_no_leaks();
    other.assert_no_leaks();
}
