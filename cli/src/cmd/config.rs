//! `config check`, `config show`: the configuration as TOML, with the origin of values when asked for.

use super::{Command, Context, Outcome};
use crate::args::config::{self as args, ShowArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::template::quote;
use crate::settings::{self, Loaded};
use gantry_config::Origin;

pub static CHECK: Command<NoArgs> = Command { info: args::CHECK, flags: &[NO_FLAGS], run: check };
pub static SHOW: Command<ShowArgs> = Command { info: args::SHOW, flags: &[args::SHOW_FLAGS], run: show };

fn check(_: &Context, _: NoArgs, _: Vec<String>) -> Outcome {
    Err(Failure::error("config check is not supported yet: no configuration file is read"))
}

fn show(context: &Context, args: ShowArgs, _: Vec<String>) -> Outcome {
    let loaded = settings::load(&context.globals)?;
    out::print(&text(&loaded, args.origin)).map(|()| 0)
}

fn text(loaded: &Loaded, origins: bool) -> String {
    let config = &loaded.config;
    let path = |path: &std::path::Path| quote(&path.to_string_lossy());
    let list = |items: &[String]| format!("[{}]", items.iter().map(|i| quote(i)).collect::<Vec<_>>().join(", "));
    let pools: Vec<String> = config
        .address_pools
        .iter()
        .map(|pool| format!("{{ base = {}, size = {} }}", quote(&pool.base), pool.size))
        .collect();
    let line = |key: &str, value: String, origin: &Origin| match origins {
        true => format!("{key} = {value}  # {}\n", origin_text(origin)),
        false => format!("{key} = {value}\n"),
    };
    let default = |key: &str, value: String| line(key, value, &Origin::Default);
    [
        line("root", path(&config.root), &loaded.root),
        line("state", path(&config.state), &loaded.state),
        "\n[defaults]\n".to_owned(),
        default("log-driver", list(&config.log_drivers)),
        default("storage-driver", quote(&config.storage_driver)),
        default("network", quote(&config.network)),
        default("volume-driver", quote(&config.volume_driver)),
        "\n[engine.network]\n".to_owned(),
        default("address-pools", format!("[{}]", pools.join(", "))),
        default("fallback-dns", list(&config.fallback_dns)),
        "\n[engine.volume]\n".to_owned(),
        default("bind-autocreate", config.bind_autocreate.to_string()),
        "\n[plugins]\n".to_owned(),
        default("path", list(&config.plugin_path.iter().map(|p| p.to_string_lossy().into_owned()).collect::<Vec<_>>())),
        default("deadline", quote(&format!("{}s", config.plugin_deadline.as_secs()))),
    ]
    .concat()
}

fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::File(path, line) => format!("{}:{line}", path.display()),
        Origin::Environment(name) => format!("environment {name}"),
    }
}
