//! The bridge on the host: made once per boot, looked at by every start.
//!
//! Looking is two ioctls. Making, deleting and listing go through rtnetlink on a runtime that lives as long as the act;
//! none of it is on the way of a start that finds its bridge. A bridge of ours carries the network's id in its alias:
//! one without was there before us, is used as it is, and is never deleted.

use crate::error::{Error, Result};
use crate::options::Settings;
use futures_util::TryStreamExt;
use gantry_driver_shared::link;
use gantry_driver_shared::netlink::{Batch, Socket};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::{Handle, LinkBridge, LinkUnspec};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

const MARK: &str = "gantry network ";
/// How the names of our links' host ends begin.
pub const LINK_PREFIX: &str = "veth";

/// The bridge's index, when it is up and has its address: then nothing is to be done.
pub fn ready(socket: &Socket, settings: &Settings) -> Result<Option<u32>> {
    let failed = |source| Error::LookUp { name: settings.bridge.clone(), source };
    let Some(flags) = link::flags_of(socket, &settings.bridge).map_err(failed)? else { return Ok(None) };
    if flags & libc::IFF_UP as u32 == 0 {
        return Ok(None);
    }
    for address in settings.pools().filter_map(|pool| pool.bridge_address()) {
        if !link::has_address(&settings.bridge, address).map_err(failed)? {
            return Ok(None);
        }
    }
    link::index(socket, &settings.bridge).map_err(failed)
}

/// Lets answers to `::1` in by the bridge, where ports published there are answered. The kernel looks for that address on
/// the interface by which a packet came, when translation is undone; packets that bear it from outside it drops before.
pub fn answer_loopback(socket: &mut Socket, bridge: &str) -> Result<()> {
    /// Behind the loopback's own route.
    const LAST: u32 = 4096;
    let failed = |source| Error::LookUp { name: bridge.to_owned(), source };
    let Some(index) = link::index(socket, bridge).map_err(failed)? else { return Ok(()) };
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    message.header.destination_prefix_length = 128;
    message.header.table = libc::RT_TABLE_LOCAL;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Local;
    message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet6(Ipv6Addr::LOCALHOST)));
    message.attributes.push(RouteAttribute::Oif(index));
    message.attributes.push(RouteAttribute::Priority(LAST));
    let mut batch = Batch::default();
    let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
    batch.route(format!("route answers for ::1 by {bridge}"), &RouteNetlinkMessage::NewRoute(message), flags);
    batch.tolerate(libc::EEXIST);
    Ok(socket.send(batch)?)
}

/// Makes the bridge, or what is missing of it. True when it was not there. `known` tells whether a network's id is one
/// of ours that still exists.
pub fn ensure(settings: &Settings, known: impl Fn(&str) -> bool) -> Result<bool> {
    let made = Cell::new(false);
    let ensured = run(async |handle| {
        let created = match find(handle, &settings.bridge).await? {
            Some(found) => {
                check(&found, settings, known)?;
                if owner(&found).is_none() && is_ours(&found, settings) {
                    mark(handle, settings).await?;
                }
                false
            }
            None => create(handle, settings, &made).await.map(|()| true)?,
        };
        let finished = finish(handle, settings, created).await;
        finished.map(|()| created)
    });
    // By a connection of its own: the other may be what failed.
    ensured.inspect_err(|_| drop(made.get().then(|| delete(settings))))
}

/// Deletes the bridge if it is ours. Nothing there is no error.
pub fn delete(settings: &Settings) -> Result<()> {
    run(async |handle| match find(handle, &settings.bridge).await? {
        Some(found) if is_ours(&found, settings) => remove(handle, &settings.bridge).await,
        _ => Ok(()),
    })
}

/// Deletes the bridge if it is ours and nobody is connected.
pub fn delete_unused(settings: &Settings) -> Result<()> {
    run(async |handle| match find(handle, &settings.bridge).await? {
        Some(found) if is_ours(&found, settings) && ports(handle, &found).await?.is_empty() => {
            remove(handle, &settings.bridge).await
        }
        _ => Ok(()),
    })
}

/// Deletes links of ours on the bridge that no living endpoint owns; goes on after a failure.
pub fn sweep(settings: &Settings, live: &[String]) -> Result<()> {
    run(async |handle| {
        let Some(found) = find(handle, &settings.bridge).await? else { return Ok(()) };
        let mut outcome = Ok(());
        for name in ports(handle, &found).await? {
            if name.starts_with(LINK_PREFIX) && !live.contains(&name) {
                outcome = outcome.and(remove(handle, &name).await);
            }
        }
        outcome
    })
}

/// Runs one conversation on a runtime of its own.
fn run<T>(conversation: impl AsyncFnOnce(&Handle) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(Error::Runtime)?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Runtime)?;
        let driver = tokio::spawn(connection);
        let outcome = conversation(&handle).await;
        driver.abort();
        outcome
    })
}

async fn find(handle: &Handle, name: &str) -> Result<Option<LinkMessage>> {
    match handle.link().get().match_name(name.to_owned()).execute().try_next().await {
        Ok(found) => Ok(found),
        Err(error) if errno(&error) == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(failed(format!("look up interface {name}"), &error)),
    }
}

