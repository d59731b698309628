//! The firewall comes back, and leaves others alone.

use super::world::*;
use crate::Bridge;
use gantry_plugin_api::prelude::*;

#[test]
fn a_flushed_rule_set_is_restored_by_the_next_attach() {
    on_a_host(|world| {
        let outside = world.outside();
        let first = network(5);
        let a = world.attach(&first, endpoint(5, 2, &[port([0; 4], 8080, 80, Protocol::TCP)]));
        serve(&a.netns, 80);
        let whole = firewall();
        for harm in [
            &["flush", "ruleset"][..],
            &["flush", "chain", "inet", "gantry", "forward"],
            &["flush", "table", "inet", "gantry"],
        ] {
            run("nft", harm);
            assert_ne!(firewall(), whole);
            world.attach(&first, endpoint(5, 3, &[]));
            assert_eq!(firewall(), whole, "after nft {harm:?}");
        }
        inside(&outside, || seen([192, 0, 2, 1], 8080));
        assert!(world.told.lines().iter().any(|l| l.contains("restoring")));
    });
}

#[test]
fn other_tables_and_the_users_chain_are_kept() {
    on_a_host(|world| {
        run("nft", &["add", "table", "inet", "mine"]);
        let first = network(5);
        world.attach(&first, endpoint(5, 2, &[]));
        run("nft", &["add", "rule", "inet", "gantry", "user-pre", "tcp", "dport", "25", "drop"]);
        run("nft", &["flush", "chain", "inet", "gantry", "guard"]);
        world.attach(&first, endpoint(5, 3, &[]));
        world.attach(&network(6), endpoint(6, 3, &[]));
        let text = firewall();
        for wanted in ["table inet mine", "tcp dport 25 drop", "no way to the host's 127", "br-060606060606"] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        world.delete(&first);
        world.delete(&network(6));
        assert!(firewall().contains("tcp dport 25 drop"), "a user's rule is never deleted");
        run("nft", &["flush", "chain", "inet", "gantry", "user-pre"]);
        Bridge.create(&first, &[], &world.dirs, &world.host).expect("creates");
        world.delete(&first);
        assert_eq!(firewall(), "table inet mine {\n}\n", "with the last network the table goes");
    });
}

/// An interface that was there before the first network, and that a network then takes as its bridge.
#[test]
fn a_bridge_of_others_is_adopted() {
    on_a_host(|world| {
        let outside = world.outside();
        serve(&outside, 90);
        ip(&["link", "add", "mine0", "type", "bridge"]);
        world.attach(&network(5), endpoint(5, 2, &[]));
        assert!(firewall().contains("ipv4 . \"mine0\""), "{}", firewall());
        let a = world.attach(&with_options(network(6), &[("name", "mine0")]), endpoint(6, 2, &[]));
        assert!(!firewall().contains("ipv4 . \"mine0\""), "{}", firewall());
        assert_eq!(inside(&a.netns, || seen([192, 0, 2, 2], 90)), "192.0.2.1");
    });
}

#[test]
fn a_table_of_another_shape_is_replaced() {
    on_a_host(|world| {
        run("nft", &["add", "table", "inet", "gantry"]);
        run("nft", &["add", "chain", "inet", "gantry", "forward", "{ type filter hook input priority 0; }"]);
        run("nft", &["add", "set", "inet", "gantry", "ports", "{ type ipv4_addr; }"]);
        let a = world.attach(&network(5), endpoint(5, 2, &[port([0; 4], 8080, 80, Protocol::TCP)]));
        serve(&a.netns, 80);
        seen([127, 0, 0, 1], 8080);
    });
}

#[test]
fn lost_notes_are_written_again() {
    on_a_host(|world| {
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("forwards before");
        let first = network(5);
        let a = world.attach(&first, endpoint(5, 2, &[port([0; 4], 8080, 80, Protocol::TCP)]));
        let whole = firewall();
        std::fs::remove_dir_all(&world.dirs.state).expect("lost");
        let live = [a.live()];
        Bridge.reconcile(&first, &[], &live, &world.dirs, &world.host).expect("reconciles");
        assert_eq!(firewall(), whole);
        run("nft", &["flush", "ruleset"]);
        world.attach(&first, endpoint(5, 3, &[]));
        assert_eq!(firewall(), whole);
    });
}
