//! `run` and `create`.

use super::container::ContainerArgs;
use super::values::put;
use super::{ANY, Choices, Flag, Info};

/// What only `run` knows.
#[derive(Debug, Default)]
pub struct RunOnlyArgs {
    pub detach: bool,
    pub detach_keys: Option<String>,
    pub no_sig_proxy: bool,
}

/// The flags that only `run` has.
pub const FLAGS: &[Flag<ContainerArgs>] = &[
    Flag::<ContainerArgs>::switch("detach", "Run in the background and print the id", |a, on| a.run.detach = on)
        .short('d'),
    Flag::<ContainerArgs>::value("detach-keys", "string", "Keys that disconnect from the container", |a, v| {
        put(&mut a.run.detach_keys, v)
    }),
    Flag::<ContainerArgs>::switch("sig-proxy", "Pass signals on to the process", |a, on| a.run.no_sig_proxy = !on)
        .default("true"),
];

/// `gantry run`.
pub const RUN: Info = Info::new(
    &["run", "container run"],
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Make a container from an image and run it",
)
.arguments(1, ANY)
.flags_first()
.choices(Choices::Images);

/// `gantry create`.
pub const CREATE: Info = Info::new(
    &["create", "container create"],
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Make a container from an image without starting it",
)
.arguments(1, ANY)
.flags_first()
.choices(Choices::Images);

#[cfg(test)]
mod tests {
    use super::super::container::{CREATE_TABLES, RUN_TABLES};
    use super::super::scan::{Fault, parse};
    use super::*;

    /// Every option of `docker run` (CLI 28.2.2), with a value that must be accepted; `-` for a switch.
    const OPTIONS: &[(&str, &str)] = &[
        ("add-host", "a:1.2.3.4"),
        ("annotation", "a=b"),
        ("attach", "STDOUT"),
        ("blkio-weight", "10"),
        ("blkio-weight-device", "/dev/a:10"),
        ("cap-add", "NET_ADMIN"),
        ("cap-drop", "ALL"),
        ("cgroup-parent", "/x"),
        ("cgroupns", "private"),
        ("cidfile", "/f"),
        ("cpu-count", "1"),
        ("cpu-percent", "1"),
        ("cpu-period", "1"),
        ("cpu-quota", "1"),
        ("cpu-rt-period", "1"),
        ("cpu-rt-runtime", "1"),
        ("cpu-shares", "1"),
        ("cpus", "1.5"),
        ("cpuset-cpus", "0"),
        ("cpuset-mems", "0"),
        ("detach", "-"),
        ("detach-keys", "ctrl-a"),
        ("device", "/dev/null"),
        ("device-cgroup-rule", "c 1:3 r"),
        ("device-read-bps", "/dev/a:1"),
        ("device-read-iops", "/dev/a:1"),
        ("device-write-bps", "/dev/a:1"),
        ("device-write-iops", "/dev/a:1"),
        ("disable-content-trust", "-"),
        ("dns", "1.1.1.1"),
        ("dns-option", "ndots:1"),
        ("dns-search", "x.y"),
        ("domainname", "x"),
        ("entrypoint", "sh"),
        ("env", "A=b"),
        ("env-file", "/f"),
        ("expose", "80"),
        ("gpus", "all"),
        ("group-add", "1"),
        ("health-cmd", "true"),
        ("health-interval", "1s"),
        ("health-on-failure", "kill"),
        ("health-retries", "1"),
        ("health-start-interval", "1s"),
        ("health-start-period", "1s"),
        ("health-timeout", "1s"),
        ("hostname", "x"),
        ("init", "-"),
        ("interactive", "-"),
        ("io-maxbandwidth", "1"),
        ("io-maxiops", "1"),
        ("ip", "1.2.3.4"),
        ("ip6", "::1"),
        ("ipc", "private"),
        ("isolation", "default"),
        ("kernel-memory", "1m"),
        ("label", "a=b"),
        ("label-file", "/f"),
        ("link", "a:b"),
        ("link-local-ip", "169.254.1.1"),
        ("log-driver", "json-file"),
        ("log-opt", "a=b"),
        ("mac-address", "92:d0:c6:0a:29:33"),
        ("memory", "64m"),
        ("memory-reservation", "1m"),
        ("memory-swap", "-1"),
        ("memory-swappiness", "1"),
        ("mount", "type=tmpfs,dst=/x"),
        ("name", "xx"),
        ("network", "none"),
        ("network-alias", "a"),
        ("no-healthcheck", "-"),
        ("oom-kill-disable", "-"),
        ("oom-score-adj", "1"),
        ("pid", "host"),
        ("pids-limit", "1"),
        ("platform", "linux/amd64"),
        ("privileged", "-"),
        ("publish", "80:80"),
        ("publish-all", "-"),
        ("pull", "never"),
        ("quiet", "-"),
        ("read-only", "-"),
        ("replace", "-"),
        ("restart", "no"),
        ("rm", "-"),
        ("runtime", "x"),
        ("secret", "key,type=env"),
        ("security-opt", "label=disable"),
        ("shm-size", "1m"),
        ("sig-proxy", "-"),
        ("stop-signal", "TERM"),
        ("stop-timeout", "1"),
        ("storage-opt", "a=b"),
        ("sysctl", "net.a=b"),
        ("timeout", "9"),
        ("tmpfs", "/t"),
        ("tty", "-"),
        ("ulimit", "nofile=1"),
        ("use-api-socket", "-"),
        ("user", "0"),
        ("userns", "host"),
        ("uts", "host"),
        ("volume", "/v"),
        ("volume-driver", "local"),
        ("volumes-from", "x"),
        ("workdir", "/"),
    ];

