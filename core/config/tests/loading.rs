//! What operators write, and what they are told about it.

use gantry_config::{Config, Faults, LoadOptions, Origin};
use std::path::PathBuf;
use std::time::{Duration, Instant};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().expect("a directory") }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    fn options(&self) -> LoadOptions {
        LoadOptions {
            file: None,
            dirs: vec![self.dir.path().join("usr"), self.dir.path().join("etc")],
            environment: Vec::new(),
            places: None,
            foreign_network: false,
        }
    }
}

fn load(text: &str) -> Result<Config, Faults> {
    let place = Place::new();
    let file = place.write("g.toml", text);
    Config::load(&LoadOptions { file: Some(file), ..place.options() })
}

/// Faults without the directory.
fn told(text: &str) -> Vec<String> {
    let faults = load(text).expect_err("faults").0;
    faults.iter().map(|f| format!("{}:{}: {}{}", f.line, f.column, f.message, hint(f))).collect()
}

fn hint(fault: &gantry_config::Fault) -> String {
    fault.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default()
}

#[test]
fn everything_can_be_said() {
    let config = load(
        r#"
root = "/data"
[defaults]
log-driver = ["json-file", "syslog"]
storage-driver = "vfs"
[log.json-file]
max-size = "20m"
max-file = 5
compress = true
labels = ["a", "b"]
[network.bridge]
com.docker.network.bridge.name = "br7"
[engine.network]
address-pools = [{ base = "172.16.0.0/12", size = 16 }]
fallback-dns = ["9.9.9.9", "2620:fe::fe"]
[engine.volume]
bind-autocreate = false
[plugins]
path = ["/opt/acme/gantry"]
allow = ["log/acme", "hello"]
deadline = "2s500ms"
[plugins.sha256]
"log/acme" = "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"#,
    )
    .expect("no faults");
    assert_eq!(["json-file", "syslog"], *config.log_drivers);
    assert_eq!((PathBuf::from("/data"), "vfs"), (config.root.clone(), config.storage_driver.as_str()));
    let options = config.driver_options("log", "json-file").iter().map(|(k, v)| format!("{k}={v}"));
    assert_eq!("max-size=20m max-file=5 compress=true labels=a,b", options.collect::<Vec<_>>().join(" "));
    assert_eq!("com.docker.network.bridge.name", config.driver_options("network", "bridge")[0].0);
    assert_eq!(("172.16.0.0/12", 16), (config.address_pools[0].base.as_str(), config.address_pools[0].size));
    assert_eq!(2, config.fallback_dns.len());
    assert_eq!(Duration::from_millis(2500), config.plugin_deadline);
    assert_eq!(Some(vec!["log/acme".to_owned(), "hello".to_owned()]), config.plugin_allow);
    assert_eq!(("log/acme".to_owned(), "a".repeat(64)), config.plugin_pins[0]);
    assert!(!config.bind_autocreate);
}

#[test]
fn one_driver_needs_no_list() {
    assert_eq!(["local"], *load("[defaults]\nlog-driver = \"local\"").expect("no faults").log_drivers);
}

