//! Hooks: when they run, where, what they are told, and what becomes of a container whose hooks fail.

use super::each;
use serde_json::{Value, json};
use std::fs;

fn hook(script: &str) -> Value {
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }])
}

#[test]
fn they_run_in_order_and_are_told_the_state() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        let log = bundle.text("log");
        let note = |stage: &str| hook(&format!("printf '{stage} ' >>{log}; cat >>{log}; echo >>{log}"));
        bundle.set(
            "/hooks",
            json!({
                "prestart": note("prestart"),
                "createRuntime": note("createRuntime"),
                "createContainer": note("createContainer"),
                "startContainer": hook("printf 'startContainer ' >/tmp/log; cat >>/tmp/log; pwd >/tmp/where"),
                "poststart": note("poststart"),
                "poststop": note("poststop"),
            }),
        );
        bundle.script("sleep 100");
        bundle.create();
        let pid = bundle.pid();
        let inside = bundle.path("rootfs/tmp/log");
        assert!(!inside.exists(), "{name}");
        bundle.start();
        gantry_tests::eventually("the hook inside ran", || inside.exists());
        bundle.call(&["kill", &bundle.id, "KILL"]).ok();
        bundle.until("stopped");
        bundle.call(&["delete", &bundle.id]).ok();
        let text = fs::read_to_string(&log).unwrap();
        let told: Vec<(&str, Value)> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(stage, state)| (stage, serde_json::from_str(state).unwrap()))
            .collect();
        let stages: Vec<&str> = told.iter().map(|(stage, _)| *stage).collect();
        assert_eq!(stages, ["prestart", "createRuntime", "createContainer", "poststart", "poststop"], "{name}: {text}");
        // runc tells these that the container is being created still.
        assert!(name == "runc" || told[0].1["status"] == "created", "{name}: {text}");
        for (stage, state) in &told {
            assert_eq!(state["id"], bundle.id.as_str(), "{name} {stage}");
            // Which number those inside are told differs.
            if !matches!(*stage, "createContainer" | "poststop") {
                assert_eq!(state["pid"], pid, "{name} {stage}");
            }
        }
        let told: Value = {
            let text = fs::read_to_string(&inside).unwrap();
            serde_json::from_str(text.strip_prefix("startContainer ").unwrap()).unwrap()
        };
        assert_eq!(told["id"], bundle.id.as_str(), "{name}");
    });
}

#[test]
fn start_container_hooks_have_the_programs_variables() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        let script =
            |more: &str| json!({ "path": "/bin/sh", "args": ["sh", "-c", format!("echo own=$HERE >>/tmp/{more}")] });
        let (inherits, mut own) = (script("log"), script("log"));
        own["env"] = json!(["HERE=hook"]);
        bundle.set("/hooks", json!({ "startContainer": [inherits, own] }));
        bundle.script("cat /tmp/log");
        let run = bundle.run();
        assert_eq!(run.stdout, "own=yes\nown=hook\n", "{name}: {run:#?}");
    });
}

#[test]
fn create_container_hooks_see_the_containers_mounts() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        let seen = bundle.text("seen");
        bundle.set("/hooks", json!({ "createContainer": hook(&format!("readlink /proc/self/ns/mnt >{seen}")) }));
        bundle.script("readlink /proc/self/ns/mnt");
        let run = bundle.run();
        assert_eq!(fs::read_to_string(&seen).unwrap().trim(), run.ok(), "{name}");
    });
}

#[test]
fn one_that_fails_ends_the_container() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        for stage in ["prestart", "createRuntime", "createContainer"] {
            bundle.set("/hooks", json!({ stage: hook("cat >/dev/null; exit 3") }));
            bundle.write();
            assert_ne!(bundle.try_create().code, 0, "{name} {stage}");
            assert_ne!(bundle.call(&["state", &bundle.id]).code, 0, "{name} {stage}");
        }
        bundle.set("/hooks", json!({ "prestart": [{ "path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1 }] }));
        bundle.write();
        assert_ne!(bundle.try_create().code, 0, "{name} waits for ever");
        bundle.set("/hooks", json!({ "poststop": hook("cat >/dev/null; exit 3") }));
        bundle.script("true");
        bundle.write();
        bundle.create().start().until("stopped");
        bundle.call(&["delete", &bundle.id]).ok();
    });
}
