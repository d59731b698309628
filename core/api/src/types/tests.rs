//! Requests as clients write them, as they should not, and as nobody does; and that the table of types is complete.

use super::*;
use crate::schema::{Kind, Type};
use gantry_model::container::{
    BindOptions, Config, DriverConfig, EndpointIpam, Healthcheck, ImageOptions, LogConfig, Mount, PortBinding,
    TmpfsOptions, Ulimit, VolumeOptions,
};
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde_json::Value;

/// What `POST /containers/create` does.
fn create(bytes: &[u8]) -> Result<(Config, Create), crate::fault::Fault> {
    let value = object(bytes, Create::TYPE)?;
    Ok((typed(value.clone())?, typed(value)?))
}

#[test]
fn as_clients_write_it() {
    let text = r#"{"Image":"bb","Cmd":"date","Env":null,"Entrypoint":null,"Frob":7,"ExposedPorts":{"80/tcp":null},
        "HostConfig":{"Memory":5,"Binds":null,"Dns":null,"RestartPolicy":{},"PortBindings":{"80/tcp":null}},
        "NetworkingConfig":{"EndpointsConfig":{"n":null}}}"#;
    let (config, create) = create(text.as_bytes()).expect("sound");
    assert_eq!((config.image.as_str(), config.cmd), ("bb", Some(vec!["date".to_owned()])));
    assert_eq!(config.entrypoint, None);
    assert_eq!((create.host_config.memory, create.host_config.binds), (5, None));
    assert!(config.exposed_ports.is_some_and(|ports| ports.contains_key("80/tcp")));
    assert!(create.host_config.port_bindings["80/tcp"].is_none());
    assert!(create.networking_config.endpoints_config.contains_key("n"));
    let exec: ExecCreate = parse(br#"{"Cmd":["a"],"detachKeys":"ctrl-a"}"#).expect("sound");
    assert_eq!(exec.detach_keys, "ctrl-a");
}