#[test]
fn faults_have_places_and_advice() {
    for (text, expected) in [
        (
            "[defaults]\nlog-drivr = \"x\"",
            "2:1: unknown key \"defaults.log-drivr\"; did you mean \"defaults.log-driver\"?",
        ),
        ("log_driver = \"x\"", "1:1: unknown key \"log_driver\"; did you mean \"defaults.log-driver\"?"),
        ("[defualts]", "1:2: unknown key \"defualts\"; did you mean \"defaults\"?"),
        ("zzzzzz = 1", "1:1: unknown key \"zzzzzz\""),
        ("[engine.netwrk]\nx = 1", "1:9: unknown key \"engine.netwrk\"; did you mean \"engine.network\"?"),
        ("defaults = 3", "1:12: defaults: expected a table, found an integer"),
        ("root = 3", "1:8: root: expected a string, found an integer"),
        ("root = \"x\"", "1:8: root: must be an absolute path; begin it with /"),
        ("[defaults]\nnetwork = \"\"", "2:11: defaults.network: must not be empty"),
        ("[defaults]\nlog-driver = []", "2:14: defaults.log-driver: must not be empty"),
        ("[defaults]\nlog-driver = [\"a\", 7]", "2:20: defaults.log-driver: expected a string, found an integer"),
        ("[plugins]\ndeadline = 10", "2:12: plugins.deadline: missing unit in duration \"10\"; did you mean \"10s\"?"),
        (
            "[plugins]\ndeadline = \"10 parsecs\"",
            "2:12: plugins.deadline: unknown unit \" parsecs\" in duration \"10 parsecs\"; \
             write a number and one of ns, us, ms, s, m, h",
        ),
        ("[plugins]\ndeadline = \"0\"", "2:12: plugins.deadline: must be longer than nothing"),
        (
            "[plugins]\nallow = [\"disk/x\"]",
            "2:10: plugins.allow: \"disk/x\" names no plugin; write KIND/NAME, such as log/json-file",
        ),
        (
            "[defaults]\nuserns = \"private\"",
            "2:10: defaults.userns: \"private\" is no default for user namespaces; write host, auto, auto:size=N, keep-id \
             or remap:USER",
        ),
        (
            "[engine.volume]\nbind-autocreate = 1",
            "2:19: engine.volume.bind-autocreate: expected true or false, found an integer",
        ),
        (
            "[engine.network]\naddress-pools = [{ base = \"10.0.0.0/16\", size = 8 }]",
            "2:18: engine.network.address-pools: size 8 does not fit into 10.0.0.0/16; use a prefix length from 16 to 32",
        ),
        (
            "[engine.network]\naddress-pools = [{ base = \"10.0.0.0\", size = 24 }]",
            "2:18: engine.network.address-pools: \"10.0.0.0\" is not a network in CIDR notation",
        ),
        (
            "[engine.network]\naddress-pools = [{ bse = \"10.0.0.0/8\", size = 24 }]",
            "2:20: engine.network.address-pools: unknown key \"bse\" of an address pool; known: base, size",
        ),
        ("[log]\njson-file = 3", "2:1: unknown key \"log.json-file\"; the options of a log driver stand in [log.NAME]"),
        (
            "[network]\nfallback-dns = []",
            "2:1: unknown key \"network.fallback-dns\"; did you mean \"engine.network.fallback-dns\"?",
        ),
        (
            "[log.json-file]\nx = 2020-01-01",
            "2:5: x: a driver's option is a string, a number, a boolean or a list, not a date",
        ),
    ] {
        assert_eq!(vec![expected.to_owned()], told(text), "{text}");
    }
}

#[test]
fn all_faults_of_all_files_are_told_at_once() {
    let place = Place::new();
    place.write("etc/gantry.toml", "root = 1\n[plugins]\ndeadline = 2\n");
    place.write("etc/gantry.d/10.toml", "a = [\nb = \"\n");
    place.write("usr/gantry.d/20.toml", "nonsense = 1\n");
    let mut options = place.options();
    options.environment.push(("GANTRY_PLUGIN_DEADLINE".into(), "soon".into()));
    let faults = Config::load(&options).expect_err("faults");
    let text = faults.to_string();
    for part in
        ["gantry.toml:1:8: ", "gantry.toml:3:12: ", "10.toml:", "20.toml:1:1: ", "environment GANTRY_PLUGIN_DEADLINE: "]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(text.contains("\n 1 | root = 1\n   |        ^\n"), "{text}");
    assert!(text.ends_with(&format!("{} faults in the configuration", faults.0.len())), "{text}");
}

#[test]
fn later_files_and_the_environment_win_and_origins_say_so() {
    let place = Place::new();
    let main = place.write(
        "etc/gantry.toml",
        "root = \"/one\"\nstate = \"/s\"\n[log.json-file]\nmax-size = \"1m\"\nmax-file = 2\n",
    );
    let drop_in = place.write("etc/gantry.d/50.toml", "\nroot = \"/two\"\n[log.json-file]\nmax-size = \"3m\"\n");
    let mut options = place.options();
    options.environment = vec![("GANTRY_STATE".into(), "/three".into()), ("GANTRY_UNRELATED".into(), "x".into())];
    let mut config = Config::load(&options).expect("no faults");
    assert_eq!((PathBuf::from("/two"), PathBuf::from("/three")), (config.root.clone(), config.state.clone()));
    config.overridden("defaults.network", "--network");
    let shown = config.show();
    let origin = |key: &str| shown.iter().find(|s| s.key == key).expect("the key").origin.clone();
    assert_eq!(Origin::File(drop_in.clone(), 2), origin("root"));
    assert_eq!(Origin::Environment("GANTRY_STATE".into()), origin("state"));
    assert_eq!(Origin::File(drop_in, 4), origin("log.json-file.max-size"));
    assert_eq!(Origin::File(main, 5), origin("log.json-file.max-file"));
    assert_eq!(Origin::Flag("--network".into()), origin("defaults.network"));
    assert_eq!(Origin::Default, origin("plugins.path"));
    assert_eq!("flag --network", origin("defaults.network").to_string());
}