    #[test]
    fn every_option_of_docker_run_is_read() {
        for (name, value) in OPTIONS {
            let mut words = vec![format!("--{name}"), (*value).to_owned(), "image".to_owned()];
            words.retain(|word| word != "-");
            let parsed = parse(&RUN, RUN_TABLES, &words).unwrap_or_else(|fault| panic!("--{name}: {fault:?}"));
            assert_eq!(parsed.arguments, ["image"], "--{name}");
        }
    }

    #[test]
    fn nothing_else_is_shown() {
        let flags = RUN_TABLES.iter().flat_map(|table| table.iter()).filter(|flag| !flag.info.hidden);
        for flag in flags {
            assert!(OPTIONS.iter().any(|(name, _)| *name == flag.info.long), "--{} is not Docker's", flag.info.long);
        }
    }

    #[test]
    fn refused_options_are_named() {
        let refused: Vec<&str> = RUN_TABLES
            .iter()
            .flat_map(|table| table.iter())
            .filter(|flag| flag.info.not_yet)
            .map(|flag| flag.info.long)
            .collect();
        assert!(refused.contains(&"gpus") && !refused.contains(&"health-cmd"));
        for name in refused {
            let value = OPTIONS.iter().find(|(option, _)| *option == name).map_or("x", |(_, value)| value);
            let mut words = vec![format!("--{name}"), value.to_owned(), "image".to_owned()];
            words.retain(|word| word != "-");
            assert_eq!(parse(&RUN, RUN_TABLES, &words).unwrap().unsupported, [name]);
        }
    }

    #[test]
    fn create_does_not_detach() {
        let words = ["--detach", "image"].map(str::to_owned);
        assert_eq!(parse(&CREATE, CREATE_TABLES, &words).unwrap_err(), Fault::Flag("unknown flag: --detach".into()));
    }

    #[test]
    fn everything_after_the_image_is_the_command() {
        let words = ["-it", "--rm", "image", "sh", "-c", "--rm"].map(str::to_owned);
        assert_eq!(parse(&RUN, RUN_TABLES, &words).unwrap().arguments, ["image", "sh", "-c", "--rm"]);
    }
}
