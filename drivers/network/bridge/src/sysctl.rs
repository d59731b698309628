//! Kernel settings below /proc/sys/net, of the calling thread's network namespace.

use crate::error::{Error, Result};
use crate::options::Settings;
use gantry_plugin_api::prelude::*;
use std::fs;

/// Turns forwarding on when the network needs it and it is off, and says so.
pub fn forward(settings: &Settings, host: &Host) -> Result<()> {
    if settings.internal {
        return Ok(());
    }
    if settings.ipv4.is_some() {
        enable("net/ipv4/ip_forward", host)?;
    }
    if settings.ipv6.is_some() {
        enable("net/ipv6/conf/all/forwarding", host)?;
    }
    Ok(())
}

fn enable(path: &str, host: &Host) -> Result<()> {
    if !set(path, "1")? {
        return Ok(());
    }
    let text = format!("set {path} from 0 to 1: containers need it to reach the outside and to be reached");
    host.log(Level::INFO, &text);
    Ok(())
}

/// Lets translated packets from 127.0.0.1 leave by the bridge; the firewall drops what would come in by it.
pub fn route_localnet(bridge: &str) -> Result<()> {
    set(&format!("net/ipv4/conf/{bridge}/route_localnet"), "1").map(drop)
}

/// True when packets pass the IP hooks of the firewall while still on a bridge (br_netfilter): IPv4 ones, and IPv6 ones
/// too where `ipv6` asks.
pub fn filters_bridged(ipv6: bool) -> bool {
    let on = |family| is(&format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), "1");
    on("iptables") && (!ipv6 || on("ip6tables"))
}

fn is(path: &str, value: &str) -> bool {
    fs::read(path).is_ok_and(|now| now.trim_ascii() == value.as_bytes())
}

/// True when the value had to be changed.
fn set(path: &str, value: &'static str) -> Result<bool> {
    let full = format!("/proc/sys/{path}");
    if is(&full, value) {
        return Ok(false);
    }
    let failed = |source| Error::Setting { path: full.clone(), value, source };
    fs::write(&full, value).map_err(failed).map(|()| true)
}
