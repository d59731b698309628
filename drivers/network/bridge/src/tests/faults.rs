//! Whatever fails, nothing stays behind.

use super::world::*;
use crate::Bridge;
use crate::fault::{FAILS_AT, STEPS, killed_at};
use gantry_plugin_api::prelude::*;
use std::os::fd::AsFd;

fn ports() -> [PortMapping; 2] {
    [port([0; 4], 8080, 80, Protocol::TCP), port([192, 0, 2, 1], 8081, 80, Protocol::UDP)]
}

#[test]
fn every_step_of_the_first_attach_is_undone() {
    on_a_host(|world| {
        let before = dump();
        for step in STEPS {
            fail_at(world, step);
            assert_eq!(dump(), before, "after a fault at {step}");
        }
        world.try_attach(&network(5), &endpoint(5, 2, &ports()), &namespace()).expect("works without fault");
    });
}

#[test]
fn every_step_of_a_later_attach_is_undone() {
    on_a_host(|world| {
        let other = world.attach(&network(5), endpoint(5, 3, &[port([0; 4], 8090, 80, Protocol::TCP)]));
        serve(&other.netns, 80);
        seen(other.address(), 80);
        let before = dump();
        for step in STEPS {
            fail_at(world, step);
            assert_eq!(dump(), before, "after a fault at {step}");
        }
        seen([127, 0, 0, 1], 8090);
    });
}

fn fail_at(world: &World, step: &'static str) {
    let netns = namespace();
    FAILS_AT.set(Some(step));
    let failed = world.try_attach(&network(5), &endpoint(5, 2, &ports()), &netns);
    FAILS_AT.set(None);
    let error = failed.expect_err(step);
    assert!(error.to_string().starts_with("cannot connect container c2 to network net5"), "{error}");
    let links = inside(&netns, || run("ip", &["-o", "link"]));
    assert!(!links.contains("eth0"), "{links}");
    assert_eq!(world.told.lines().iter().filter(|l| l.contains("undoing")).count(), 0);
}

#[test]
fn a_gateway_outside_the_subnet_is_named_and_undone() {
    on_a_host(|world| {
        let mut network = network(5);
        network.subnets[0].gateway = Some("172.31.0.1".parse().expect("address"));
        let before = dump();
        let error = world.try_attach(&network, &endpoint(5, 2, &ports()), &namespace()).expect_err("no way there");
        assert!(error.to_string().contains("set the default route via 172.31.0.1"), "{error}");
        assert_eq!(dump(), before);
    });
}

#[test]
fn a_namespace_that_is_none_is_an_error() {
    on_a_host(|world| {
        let before = dump();
        let file = std::fs::File::open("/proc/self/status").expect("opens");
        let error = world.try_attach(&network(5), &endpoint(5, 2, &ports()), &file).expect_err("no namespace");
        assert!(error.to_string().contains("cannot enter the container's network namespace"), "{error}");
        assert_eq!(dump(), before);
    });
}

/// What the engine does when it finds that a process died within an attach: either takes back the one endpoint, or says
/// who lives.
#[test]
fn a_process_killed_at_any_step_leaves_nothing_that_stays() {
    on_a_host(|world| {
        let network = network(5);
        let other = world.attach(&network, endpoint(5, 3, &[port([0; 4], 8090, 80, Protocol::TCP)]));
        serve(&other.netns, 80);
        seen(other.address(), 80);
        let before = dump();
        for step in STEPS {
            for reconciles in [false, true] {
                let netns = namespace();
                let spec = endpoint(5, 2, &ports());
                killed_at(step, || drop(world.try_attach(&network, &spec, &netns)));
                if reconciles {
                    Bridge.reconcile(&network, &[], &[other.live()], &world.dirs, &world.host).expect("reconciles");
                } else {
                    let alive = Some(netns.as_fd());
                    Bridge.detach(&network, &[], &spec, &[], alive, &world.dirs, &world.host).expect("detaches");
                }
                assert_eq!(dump(), before, "after a death at {step}, reconciled: {reconciles}");
            }
        }
        seen([127, 0, 0, 1], 8090);
    });
}
