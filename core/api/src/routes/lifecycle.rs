//! Starts, stops, signals, names, limits, removals.

use crate::app::App;
use crate::ask::{Ask, Call};
use crate::attach::{Party, tell_end};
use crate::fault::Fault;
use crate::reply::{Outcome, done, empty, json};
use crate::route::Answer;
use crate::types;
use gantry_engine::Engine;
use gantry_engine::container::Watch;
use gantry_engine::request::{
    AttachRequest, LimitUpdate, LogUpdate, PortUpdate, RemoveRequest, StopRequest, UpdateRequest,
};
use hyper::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// No document that says anything is shorter.
const EMPTY_DOCUMENT: u64 = 7;

/// `POST /containers/{}/start`: hands the container's streams and end to those who wait for them.
pub fn start(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        check_bare(&ask.call)?;
        let name = ask.call.name().to_owned();
        let own = Arc::clone(&app);
        app.slow(move |engine| {
            let watched = engine.watch_end(&name)?;
            if matches!(watched.end, Watch::Running(_) | Watch::Unreachable) {
                // One that runs stays as it is; one that is paused is not started by this.
                let started = engine.start_detached(&watched.id, AttachRequest::default(), false, None)?;
                return Ok((started.map(|running| running.into_parts().1), Party::default()));
            }
            let mut party = own.expected.take(&watched.id);
            party.guests.retain(|guest| !guest.session.is_closed());
            party.ends.retain(|end| !end.is_closed());
            let early = own.early.take(&watched.id);
            let request = party.guests.first().map_or_else(AttachRequest::default, |guest| guest.request);
            let started = engine.start_detached(&watched.id, request, !party.ends.is_empty(), early)?;
            let Some(running) = started else { return Ok((None, party)) };
            let (session, ending) = running.into_parts();
            let mut guests = std::mem::take(&mut party.guests).into_iter();
            if let (Some(session), Some(first)) = (session, guests.next()) {
                let _ = first.session.send(session);
            }
            for guest in guests {
                if let Ok(session) = engine.attach(&watched.id, guest.request) {
                    let _ = guest.session.send(session);
                }
            }
            Ok((Some(ending), party))
        })
        .await
        .map(|(ending, party)| match ending {
            Some(ending) => {
                tell_end(app, ending, party.ends);
                empty(StatusCode::NO_CONTENT)
            }
            None => empty(StatusCode::NOT_MODIFIED),
        })
    })
}

/// What a start said of the container before 1.24 must not be overlooked. Some clients send an empty document.
fn check_bare(call: &Call) -> Result<(), Fault> {
    let length = call.headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > EMPTY_DOCUMENT) {
        let message =
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24";
        return Err(Fault::bad(message));
    }
    Ok(())
}

/// `t=SECONDS`, `signal=NAME`; a negative time is no limit.
fn stop_request(call: &Call) -> Result<StopRequest, Fault> {
    let timeout = call.query.number("t")?;
    let timeout = timeout.map(|seconds| u64::try_from(seconds).map_or(Duration::MAX, Duration::from_secs));
    Ok(StopRequest { signal: call.query.text("signal").map(str::to_owned), timeout })
}

/// `POST /containers/{}/stop`.
pub fn stop(engine: &Engine, call: &Call) -> Outcome {
    let request = stop_request(call)?;
    let stopped = matches!(engine.watch_end(call.name())?.end, Watch::Stopped { .. });
    engine.stop(call.name(), &request)?;
    Ok(empty(if stopped { StatusCode::NOT_MODIFIED } else { StatusCode::NO_CONTENT }))
}

/// `POST /containers/{}/restart`.
pub fn restart(engine: &Engine, call: &Call) -> Outcome {
    engine.restart(call.name(), &stop_request(call)?)?;
    done()
}

