//! User namespaces: new ones and joined ones.

use super::bundle::{self, Bundle};
use super::{each, has};
use crate::need;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

/// Users of the container's own, whom files of its root belong to.
fn own_users(bundle: &mut Bundle) {
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let rootfs = bundle.path("rootfs");
    for place in ["", "tmp", "home", "etc"] {
        chown(rootfs.join(place), Some(100_000), Some(100_000)).unwrap();
    }
    let mut directory = bundle.path("");
    while directory.starts_with(gantry_tests::target_dir()) {
        let mode = fs::metadata(&directory).unwrap().mode();
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode | 0o055)).unwrap();
        if !directory.pop() {
            break;
        }
    }
}

#[test]
fn user_namespaces_map_ids() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        own_users(&mut bundle);
        bundle.script("id -u; cat /proc/self/uid_map; touch /tmp/made; echo x >/dev/null && echo null; stat -c %u /sys/kernel; cat /proc/self/setgroups");
        let run = bundle.run();
        assert_eq!(run.code, 0, "{name}: {run:#?}");
        has(&run.stdout, "0", name);
        has(&run.stdout, "null", name);
        assert!(run.stdout.contains("100000"), "{name}: {run:#?}");
        assert_eq!(fs::metadata(bundle.path("rootfs/tmp/made")).unwrap().uid(), 100_000, "{name}");
    });
}

#[test]
fn user_namespaces_are_joined() {
    each(|mut first| {
        let name = first.judge.name;
        own_users(&mut first);
        first.script("sleep 100");
        first.create().start();
        let theirs = |kind: &str| format!("/proc/{}/ns/{kind}", first.pid());
        let link = |kind: &str| fs::read_link(theirs(kind)).unwrap().to_string_lossy().into_owned();
        let mut second = Bundle::new(&first.judge);
        own_users(&mut second);
        second.namespace("user", Some(&theirs("user"))).namespace("ipc", Some(&theirs("ipc")));
        second.script(
            "id -u; readlink /proc/self/ns/user; readlink /proc/self/ns/ipc; touch /tmp/made; hostname; sleep 100",
        );
        second.create().start();
        gantry_tests::eventually("it is done", || second.output().contains("inside"));
        let exec = second.call(&["exec", &second.id, "sh", "-c", "readlink /proc/self/ns/user; id -u"]).ok();
        for text in [second.output(), exec] {
            assert!(text.lines().any(|line| line == "0"), "{name}: {text}");
            has(&text, &link("user"), name);
        }
        has(&second.output(), &link("ipc"), name);
        assert_eq!(fs::metadata(second.path("rootfs/tmp/made")).unwrap().uid(), 100_000, "{name}");
        let mut third = Bundle::new(&first.judge);
        own_users(&mut third);
        third.namespace("user", Some(&theirs("user"))).namespace("pid", Some(&theirs("pid")));
        third.script("readlink /proc/self/ns/user; readlink /proc/self/ns/pid");
        let run = third.run();
        for kind in ["user", "pid"] {
            has(&run.stdout, &link(kind), name);
        }
    });
}

#[test]
fn the_maps_of_a_joined_user_namespace_are_its_own() {
    need!();
    let mut first = Bundle::new(&bundle::ours());
    own_users(&mut first);
    first.script("sleep 100");
    first.create().start();
    let users = format!("/proc/{}/ns/user", first.pid());
    let mut second = Bundle::new(&first.judge);
    own_users(&mut second);
    second.namespace("user", Some(&users)).script("id -u; stat -c %u /mapped/file");
    let linux = second.config["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    fs::create_dir(second.path("shared")).unwrap();
    fs::write(second.path("shared/file"), "").unwrap();
    chown(second.path("shared/file"), Some(7), Some(7)).unwrap();
    let shared = second.text("shared");
    second.mount(json!({ "type": "bind", "source": shared, "destination": "/mapped", "options": ["bind", "idmap"] }));
    assert_eq!(second.run().ok(), "0\n7");
    let map = json!([{ "containerID": 0, "hostID": 200_000, "size": 65_536 }]);
    second.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    second.run().fails(1, "are not those of the user namespace");
    // That of the caller is no other.
    let mut third = Bundle::new(&first.judge);
    third.namespace("user", Some("/proc/self/ns/user")).script("readlink /proc/self/ns/user");
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    assert_eq!(third.run().ok().trim(), own.to_string_lossy());
}
