//! Networks: after any fault the call can be made again, or be undone by a process that knows no more than what the
//! engine noted before it; then the host has the interfaces it had before.

use super::{Armed, Came, Point};
use crate::namespaces::{inside, interfaces, new_netns};
use crate::network::{endpoint, sized};
use crate::support::{Outcome, dirs_in, ensure, equal};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::network::*;
use gantry_plugin_api::options::OptionSpec;
use gantry_plugin_api::types::{Blob, Dirs};
use std::error::Error;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

type Fallible<T> = Result<T, Box<dyn Error>>;

struct Bench<'a, D> {
    driver: &'a D,
    network: NetworkSpec,
    endpoint: EndpointSpec,
    dirs: Dirs,
}

impl<D> Clone for Bench<'_, D> {
    fn clone(&self) -> Self {
        let (network, endpoint) = (self.network.clone(), self.endpoint.clone());
        Bench { driver: self.driver, network, endpoint, dirs: self.dirs.clone() }
    }
}

pub fn points<'a, D: NetworkDriver>(
    driver: &'a D,
    specs: &[OptionSpec],
    network: &NetworkSpec,
    place: &Path,
) -> std::io::Result<Vec<Point<'a>>> {
    let network = sized(specs, network);
    let endpoint = endpoint(specs, &network, 1);
    let bench = Bench { driver, network, endpoint, dirs: dirs_in(place)? };
    let attaches = !driver.capabilities().host_namespace;
    Ok(vec![
        Point::new("create", &bench, create, after_network),
        Point::new("attach", &bench, attach, after_endpoint).only_if(attaches),
        Point::new("reconcile", &bench, reconcile, after_endpoint).only_if(attaches),
        Point::new("detach", &bench, detach, after_endpoint).only_if(attaches),
        Point::new("delete", &bench, delete, after_network),
    ])
}

impl<D: NetworkDriver> Bench<'_, D> {
    fn create(&self) -> gantry_plugin_api::Result<Blob> {
        self.driver.create(&self.network, &[], &self.dirs, &Host::null())
    }

    fn attach(&self, state: &[u8], netns: &OwnedFd) -> gantry_plugin_api::Result<Attachment> {
        self.driver.attach(&self.network, state, &self.endpoint, netns.as_fd(), &self.dirs, &Host::null())
    }

    fn detach(&self, state: &[u8], made: &[u8], netns: Option<&OwnedFd>) -> gantry_plugin_api::Result<()> {
        let netns = netns.map(AsFd::as_fd);
        self.driver.detach(&self.network, state, &self.endpoint, made, netns, &self.dirs, &Host::null())
    }

    fn delete(&self, state: &[u8]) -> gantry_plugin_api::Result<()> {
        self.driver.delete(&self.network, state, &self.dirs, &Host::null())
    }
}

/// A namespace is taken down a while after its last process.
fn host_is_empty() -> Outcome {
    let until = Instant::now() + Duration::from_secs(5);
    while interfaces()? != ["lo"] && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    equal("interfaces left on the host", interfaces()?, vec!["lo".to_owned()])
}

fn create<D: NetworkDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    Ok(Came::of(&armed.during(|| bench.create())))
}

fn delete<D: NetworkDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let state = bench.create()?;
    Ok(Came::of(&armed.during(|| bench.delete(&state))))
}

fn after_network<D: NetworkDriver>(bench: &Bench<'_, D>, _: Came) -> Outcome {
    let state = bench.create()?;
    bench.delete(&state)?;
    host_is_empty()
}

fn attach<D: NetworkDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let (state, netns) = (bench.create()?, new_netns()?);
    let answer = armed.during(|| bench.attach(&state, &netns));
    if answer.is_err() {
        let found = inside(netns.as_fd(), || interfaces().map_err(|e| e.to_string()))?;
        ensure(found == ["lo"], || format!("attach was refused and left {found:?} in the namespace"))?;
    }
    Ok(Came::of(&answer))
}

fn detach<D: NetworkDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let (state, netns) = (bench.create()?, new_netns()?);
    let made = bench.attach(&state, &netns)?.state;
    Ok(Came::of(&armed.during(|| bench.detach(&state, &made, Some(&netns)))))
}

fn reconcile<D: NetworkDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let (state, netns) = (bench.create()?, new_netns()?);
    let attachment = bench.attach(&state, &netns)?.state;
    let live = [LiveEndpoint { endpoint: bench.endpoint.clone(), attachment, netns: Some(netns.as_fd()) }];
    Ok(Came::of(&armed.during(|| bench.driver.reconcile(&bench.network, &state, &live, &bench.dirs, &Host::null()))))
}

/// Whoever comes next knows neither attachment nor namespace; then the same endpoint is attached again.
fn after_endpoint<D: NetworkDriver>(bench: &Bench<'_, D>, _: Came) -> Outcome {
    let state = bench.create()?;
    bench.detach(&state, &[], None)?;
    let netns = new_netns()?;
    let made = bench.attach(&state, &netns)?;
    bench.detach(&state, &made.state, Some(&netns))?;
    bench.delete(&state)?;
    host_is_empty()
}
