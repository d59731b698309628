//! `GET /containers/{}/stats`.

use crate::app::App;
use crate::ask::Ask;
use crate::body::Body;
use crate::fault::Fault;
use crate::reply::{json, with};
use crate::route::Answer;
use crate::schema::Kind;
use crate::schema::stats::STATS;
use crate::schema::trim::trim;
use gantry_engine::container::stats::{DeviceUse, Sample, StatsRequest, host_cpu};
use hyper::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const STEP: Duration = Duration::from_secs(1);

/// One look, and the host's processor time at that moment.
struct Look {
    read: String,
    sample: Sample,
    host: (u64, u32),
}

pub fn stats(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let (query, version) = (&ask.call.query, ask.call.version);
        let (streaming, one_shot) = (query.switch_or("stream", true), query.switch("one-shot"));
        if streaming && one_shot {
            return Err(Fault::bad("cannot have stream=true and one-shot=true"));
        }
        let name = ask.call.name().to_owned();
        let first = look(&app, &name).await?;
        if one_shot {
            return json(shown(&first, None));
        }
        if !streaming {
            if !first.sample.live {
                return json(shown(&first, None));
            }
            tokio::time::sleep(STEP).await;
            return json(shown(&look(&app, &name).await?, Some(&first)));
        }
        let (sender, receiver) = mpsc::channel::<bytes::Bytes>(2);
        tokio::spawn(async move {
            let mut last = None;
            let mut now = first;
            loop {
                let mut value = shown(&now, last.as_ref());
                trim(&mut value, &Kind::Object(&STATS), version);
                let line = value.to_string() + "\n";
                if sender.send(line.into()).await.is_err() {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(STEP) => {}
                    () = sender.closed() => return,
                }
                let Ok(next) = look(&app, &name).await else { return };
                last = Some(std::mem::replace(&mut now, next));
            }
        });
        Ok(with(StatusCode::OK, Body::Stream(receiver), &[("content-type", "application/json")]))
    })
}

async fn look(app: &Arc<App>, name: &str) -> Result<Look, Fault> {
    let names = vec![name.to_owned()];
    app.quick(move |engine| {
        let samples =
            engine.watch_stats().look(&StatsRequest { names, all: true, detail: true, ..StatsRequest::default() })?;
        let sample = samples.into_iter().next().ok_or_else(|| Fault::missing("the container is gone"))?;
        Ok(Look { read: jiff::Timestamp::now().to_string(), sample, host: host_cpu()? })
    })
    .await
}

fn shown(now: &Look, before: Option<&Look>) -> Value {
    let sample = &now.sample;
    let mut value = json!({
        "read": now.read,
        "preread": before.map_or("0001-01-01T00:00:00Z", |look| look.read.as_str()),
        "id": sample.id,
        "name": format!("/{}", sample.name),
        "num_procs": 0,
        "storage_stats": {},
        "pids_stats": pids(sample),
        "blkio_stats": disks(sample),
        "cpu_stats": if sample.live { processor(now) } else { no_processor() },
        "precpu_stats": before.map_or_else(no_processor, processor),
        "memory_stats": memory(sample),
    });
    if !sample.networks.is_empty() {
        value["networks"] = networks(sample);
    }
    value
}

fn pids(sample: &Sample) -> Value {
    let mut value = json!({});
    if sample.live {
        value["current"] = sample.usage.pids.into();
        value["limit"] = sample.usage.pids_limit.unwrap_or(u64::MAX).into();
    }
    value
}

fn disks(sample: &Sample) -> Value {
    let entry =
        |each: &DeviceUse| json!({ "major": each.major, "minor": each.minor, "op": each.act, "value": each.amount });
    let list = |of: &[DeviceUse]| match sample.live {
        true => Value::Array(of.iter().map(entry).collect()),
        false => Value::Null,
    };
    json!({
        "io_service_bytes_recursive": list(&sample.detail.bytes),
        "io_serviced_recursive": list(&sample.detail.requests),
        "io_queue_recursive": null,
        "io_service_time_recursive": null,
        "io_wait_time_recursive": null,
        "io_merged_recursive": null,
        "io_time_recursive": null,
        "sectors_recursive": null,
    })
}

fn processor(look: &Look) -> Value {
    let (usage, detail) = (&look.sample.usage, &look.sample.detail);
    let mut value = json!({
        "cpu_usage": {
            "total_usage": usage.cpu_nanoseconds,
            "usage_in_kernelmode": usage.cpu_system_nanoseconds,
            "usage_in_usermode": usage.cpu_user_nanoseconds,
        },
        "system_cpu_usage": look.host.0,
        "online_cpus": look.host.1,
        "throttling_data": {
            "periods": detail.periods,
            "throttled_periods": usage.throttled_periods,
            "throttled_time": detail.throttled_nanoseconds,
        },
    });
    if !detail.processors.is_empty() {
        value["cpu_usage"]["percpu_usage"] = detail.processors.clone().into();
    }
    value
}

fn no_processor() -> Value {
    json!({
        "cpu_usage": { "total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0 },
        "throttling_data": { "periods": 0, "throttled_periods": 0, "throttled_time": 0 },
    })
}

fn memory(sample: &Sample) -> Value {
    let (usage, detail) = (&sample.usage, &sample.detail);
    if !sample.live {
        return json!({});
    }
    let mut value = json!({ "usage": usage.memory_usage, "limit": sample.memory_limit, "stats": detail.memory });
    let more = [("max_usage", detail.memory_peak), ("failcnt", detail.memory_failures)];
    for (key, number) in more.into_iter().filter_map(|(key, number)| Some((key, number?))) {
        value[key] = number.into();
    }
    value
}

fn networks(sample: &Sample) -> Value {
    let entry = |network: &gantry_engine::container::stats::NetworkUsage| {
        json!({
            "rx_bytes": network.rx_bytes,
            "rx_packets": network.rx_packets,
            "rx_errors": network.rx_errors,
            "rx_dropped": network.rx_dropped,
            "tx_bytes": network.tx_bytes,
            "tx_packets": network.tx_packets,
            "tx_errors": network.tx_errors,
            "tx_dropped": network.tx_dropped,
        })
    };
    json!(sample.networks.iter().map(|network| (&network.name, entry(network))).collect::<BTreeMap<_, _>>())
}