#[test]
fn what_is_shown_can_be_loaded_again() {
    let config = load("[plugins]\ndeadline = \"1s\"\n[log.json-file]\nlabels = [\"a\"]\n").expect("no faults");
    let text: String = config
        .show()
        .iter()
        .filter(|shown| !matches!(shown.value.as_str(), "(all)" | "(off)"))
        .map(|shown| format!("{} = {}\n", shown.key, shown.value))
        .collect();
    let again = load(&text).expect("what we print is TOML");
    assert_eq!((config.plugin_deadline, config.drivers), (again.plugin_deadline, again.drivers));
}

#[test]
fn a_driver_s_verdict_has_the_option_s_place() {
    let config = load("[log.json-file]\nmax-size = \"tiny\"\n  max-fil = 3\n[log.other]\nx = 1\n").expect("no faults");
    assert_eq!(
        vec![(2, 12, "log.json-file: invalid size tiny"), (3, 3, "log.json-file: unknown option max-fil")],
        places(&judged(&config))
    );
}

/// Knows the drivers json-file, local and overlay2.
struct Strict;

impl gantry_config::Judge for Strict {
    fn driver(&self, _: &str, name: &str) -> Result<(), String> {
        let known = ["json-file", "local", "overlay2", "other"].contains(&name);
        if known { Ok(()) } else { Err(format!("no driver {name}")) }
    }

    fn option(&self, kind: &str, name: &str, key: &str, value: &str) -> Result<(), String> {
        match (kind, name, key) {
            ("log", "json-file", "max-size") if value == "tiny" => Err(format!("invalid size {value}")),
            ("log", "json-file", "max-fil") => Err("unknown option max-fil".to_owned()),
            _ => Ok(()),
        }
    }

    fn table(&self, _: &str, driver: &str) -> Result<(), String> {
        if driver == "local" { Err("max-file and compress do not agree".to_owned()) } else { Ok(()) }
    }
}

fn judged(config: &Config) -> Vec<gantry_config::Fault> {
    gantry_config::Faults(config.check_with(&Strict)).sorted().0
}

fn places(faults: &[gantry_config::Fault]) -> Vec<(usize, usize, &str)> {
    faults.iter().filter(|f| f.line > 0).map(|f| (f.line, f.column, f.message.as_str())).collect()
}

#[test]
fn drivers_that_are_named_must_be_there() {
    let config = load(
        "[defaults]\nlog-driver = [\"local\", \"lokal\"]\nstorage-driver = \"over\"\n[network.brigde]\n[log.local]\ntag = \"y\"\ncompress = true\n",
    );
    assert_eq!(
        vec![
            (2, 25, "defaults.log-driver: no driver lokal"),
            (3, 19, "defaults.storage-driver: no driver over"),
            (4, 10, "network.brigde: no driver brigde"),
            (7, 1, "log.local: max-file and compress do not agree"),
        ],
        places(&judged(&config.expect("no faults of form")))
    );
}

#[test]
fn a_file_that_was_named_must_exist() {
    let place = Place::new();
    let options = LoadOptions { file: Some(place.dir.path().join("none.toml")), ..place.options() };
    assert!(Config::load(&options).expect_err("a fault").to_string().contains("none.toml: cannot read: No such file"));
}

#[test]
fn nothing_written_means_defaults() {
    let place = Place::new();
    assert_eq!(Config::default(), Config::load(&place.options()).expect("no faults"));
    place.write("etc/gantry.toml", "");
    assert_eq!(Config::default(), Config::load(&place.options()).expect("no faults"));
}

/// Generous bounds, for busy machines and debug builds; the figures are printed.
#[test]
fn loading_is_quick() {
    let place = Place::new();
    let best = |options: &LoadOptions| {
        let once = || {
            let start = Instant::now();
            Config::load(options).expect("no faults");
            start.elapsed()
        };
        (0..50).map(|_| once()).min().expect("fifty runs")
    };
    let empty = best(&place.options());
    place.write("etc/gantry.toml", "[defaults]\nlog-driver = [\"json-file\"]\nnetwork = \"bridge\"\n[log.json-file]\nmax-size = \"20m\"\nmax-file = 5\n[plugins]\npath = [\"/opt/a\"]\n");
    let typical = best(&place.options());
    println!("no file {empty:?}, a typical file {typical:?}");
    assert!(empty < Duration::from_millis(1) && typical < Duration::from_millis(5));
}