/// `POST /containers/{}/kill`.
pub fn kill(engine: &Engine, call: &Call) -> Outcome {
    let signal = call.query.text("signal").unwrap_or("KILL");
    engine.kill(call.name(), signal).map_err(|error| {
        let fault = Fault::from(error);
        match fault.status {
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => {
                Fault::new(fault.status, format!("Cannot kill container: {}: {}", call.name(), fault.message))
            }
            _ => fault,
        }
    })?;
    done()
}

/// `POST /containers/{}/pause`.
pub fn pause(engine: &Engine, call: &Call) -> Outcome {
    engine.pause(call.name())?;
    done()
}

/// `POST /containers/{}/unpause`.
pub fn unpause(engine: &Engine, call: &Call) -> Outcome {
    engine.unpause(call.name())?;
    done()
}

/// `POST /containers/{}/rename`.
pub fn rename(engine: &Engine, call: &Call) -> Outcome {
    let name = call.query.text("name").ok_or_else(|| Fault::bad("Neither old nor new names may be empty"))?;
    engine.rename(call.name(), name)?;
    done()
}

/// `POST /containers/{}/resize`.
pub fn resize(engine: &Engine, call: &Call) -> Outcome {
    let (rows, columns) = size(call)?;
    engine.resize(call.name(), rows, columns)?;
    Ok(empty(StatusCode::OK))
}

/// Rows and columns.
pub fn size(call: &Call) -> Result<(u16, u16), Fault> {
    let side = |key: &str| {
        let number = call.query.number(key)?;
        let number = number.ok_or_else(|| Fault::bad(format!("invalid value for {key}: \"\" is not a number")))?;
        u16::try_from(number).map_err(|_| Fault::bad(format!("invalid value for {key}: {number}")))
    };
    Ok((side("h")?, side("w")?))
}

/// `POST /containers/{}/update`: zero and the empty text mean that nothing changes.
pub fn update(engine: &Engine, call: &Call) -> Outcome {
    let wish: types::Update = call.json()?;
    let number = |value: i64| (value != 0).then_some(value);
    let text = |value: String| (!value.is_empty()).then_some(value);
    let limits = LimitUpdate {
        memory: number(wish.memory),
        memory_reservation: number(wish.memory_reservation),
        memory_swap: number(wish.memory_swap),
        nano_cpus: number(wish.nano_cpus),
        cpu_shares: number(wish.cpu_shares),
        cpu_period: number(wish.cpu_period),
        cpu_quota: number(wish.cpu_quota),
        cpuset_cpus: text(wish.cpuset_cpus),
        cpuset_mems: text(wish.cpuset_mems),
        pids_limit: wish.pids_limit,
        blkio_weight: (wish.blkio_weight != 0).then_some(wish.blkio_weight),
        restart: wish.restart_policy.filter(|policy| !policy.name.is_empty()),
    };
    let logs = wish.gantry_logs.map(|logs| LogUpdate { drivers: logs.drivers, options: logs.options });
    let ports = wish.gantry_ports.map(port_update).transpose()?;
    let limits = Some(limits).filter(|limits| *limits != LimitUpdate::default());
    engine.update(call.name(), &UpdateRequest { logs, ports, limits })?;
    json(json!({ "Warnings": null }))
}

fn port_update(wish: types::PortsUpdate) -> Result<PortUpdate, Fault> {
    let read = |words: Vec<String>| {
        let each = words.iter().map(|word| gantry_model::port::parse_publish(word));
        let lists: Result<Vec<_>, _> = each.collect();
        lists.map(|lists| lists.concat()).map_err(|error| Fault::bad(error.to_string()))
    };
    Ok(PortUpdate { add: read(wish.add)?, remove: read(wish.remove)? })
}

/// `DELETE /containers/{}`.
pub fn remove(engine: &Engine, call: &Call) -> Outcome {
    let query = &call.query;
    if query.switch("link") {
        engine.remove_link(call.name())?;
        return done();
    }
    let request = RemoveRequest { force: query.switch("force"), volumes: query.switch("v"), missing_ok: false };
    engine.remove(call.name(), request)?;
    done()
}
