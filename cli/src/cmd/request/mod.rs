//! From the flags of `run` and `create` to the request the engine understands: Docker's `Config`, `HostConfig` and
//! endpoints, with exactly the values Docker's command line sends.

mod host;
mod mounts;
mod networks;
mod process;

pub use process::environment;

use crate::args::container::ContainerArgs;
use gantry_engine::request::CreateRequest;

/// What is wrong with the flags together.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// The result of a step.
type Step<T = ()> = Result<T, Refusal>;

fn refuse<T>(error: impl std::fmt::Display) -> Step<T> {
    Err(Refusal(error.to_string()))
}

/// Builds the request; `arguments` are the image and the command.
pub fn build(args: &ContainerArgs, arguments: &[String]) -> Step<CreateRequest> {
    pull_policy(args)?;
    check_platform(args)?;
    if args.process.replace && args.process.name.is_none() {
        return refuse("--replace needs the --name of the container that is to go");
    }
    let mut request = CreateRequest {
        name: args.process.name.clone(),
        replace: args.process.replace,
        platform: args.process.platform.clone(),
        ..CreateRequest::default()
    };
    process::apply(args, arguments, &mut request.config)?;
    host::apply(args, &mut request.host)?;
    mounts::apply(args, &mut request)?;
    networks::apply(args, &mut request)?;
    Ok(request)
}

/// Images are for this host; asking for that is no wish the engine would have to know.
fn check_platform(args: &ContainerArgs) -> Step {
    let Some(platform) = args.process.platform.as_deref() else { return Ok(()) };
    let own = ["linux".to_owned(), format!("linux/{}", crate::out::human::architecture())];
    match own.iter().any(|name| name == platform) || platform.is_empty() {
        true => Ok(()),
        false => refuse(format!("--platform {platform} is not supported yet: only {} is", own[1])),
    }
}

/// When an image is fetched that shall be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    Always,
    Missing,
    Never,
}