#[test]
fn registries() {
    let config = load(
        r#"
[engine.registry]
downloads = 8
retries = 0
timeout = "5s"
[registry."docker.io"]
mirrors = ["http://127.0.0.1:5000/", "https://mirror.example/hub"]
[registry."reg.example:5000"]
insecure = true
ca = "/ca.pem"
client-cert = "/c.pem"
client-key = "/k.pem"
"#,
    )
    .expect("sound");
    assert_eq!(
        (8, 0, Duration::from_secs(5)),
        (config.registry_downloads, config.registry_retries, config.registry_timeout)
    );
    assert_eq!(["http://127.0.0.1:5000", "https://mirror.example/hub"][..], config.registries["docker.io"].mirrors);
    let own = &config.registries["reg.example:5000"];
    assert!(own.insecure && own.ca == [PathBuf::from("/ca.pem")] && own.client_key.is_some());
    let shown = config.show();
    assert!(shown.iter().any(|s| s.key == "registry.reg.example:5000.insecure" && s.value == "true"), "{shown:?}");
}

#[test]
fn watermarks() {
    let config = load("[engine.gc]\nhigh = \"85%\"\nlow = 60\nkeep = \"1h\"\n").expect("sound");
    assert_eq!((Some(85), 60, Duration::from_secs(3600)), (config.gc_high, config.gc_low, config.gc_keep));
    assert_eq!(None, load("").expect("sound").gc_high, "off unless asked for");
    assert_eq!(Some(60), load("[engine.gc]\nhigh = 60\n").expect("the low one follows").gc_high);
    let wrongs = [
        ("high = 0", "from 1% to 100%"),
        ("low = \"much\"", "percentage"),
        ("high = true", "such as"),
        ("high = 60\nlow = 61", "3:7: engine.gc.low: 61% is more than engine.gc.high, 60%"),
    ];
    for (text, wrong) in wrongs {
        let told = told(&format!("[engine.gc]\n{text}\n"));
        assert!(told.iter().any(|line| line.contains(wrong)), "{told:?}");
    }
}

#[test]
fn faults_of_registries() {
    let told = told(
        r#"[engine.registry]
downloads = 0
[registry."a b"]
[registry."reg.example"]
mirrors = ["ftp://x"]
insecur = true
client-cert = "/c"
[registy."x"]
"#,
    );
    let wanted = [
        "2:13: engine.registry.downloads: must be a whole number from 1 to 64",
        "3:11: registry: \"a b\" is not the host of a registry; write it as",
        "4:11: registry.reg.example: client-cert and client-key need each other",
        "5:12: registry.reg.example.mirrors: \"ftp://x\" is not the address of a mirror; begin it",
        "6:1: unknown key \"registry.reg.example.insecur\"; known: mirrors, insecure",
        "8:2: unknown key \"registy\"; did you mean \"registry\"?",
    ];
    assert_eq!(wanted.len(), told.len(), "{told:#?}");
    for (wanted, told) in wanted.iter().zip(&told) {
        assert!(told.starts_with(wanted), "{told}");
    }
}

#[test]
fn a_driver_gets_a_process_of_its_own_by_its_table_or_by_a_list() {
    let text = r#"[plugins]
isolate = ["log/json-file", "volume/nfs"]
[log.json-file]
isolation = "in-process"
max-size = "1m"
[network.bridge]
isolation = "process"
"#;
    let config = load(text).expect("sound");
    assert_eq!(["volume/nfs", "network/bridge"], config.isolated()[..]);
    assert_eq!(
        [("max-size".to_owned(), "1m".to_owned())],
        config.driver_options("log", "json-file"),
        "no option of it"
    );
    let shown = config.show();
    let one = shown.iter().find(|one| one.key == "network.bridge.isolation").expect("shown");
    assert_eq!("\"process\"", one.value);
    assert!(matches!(one.origin, Origin::File(_, 7)), "{:?}", one.origin);
    let told = told("[log.x]\nisolation = \"vm\"\n");
    assert_eq!(["2:13: log.x.isolation: expected one of: in-process, process"], told[..]);
}
