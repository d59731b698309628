//! Processes of a container, and its published ports.

use super::file::ContainerFile;
use crate::Engine;
use crate::error::{Error, Result};
use crate::network::endpoint::PortRecord;
use crate::network::ports::protocol_name;
use gantry_host::api::network::Protocol;
use gantry_store::containers;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// The answer of `top`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// Column titles.
    pub titles: Vec<String>,
    /// One row a process.
    pub processes: Vec<Vec<String>>,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// In the container.
    pub container_port: u16,
    /// `tcp`, `udp`, `sctp`.
    pub protocol: String,
    /// On the host.
    pub host_ip: IpAddr,
    /// On the host.
    pub host_port: u16,
}

impl Engine {
    /// The container's processes as the host's `ps` shows them; `-ef` when no options are given.
    pub fn top(&self, reference: &str, ps_args: &[String]) -> Result<Top> {
        let id = self.resolve(reference)?;
        let record = super::truth::corrected(containers::read(&self.layout, &id)?);
        if !record.state.status.is_live() {
            return Err(super::kill::not_running(reference, &id));
        }
        let file: ContainerFile = self.container_file(&id)?;
        self.tell_container(&file, &record.name, "top", &[]);
        let manager = self.cgroup(&super::start::cgroup_path(&file.host, &id))?;
        let ours = program_of(record.state.keeper.pid);
        let mut pids = manager.procs()?;
        // One that starts health checks is no process of the container's.
        pids.retain(|pid| ours.is_none() || program_of(*pid) != ours);
        let args: Vec<&str> =
            if ps_args.is_empty() { vec!["-ef"] } else { ps_args.iter().map(String::as_str).collect() };
        // The only way to honour any option of ps is ps itself; nothing waits for this but a person.
        let output = Command::new("ps").args(&args).output().map_err(Error::io("execute ps"))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::invalid(format!("error running ps: {text}")));
        }
        parse(&String::from_utf8_lossy(&output.stdout), &pids)
    }

    /// The container's published ports, sorted.
    pub fn port(&self, reference: &str) -> Result<Vec<PublishedPort>> {
        let id = self.resolve(reference)?;
        let endpoints = self.endpoints(&id)?;
        let ports = endpoints.iter().filter(|e| e.attached).flat_map(|e| &e.ports);
        let each = |p: &PortRecord| {
            let (protocol, host_ip) = (protocol_name(Protocol(p.protocol)).to_owned(), p.host_ip);
            let one = move |(container_port, host_port)| PublishedPort {
                container_port,
                protocol: protocol.clone(),
                host_ip,
                host_port,
            };
            p.each().map(one).collect::<Vec<_>>()
        };
        let mut ports: Vec<PublishedPort> = ports.flat_map(each).collect();
        ports.sort_by_key(|p| (p.container_port, p.protocol.clone(), p.host_port));
        Ok(ports)
    }
}

/// Device and inode of what a process executes.
fn program_of(pid: i32) -> Option<(u64, u64)> {
    let meta = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((meta.dev(), meta.ino()))
}

fn parse(text: &str, pids: &[i32]) -> Result<Top> {
    let mut lines = text.lines();
    let titles: Vec<String> = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles.iter().position(|t| t == "PID");
    let column = column.ok_or_else(|| Error::invalid("couldn't find PID field in ps output"))?;
    let mut processes = Vec::new();
    for line in lines {
        let mut fields: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if fields.get(column).and_then(|p| p.parse::<i32>().ok()).is_some_and(|p| pids.contains(&p)) {
            if fields.len() > titles.len() {
                let last = fields.split_off(titles.len() - 1).join(" ");
                fields.push(last);
            }
            processes.push(fields);
        }
    }
    Ok(Top { titles, processes })
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_the_containers_rows_and_the_whole_command() {
        let text = "UID PID CMD\nroot 7 sleep 100\nroot 8 other\n";
        let top = super::parse(text, &[7]).expect("top");
        assert_eq!(top.processes, [["root", "7", "sleep 100"]]);
        assert!(super::parse("A B\n", &[]).is_err());
    }
}
