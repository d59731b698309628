//! JSON as Go's decoder takes it: null is as good as absent, a single word may stand for a list of one.

use crate::fault::Fault;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Objects whose members mean something by their name alone.
const SETS: [&str; 3] = ["EndpointsConfig", "ExposedPorts", "Volumes"];
/// Objects whose members may be null.
const NULLABLE: [&str; 1] = ["PortBindings"];
/// Lists that may be written as one word.
const WORDS: [&str; 3] = ["Cmd", "Entrypoint", "Shell"];

/// Reads a body.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    typed(tidied(bytes)?)
}

/// Reads a body whose fields belong to two types.
pub fn parse_both<A: DeserializeOwned, B: DeserializeOwned>(bytes: &[u8]) -> Result<(A, B), Fault> {
    let value = tidied(bytes)?;
    Ok((typed(value.clone())?, typed(value)?))
}

fn tidied(bytes: &[u8]) -> Result<Value, Fault> {
    let mut value: Value =
        serde_json::from_slice(bytes).map_err(|error| Fault::bad(format!("the body is no JSON: {error}")))?;
    if !value.is_object() {
        return Err(Fault::bad("the body must be a JSON object"));
    }
    tidy("", &mut value);
    Ok(value)
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!(" at {path}") };
        Fault::bad(format!("invalid request body{place}: {}", error.inner()))
    })
}

fn tidy(name: &str, value: &mut Value) {
    match value {
        Value::Object(map) => tidy_object(name, map),
        Value::Array(list) => list.iter_mut().for_each(|item| tidy("", item)),
        _ => {}
    }
}

fn tidy_object(name: &str, map: &mut Map<String, Value>) {
    if SETS.contains(&name) {
        map.values_mut().filter(|value| value.is_null()).for_each(|value| *value = Value::Object(Map::new()));
    } else if name == "Labels" || name == "DriverOpts" {
        map.values_mut().filter(|value| value.is_null()).for_each(|value| *value = "".into());
    } else if !NULLABLE.contains(&name) {
        map.retain(|_, value| !value.is_null());
    }
    for (key, value) in map {
        if let (true, Value::String(_)) = (WORDS.contains(&key.as_str()), &*value) {
            *value = Value::Array(vec![value.take()]);
        }
        tidy(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Create, ExecCreate};
    use gantry_model::container::Config;

    #[test]
    fn as_clients_write_it() {
        let text = r#"{"Image":"bb","Cmd":"date","Env":null,"Entrypoint":null,"Frob":7,"ExposedPorts":{"80/tcp":null},
            "HostConfig":{"Memory":5,"Binds":null,"Dns":null,"RestartPolicy":{},"PortBindings":{"80/tcp":null}},
            "NetworkingConfig":{"EndpointsConfig":{"n":null}}}"#;
        let (config, create): (Config, Create) = parse_both(text.as_bytes()).expect("sound");
        assert_eq!((config.image.as_str(), config.cmd), ("bb", Some(vec!["date".to_owned()])));
        assert_eq!(config.entrypoint, None);
        assert_eq!((create.host_config.memory, create.host_config.binds), (5, None));
        assert!(config.exposed_ports.is_some_and(|ports| ports.contains_key("80/tcp")));
        assert!(create.host_config.port_bindings["80/tcp"].is_none());
        assert!(create.networking_config.endpoints_config.contains_key("n"));
    }

    #[test]
    fn wrong_types_name_the_field() {
        for (text, place) in [
            (r#"{"HostConfig":{"Memory":"x"}}"#, "HostConfig.Memory"),
            (r#"{"HostConfig":{"Ulimits":[{"Name":5}]}}"#, "HostConfig.Ulimits[0].Name"),
            (r#"{"Tty":"yes"}"#, "at Tty"),
            ("[]", "JSON object"),
            ("{", "no JSON"),
        ] {
            let fault = parse_both::<Config, Create>(text.as_bytes()).expect_err(text);
            assert!(fault.status == 400 && fault.message.contains(place), "{text}: {fault}");
        }
        assert!(parse::<ExecCreate>(br#"{"Tty":1}"#).is_err_and(|fault| fault.message.contains("at Tty")));
    }

    /// Many broken documents, the same ones each time, against every type that is read.
    #[test]
    fn no_mutation_breaks_it() {
        use crate::types::{ExecStart, NetworkCreate, NetworkJoin, Update, VolumeCreate};
        let seeds: [&[u8]; 4] = [
            br#"{"Image":"bb","Cmd":["a","b"],"HostConfig":{"Binds":["/a:/b"],"Ulimits":[{"Name":"n","Soft":1}],"Memory":-1}}"#,
            br#"{"AttachStdin":true,"ConsoleSize":[24,80],"Env":["A=b"],"Cmd":null,"DetachKeys":"ctrl-a"}"#,
            br#"{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/8","AuxAddress":{"a":"b"}}]},"EnableIPv6":null}"#,
            br#"{"Container":"c","EndpointConfig":{"IPAMConfig":{"IPv4Address":"1.2.3.4"},"Links":["a:b"]},"Force":true}"#,
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below.max(1) as u64) as usize
        };
        for round in 0..4000 {
            let mut text = seeds[round % seeds.len()].to_vec();
            for _ in 0..=next(6) {
                let (at, other) = (next(text.len()), next(text.len()));
                match next(5) {
                    0 => text[at] = next(256) as u8,
                    1 => drop(text.drain(at.min(other)..at.max(other))),
                    2 => text.insert(at.min(text.len()), b"{}[]\",:0-e"[next(10)]),
                    3 => text.extend_from_within(at.min(other)..at.max(other)),
                    _ => text.swap(at, other),
                }
                if text.is_empty() {
                    text.push(b'{');
                }
            }
            let _ = parse_both::<Config, Create>(&text);
            let _ = parse::<ExecCreate>(&text);
            let _ = parse::<ExecStart>(&text);
            let _ = parse::<Update>(&text);
            let _ = parse::<NetworkCreate>(&text);
            let _ = parse::<NetworkJoin>(&text);
            let _ = parse::<VolumeCreate>(&text);
        }
    }

    #[test]
    fn no_input_breaks_it() {
        let text = br#"{"Image":"bb","HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"1"}]},"Memory":1}}"#;
        for at in 0..text.len() {
            for byte in [0, b'"', b'{', b'}', b'[', b',', b':', b'9', 0xff] {
                let mut broken = text.to_vec();
                broken[at] = byte;
                let _ = parse_both::<Config, Create>(&broken);
            }
            let _ = parse_both::<Config, Create>(&text[..at]);
        }
        let deep = "[".repeat(100_000);
        assert!(parse::<Create>(deep.as_bytes()).is_err());
    }
}
