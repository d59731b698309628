//! Images mounted into containers, and layers with hard links to the layers below.

use crate::images::saved_stack;
use crate::need;
use gantry_tests::World;
use gantry_tests::image::Layer;

fn layer(fill: impl FnOnce(&mut Layer)) -> Vec<u8> {
    let mut layer = Layer::default();
    fill(&mut layer);
    layer.finish()
}

/// An image `two:1` of two layers, with a link from the upper to the lower and one that would lead out.
fn load(world: &World) {
    let lower = layer(|l| {
        l.dir("data", 0o755);
        l.file("data/who", 0o640, b"below\n");
        l.file("data/gone", 0o644, b"x");
        l.link("out", "/etc");
    });
    let upper = layer(|l| {
        l.file("data/.wh.gone", 0o644, b"");
        l.hard_link("who", "data/who");
        l.hard_link("data/again", "data/who");
    });
    let file = world.file("two.tar", saved_stack(&[&lower, &upper], "two:1"));
    world.gantry(["load", "-i", &file]).ok();
}

#[test]
fn a_layer_links_to_a_file_of_the_layer_below() {
    need!();
    for driver in ["overlay2", "vfs"] {
        let world = World::new();
        world.configure(&format!("[defaults]\nstorage-driver = \"{driver}\"\n"));
        world.gantry(["import", &gantry_tests::image::busybox_tar().to_string_lossy(), "bb"]).ok();
        load(&world);
        let script = "stat -c '%a %s' /m/who /m/data/again; cat /m/who /m/data/again; ls /m/data";
        let run =
            world.gantry(["run", "--rm", "--mount", "type=image,source=two:1,target=/m", "bb", "sh", "-c", script]);
        assert_eq!("640 6\n640 6\nbelow\nbelow\nagain\nwho", run.ok(), "{driver}");
        world.assert_no_leaks();
    }
}

#[test]
fn an_image_is_mounted_read_only_and_stays_while_it_is() {
    need!();
    let world = World::new();
    load(&world);
    let mount = "type=image,source=two:1,target=/m";
    world.gantry(["run", "-d", "--name", "one", "--mount", mount, "bb", "sleep", "100"]).ok();
    world.gantry(["run", "-d", "--name", "two", "--mount", mount, "bb", "sleep", "100"]).ok();
    assert_eq!("below", world.line("exec one cat /m/who").ok());
    world.gantry(["exec", "one", "sh", "-c", "echo x > /m/new"]).fails(1, "Read-only file system");
    assert_eq!(
        "image two:1 /m false",
        world.inspect("one", "{{with index .Mounts 0}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}}{{end}}")
    );
    world.line("rmi two:1").fails(1, "is using its referenced image");
    world.line("rmi -f two:1").ok();
    world.line("image prune -f").ok();
    world.line("restart -t 0 one").ok();
    assert_eq!("below", world.line("exec one cat /m/data/who").ok());
    world.line("rm -f one two").ok();
    world.line("image prune -af").ok();
    assert!(!world.line("images -a").ok().contains("two"));
    world.assert_no_leaks();
}

#[test]
fn a_part_of_an_image_or_volume_never_leads_out() {
    need!();
    let world = World::new();
    load(&world);
    let run = |mount: &str, script: &str| world.gantry(["run", "--rm", "--mount", mount, "bb", "sh", "-c", script]);
    assert_eq!("below", run("type=image,src=two:1,dst=/m,image-subpath=data", "cat /m/who").ok());
    assert_eq!("below", run("type=image,src=two:1,dst=/m/who,subpath=data/who", "cat /m/who").ok());
    run("type=image,src=two:1,dst=/m,subpath=out", "true").fails(125, "open out");
    run("type=image,src=two:1,dst=/m,subpath=nothing", "true").fails(125, "open nothing");
    run("type=image,src=two:1,dst=/m,subpath=../x", "true").fails(125, "must be a relative path within the image");
    run("type=image,src=none:1,dst=/m", "true").fails(125, "No such image: none:1");
    run("type=image,dst=/m", "true").fails(125, "field Source must not be empty");
    run("type=volume,src=vol,dst=/v", "ln -s /etc /v/out; mkdir /v/in; echo inside > /v/in/file").ok();
    assert_eq!("inside", run("type=volume,src=vol,dst=/m,volume-subpath=in", "cat /m/file").ok());
    run("type=volume,src=vol,dst=/m,volume-subpath=out", "true").fails(125, "open out");
    world.assert_no_leaks();
}