/// `--pull`.
pub fn pull_policy(args: &ContainerArgs) -> Step<PullPolicy> {
    match args.process.pull.as_deref() {
        None | Some("" | "missing") => Ok(PullPolicy::Missing),
        Some("always") => Ok(PullPolicy::Always),
        Some("never") => Ok(PullPolicy::Never),
        Some(other) => {
            refuse(format!("invalid pull option: '{other}': must be one of \"always\", \"missing\" or \"never\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::container::RUN_TABLES;
    use crate::args::run::RUN;
    use crate::args::scan::parse;

    pub fn request(line: &str) -> Result<CreateRequest, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let parsed = parse(&RUN, RUN_TABLES, &words).map_err(|fault| format!("{fault:?}"))?;
        build(&parsed.flags, &parsed.arguments).map_err(|refusal| refusal.0)
    }

    #[test]
    fn process() {
        let config =
            request("-it -e A=b -w /w -u 1:2 --entrypoint sh -l x=y --stop-signal INT img -c cmd").unwrap().config;
        assert_eq!(config.image, "img");
        assert_eq!(config.cmd.unwrap(), ["-c", "cmd"]);
        assert_eq!(config.entrypoint.unwrap(), ["sh"]);
        assert_eq!(config.env, ["A=b"]);
        assert_eq!((&*config.working_dir, &*config.user), ("/w", "1:2"));
        assert_eq!(config.labels["x"], "y");
        assert!(config.tty && config.open_stdin && config.stdin_once);
        assert!(config.attach_stdin && config.attach_stdout && config.attach_stderr);
    }

    #[test]
    fn streams() {
        for (line, stdin, stdout, stderr, once) in [
            ("img", false, true, true, false),
            ("-i img", true, true, true, true),
            ("-d -i img", false, false, false, false),
            ("-a stdout img", false, true, false, false),
            ("-a stdin -a stderr -i img", true, false, true, true),
        ] {
            let config = request(line).unwrap().config;
            let got = (config.attach_stdin, config.attach_stdout, config.attach_stderr, config.stdin_once);
            assert_eq!(got, (stdin, stdout, stderr, once), "{line}");
        }
    }

    #[test]
    fn ports() {
        let got = request("-p 8080:80 -p 127.0.0.1:9090:80 --expose 53/udp img").unwrap();
        let bindings = got.host.port_bindings["80/tcp"].as_ref().unwrap();
        let shown: Vec<_> = bindings.iter().map(|b| format!("{}:{}", b.host_ip, b.host_port)).collect();
        assert_eq!(shown, [":8080", "127.0.0.1:9090"]);
        let exposed: Vec<_> = got.config.exposed_ports.unwrap().into_keys().collect();
        assert_eq!(exposed, ["53/udp", "80/tcp"]);
    }

    #[test]
    fn volumes() {
        let got = request("-v /anon -v vol:/v:ro -v /h:/b -v ./x:/r --tmpfs /t:size=1m img").unwrap();
        assert!(got.config.volumes.unwrap().contains_key("/anon"));
        let binds = got.host.binds.unwrap();
        assert_eq!(&binds[..2], ["vol:/v:ro", "/h:/b"]);
        assert!(binds[2].starts_with('/') && binds[2].ends_with("/x:/r"), "{}", binds[2]);
        assert_eq!(got.host.tmpfs["/t"], "size=1m");
    }

    #[test]
    fn networks() {
        let got = request("--network web --network-alias a --ip 10.0.0.5 img").unwrap();
        assert_eq!(got.host.network_mode, "web");
        let (name, web) = &got.networks[0];
        assert_eq!((name.as_str(), web.aliases.as_ref().unwrap()), ("web", &vec!["a".to_owned()]));
        assert_eq!(web.ipam_config.as_ref().unwrap().ipv4_address, "10.0.0.5");
        assert_eq!(request("img").unwrap().host.network_mode, "default");
    }

    #[test]
    fn logs() {
        let host = request("--log-driver a --log-driver b --log-opt b.k=v img").unwrap().host;
        assert_eq!((&*host.log_config.r#type, &*host.log_sinks[0].r#type), ("a", "b"));
        assert_eq!(host.log_sinks[0].config["k"], "v");
    }

    #[test]
    fn health() {
        let check = request("--health-cmd true --health-interval 5s img").unwrap().config.healthcheck.unwrap();
        assert_eq!((check.test, check.interval), (vec!["CMD-SHELL".to_owned(), "true".to_owned()], 5_000_000_000));
        let none = request("--no-healthcheck img").unwrap().config.healthcheck.unwrap();
        assert_eq!(none.test, ["NONE"]);
    }

    #[test]
    fn refused() {
        for (line, message) in [
            ("-p 80:80:80:80 x", "invalid IP address: 80:80"),
            ("--expose abc x", "invalid range format for --expose: abc"),
            ("-v ::: x", "invalid spec: :::: empty section between colons"),
            ("--tmpfs foo x", "mount path must be absolute"),
            ("--rm --restart always x", "conflicting options: cannot specify both --restart and --rm"),
            ("-d -a stdout x", "conflicting options: cannot specify both --attach and --detach"),
            ("--no-healthcheck --health-cmd x x", "--no-healthcheck conflicts with --health-* options"),
            ("--health-interval -1s x", "--health-interval cannot be negative"),
            ("--pid foo x", "--pid: invalid PID mode"),
            ("--uts foo x", "--uts: invalid UTS mode"),
            ("--userns foo x", "--userns: invalid USER mode"),
            ("--userns auto:size=x x", "--userns auto:size=x: unknown or invalid option \"size=x\""),
            ("--userns container:y x", "--userns container:y: joining another user namespace is not supported"),
            ("--uidmap 0:1:2:3 x", "invalid mapping \"0:1:2:3\""),
            ("--cgroupns foo x", "--cgroupns: invalid CGROUP mode"),
            ("--ipc foo x", "--ipc: invalid IPC mode"),
            ("--isolation hyperv x", "--isolation hyperv is not supported"),
            ("--security-opt foo x", "Invalid --security-opt: \"foo\""),
            ("--log-driver none --log-opt a=b x", "invalid logging opts for driver none"),
            ("--mac-address abc x", "abc is not a valid mac address"),
            ("--ip abc x", "invalid IPv4 address: abc"),
            ("--memory-swappiness 200 x", "invalid value: 200. Valid memory swappiness range is 0-100"),
            ("--env-file /nosuch/file x", "open /nosuch/file: no such file or directory"),
            ("--platform windows x", "--platform windows is not supported yet"),
            ("--pull foo x", "invalid pull option: 'foo'"),
            ("--device a:b:c:d x", "invalid device specification: a:b:c:d"),
            ("-v /a -v vol:/a x", "Duplicate mount point: /a"),
            ("-v /h:/a --tmpfs /a x", "Duplicate mount point: /a"),
            ("--network web --network host x", "cannot attach both user-defined and non-user-defined network-modes"),
            (
                "--stop-timeout -5 --oom-score-adj 2000 x",
                "Invalid value 2000, range for oom score adj is [-1000, 1000]",
            ),
        ] {
            let message_got = request(line).unwrap_err();
            assert!(message_got.contains(message), "{line}: {message_got}");
        }
    }
}