async fn create(handle: &Handle, settings: &Settings, made: &Cell<bool>) -> Result<()> {
    let mut link = LinkBridge::new(&settings.bridge).address(hardware_address(&settings.network).to_vec());
    if let Some(mtu) = settings.mtu {
        link = link.mtu(mtu);
    }
    match handle.link().add(link.build()).execute().await {
        // Another start was quicker.
        Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(()),
        Err(error) => Err(failed(format!("create bridge {}", settings.bridge), &error)),
        Ok(()) => {
            made.set(true);
            mark(handle, settings).await
        }
    }
}

async fn mark(handle: &Handle, settings: &Settings) -> Result<()> {
    let alias = LinkAttribute::IfAlias(format!("{MARK}{}", settings.network));
    let message = LinkUnspec::new_with_name(&settings.bridge).append_extra_attribute(alias).build();
    let marked = handle.link().set(message).execute().await;
    marked.map_err(|error| failed(format!("mark bridge {} as ours", settings.bridge), &error))
}

/// Addresses and state, whoever made the bridge.
async fn finish(handle: &Handle, settings: &Settings, created: bool) -> Result<()> {
    let name = &settings.bridge;
    let index = find(handle, name).await?.map(|l| l.header.index).ok_or_else(|| vanished(name))?;
    for (address, prefix) in addresses(settings) {
        let mut request = handle.address().add(index, address, prefix).replace();
        if address.is_ipv6() {
            // Nobody else has it, and duplicate-address detection would make the first start wait.
            request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        let added = request.execute().await;
        added.map_err(|error| failed(format!("give bridge {name} the address {address}/{prefix}"), &error))?;
    }
    if created {
        return Ok(());
    }
    let up = handle.link().set(LinkUnspec::new_with_name(name).up().build()).execute().await;
    up.map_err(|error| failed(format!("bring up bridge {name}"), &error))
}

fn addresses(settings: &Settings) -> impl Iterator<Item = (IpAddr, u8)> {
    settings.pools().filter_map(|pool| Some((pool.bridge_address()?, pool.prefix)))
}

async fn ports(handle: &Handle, bridge: &LinkMessage) -> Result<Vec<String>> {
    let mut links = handle.link().get().execute();
    let mut names = Vec::new();
    loop {
        match links.try_next().await {
            Ok(Some(link)) => names.extend(port_name(&link, bridge.header.index)),
            Ok(None) => return Ok(names),
            Err(error) => return Err(failed("list interfaces".to_owned(), &error)),
        }
    }
}

fn port_name(link: &LinkMessage, bridge: u32) -> Option<String> {
    let on_it = link.attributes.iter().any(|a| matches!(a, LinkAttribute::Controller(index) if *index == bridge));
    let name = link.attributes.iter().find_map(|a| match a {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    name.filter(|_| on_it)
}

async fn remove(handle: &Handle, name: &str) -> Result<()> {
    let Some(found) = find(handle, name).await? else { return Ok(()) };
    match handle.link().del(found.header.index).execute().await {
        Err(error) if errno(&error) != Some(libc::ENODEV) => Err(failed(format!("delete interface {name}"), &error)),
        _ => Ok(()),
    }
}

fn check(found: &LinkMessage, settings: &Settings, known: impl Fn(&str) -> bool) -> Result<()> {
    if !is_bridge(found) {
        return Err(Error::NotABridge(settings.bridge.clone()));
    }
    match owner(found) {
        Some(other) if other != settings.network && known(other) => {
            Err(Error::SameBridge { bridge: settings.bridge.clone(), network: other.to_owned() })
        }
        _ => Ok(()),
    }
}

fn is_bridge(link: &LinkMessage) -> bool {
    let infos = link.attributes.iter().filter_map(|a| match a {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    infos.flatten().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Bridge)))
}

/// True for the network's own bridge. Whoever made it may have died before marking it; the address tells as well.
fn is_ours(found: &LinkMessage, settings: &Settings) -> bool {
    match owner(found) {
        Some(network) => network == settings.network,
        None => address(found) == Some(&hardware_address(&settings.network)),
    }
}

fn address(link: &LinkMessage) -> Option<&[u8]> {
    link.attributes.iter().find_map(|a| match a {
        LinkAttribute::Address(address) => Some(address.as_slice()),
        _ => None,
    })
}

/// The network whose mark the bridge carries.
fn owner(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|a| match a {
        LinkAttribute::IfAlias(alias) => alias.strip_prefix(MARK),
        _ => None,
    })
}

/// A bridge without an address of its own takes over that of its lowest port, and neighbours must learn anew.
fn hardware_address(network: &str) -> [u8; 6] {
    let mut address = [0x02, 0, 0, 0, 0, 1];
    for (index, byte) in address.iter_mut().enumerate().skip(1) {
        let digits = network.get(index * 2..index * 2 + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
        *byte = digits.unwrap_or(*byte);
    }
    address
}

fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| code.get().wrapping_neg()),
        _ => None,
    }
}

fn failed(act: String, error: &rtnetlink::Error) -> Error {
    let source = match errno(error) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(error.to_string()),
    };
    Error::Link { act, source }
}

fn vanished(name: &str) -> Error {
    Error::Link { act: format!("find interface {name} again"), source: io::Error::from_raw_os_error(libc::ENODEV) }
}