#[test]
fn wrong_types_name_the_field() {
    for (text, place) in [
        (r#"{"HostConfig":{"Memory":"x"}}"#, "at HostConfig.Memory: expected an integer, found the string \"x\""),
        (r#"{"HostConfig":{"Ulimits":[{"Name":5}]}}"#, "at HostConfig.Ulimits[0].Name: expected a string"),
        (r#"{"Tty":"yes"}"#, "at Tty: expected true or false"),
        (r#"{"HostConfig":{"BlkioWeight":70000}}"#, "at HostConfig.BlkioWeight: "),
        ("[]", "JSON object"),
        ("{", "no JSON"),
    ] {
        let fault = create(text.as_bytes()).expect_err(text);
        assert!(fault.status == 400 && fault.message.contains(place), "{text}: {fault}");
    }
    assert!(parse::<ExecCreate>(br#"{"Tty":1}"#).is_err_and(|fault| fault.message.contains("at Tty")));
}

/// Keeps the names of the fields that a type wants, and gives it nothing.
struct Names<'a>(&'a mut Vec<&'static str>);

impl<'de> serde::Deserializer<'de> for Names<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend(fields);
        Err(Self::Error::custom("asked"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn inside(of: &'static Type, path: &str) -> &'static Type {
    path.split('.').filter(|step| !step.is_empty()).fold(of, |of, step| {
        let field = of.all().find(|field| field.name == step).unwrap_or_else(|| panic!("{}: no {step}", of.name));
        let mut kind = &field.kind;
        loop {
            match kind {
                Kind::Object(of) | Kind::Objects(of) | Kind::Named(of) => return of,
                Kind::List(item) | Kind::Map(item) => kind = item,
                other => panic!("{step} is {other:?}"),
            }
        }
    })
}

/// Every field that is read stands in the table.
#[test]
fn the_table_is_complete() {
    fn check<T: DeserializeOwned>(of: &'static Type, path: &str) {
        let (of, mut names) = (inside(of, path), Vec::new());
        let _ = T::deserialize(Names(&mut names));
        assert!(!names.is_empty(), "{}", of.name);
        for name in names {
            assert!(of.all().any(|field| field.name == name), "{} has no field {name}", of.name);
        }
    }
    let create = Create::TYPE;
    check::<Config>(create, "");
    check::<Healthcheck>(create, "Healthcheck");
    check::<Create>(create, "");
    check::<NetworkingConfig>(create, "NetworkingConfig");
    check::<EndpointSettings>(create, "NetworkingConfig.EndpointsConfig");
    check::<EndpointIpam>(create, "NetworkingConfig.EndpointsConfig.IPAMConfig");
    check::<HostConfig>(create, "HostConfig");
    check::<LogConfig>(create, "HostConfig.LogConfig");
    check::<PortBinding>(create, "HostConfig.PortBindings");
    check::<RestartPolicy>(create, "HostConfig.RestartPolicy");
    check::<gantry_model::idmap::IdMappings>(create, "HostConfig.IDMappings");
    check::<Ulimit>(create, "HostConfig.Ulimits");
    check::<Mount>(create, "HostConfig.Mounts");
    check::<BindOptions>(create, "HostConfig.Mounts.BindOptions");
    check::<VolumeOptions>(create, "HostConfig.Mounts.VolumeOptions");
    check::<DriverConfig>(create, "HostConfig.Mounts.VolumeOptions.DriverConfig");
    check::<TmpfsOptions>(create, "HostConfig.Mounts.TmpfsOptions");
    check::<ImageOptions>(create, "HostConfig.Mounts.ImageOptions");
    check::<ExecCreate>(ExecCreate::TYPE, "");
    check::<ExecStart>(ExecStart::TYPE, "");
    check::<Update>(Update::TYPE, "");
    check::<LogsUpdate>(Update::TYPE, "GantryLogs");
    check::<PortsUpdate>(Update::TYPE, "GantryPorts");
    check::<NetworkCreate>(NetworkCreate::TYPE, "");
    check::<Ipam>(NetworkCreate::TYPE, "IPAM");
    check::<IpamPool>(NetworkCreate::TYPE, "IPAM.Config");
    check::<NetworkConnect>(NetworkConnect::TYPE, "");
    check::<NetworkDisconnect>(NetworkDisconnect::TYPE, "");
    check::<VolumeCreate>(VolumeCreate::TYPE, "");
}

/// Every body that is read.
fn read_all(bytes: &[u8]) {
    let _ = create(bytes);
    let _ = parse::<ExecCreate>(bytes);
    let _ = parse::<ExecStart>(bytes);
    let _ = parse::<Update>(bytes);
    let _ = parse::<NetworkCreate>(bytes);
    let _ = parse::<NetworkConnect>(bytes);
    let _ = parse::<NetworkDisconnect>(bytes);
    let _ = parse::<VolumeCreate>(bytes);
    let _ = crate::query::Query::parse(&String::from_utf8_lossy(bytes)).filters();
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn broken(&mut self, seed: &[u8]) -> Vec<u8> {
        const WORDS: [&[u8]; 8] = [b"null", b"1e999", b"-1", b"{}", b"[]", b"\"\\ud800\"", b"\"Memory\":", b"[[[["];
        let mut text = seed.to_vec();
        for _ in 0..=self.below(6) {
            let (at, other) = (self.below(text.len()), self.below(text.len()));
            match self.below(6) {
                0 => text[at] = self.below(256) as u8,
                1 => drop(text.drain(at.min(other)..at.max(other))),
                2 => text.insert(at, b"{}[]\",:0-e"[self.below(10)]),
                3 => text.extend_from_within(at.min(other)..at.max(other)),
                4 => drop(text.splice(at..at, WORDS[self.below(8)].iter().copied())),
                _ => text.swap(at, other),
            }
            if text.is_empty() {
                text.push(b'{');
            }
        }
        text
    }
}

const SEEDS: [&[u8]; 6] = [
    br#"{"Image":"bb","Cmd":["a","b"],"HostConfig":{"Binds":["/a:/b"],"Ulimits":[{"Name":"n","Soft":1}],"Memory":-1}}"#,
    br#"{"AttachStdin":true,"ConsoleSize":[24,80],"Env":["A=b"],"Cmd":null,"DetachKeys":"ctrl-a"}"#,
    br#"{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/8","AuxAddress":{"a":"b"}}]},"EnableIPv6":null}"#,
    br#"{"Container":"c","EndpointConfig":{"IPAMConfig":{"IPv4Address":"1.2.3.4"},"Links":["a:b"]},"Force":true}"#,
    br#"{"Memory":5,"RestartPolicy":{"Name":"x"},"GantryLogs":{"Drivers":["a"]},"GantryPorts":{"Add":["1:2"]}}"#,
    br#"filters={"label":["a=b"],"until":{"x":true}}&limit=-1&t=%ff%"#,
];

/// A fuzzer: as many broken documents as `GANTRY_FUZZ` says (in thousands), from a seed that is told when one breaks it.
#[test]
fn no_mutation_breaks_it() {
    let rounds = std::env::var("GANTRY_FUZZ").ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(6) * 1000;
    for round in 0..rounds {
        let mut random = Random((round + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
        let text = random.broken(SEEDS[(round % 6) as usize]);
        let read = std::panic::catch_unwind(|| read_all(&text));
        assert!(read.is_ok(), "round {round}: {}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn no_input_breaks_it() {
    let text = br#"{"Image":"bb","HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"1"}]},"Memory":1}}"#;
    for at in 0..text.len() {
        for byte in [0, b'"', b'{', b'}', b'[', b',', b':', b'9', 0xff] {
            let mut broken = text.to_vec();
            broken[at] = byte;
            let _ = create(&broken);
        }
        let _ = create(&text[..at]);
    }
    let deep = "[".repeat(100_000);
    assert!(object(deep.as_bytes(), Create::TYPE).is_err());
    let _ = serde_json::from_str::<Value>(&deep);
}
