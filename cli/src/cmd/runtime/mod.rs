//! `gantry runtime`, and `gantry` under a name that ends in `-runtime`: the OCI runtime that Docker, podman and containerd
//! call. It is another door than the other commands': plain bundles, no engine, no configuration.

mod output;

use crate::args::runtime::{COMMANDS, GLOBAL, Row, Words, scan};
use crate::out::{self, failure::Failure};
use gantry_engine::bundle::{self, Create, End, Exec, Runtime, Update};
use std::fs;
use std::path::{Path, PathBuf};

/// Why a command failed, and with what exit code.
struct Wrong {
    message: String,
    code: i32,
}

type Outcome = Result<i32, Wrong>;

impl From<String> for Wrong {
    fn from(message: String) -> Wrong {
        Wrong { message, code: 1 }
    }
}

impl From<bundle::Error> for Wrong {
    fn from(error: bundle::Error) -> Wrong {
        Wrong { code: error.code(), message: error.to_string() }
    }
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Wrong {
        Wrong { code: failure.code(), message: String::new() }
    }
}

/// Whether this program was called by a name that makes it the runtime.
pub fn is_called(program: Option<&str>) -> bool {
    program.is_some_and(|path| path.rsplit('/').next().is_some_and(|name| name.ends_with("-runtime")))
}

/// Runs what was asked for; gives the exit code.
pub fn run(words: &[String]) -> i32 {
    let globals = match scan(GLOBAL, words, false) {
        Ok(globals) => globals,
        Err(message) => return output::wrong(&Words::default(), &message, 1),
    };
    dispatch(&globals).unwrap_or_else(|wrong| output::wrong(&globals, &wrong.message, wrong.code))
}

fn dispatch(globals: &Words) -> Outcome {
    if globals.has("version") {
        return Ok(out::print(&output::version()).map(|()| 0)?);
    }
    let (name, rest) = match globals.rest.split_first() {
        None => return Ok(out::print(&output::help()).map(|()| 0)?),
        Some((name, _)) if name == "help" || name == "--help" => return Ok(out::print(&output::help()).map(|()| 0)?),
        Some(found) => found,
    };
    let row = COMMANDS.iter().find(|(known, ..)| known == name);
    let row = row.ok_or_else(|| format!("{name:?} is not a command of this runtime"))?;
    if rest.iter().take_while(|word| word.starts_with('-')).any(|word| word == "--help" || word == "-h") {
        return Ok(out::print(&output::usage(row)).map(|()| 0)?);
    }
    let command = Command { globals, words: read(row, rest)?, runtime: Runtime::new(&root(globals)) };
    command.execute(name)
}

fn read((name, known, ..): &Row, rest: &[String]) -> Result<Words, String> {
    // What follows the container may be a command line or options of ps.
    let anywhere = !matches!(*name, "exec" | "ps");
    scan(known, rest, anywhere)
}

fn root(globals: &Words) -> PathBuf {
    PathBuf::from(globals.last("root").unwrap_or(bundle::DEFAULT_ROOT))
}

struct Command<'a> {
    globals: &'a Words,
    words: Words,
    runtime: Runtime,
}

impl Command<'_> {
    fn execute(&self, name: &str) -> Outcome {
        match name {
            "create" => self.create(),
            "run" => self.run(),
            "exec" => self.exec(),
            "start" => self.done(self.runtime.start(self.id()?)),
            "state" => Ok(out::line(&output::state(&self.runtime.state(self.id()?)?)).map(|()| 0)?),
            "kill" => self.kill(),
            "delete" => self.delete(),
            "pause" => self.done(self.runtime.pause(self.id()?)),
            "resume" => self.done(self.runtime.resume(self.id()?)),
            "update" => self.update(),
            "list" => self.list(),
            "ps" => self.ps(),
            "events" => self.events(),
            "features" => Ok(out::line(&output::features()).map(|()| 0)?),
            _ => self.spec(),
        }
    }

    fn done(&self, result: bundle::Result<()>) -> Outcome {
        result?;
        Ok(0)
    }

    /// The container, which is the first argument.
    fn id(&self) -> Result<&str, String> {
        self.words.rest.first().map(String::as_str).ok_or_else(|| "a container id is needed".to_owned())
    }

    fn path(&self, option: &str) -> Option<PathBuf> {
        self.words.last(option).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    fn cache(&self) -> Option<PathBuf> {
        Some(root(self.globals).join(".filters"))
    }

    fn preserved(&self) -> Result<u32, String> {
        let asked: u32 = self.words.parsed("preserve-fds")?.unwrap_or(0);
        let activated = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<u32>().ok()).unwrap_or(0);
        Ok(asked + activated)
    }

    fn create_request(&self) -> Result<Create, Wrong> {
        if let [_, further, ..] = self.words.rest.as_slice() {
            return Err(format!("unexpected argument {further:?}").into());
        }
        Ok(Create {
            id: self.id()?.to_owned(),
            bundle: self.path("bundle").unwrap_or_else(|| PathBuf::from(".")),
            pid_file: self.path("pid-file"),
            console_socket: self.path("console-socket"),
            preserve_fds: self.preserved()?,
            no_pivot: self.words.has("no-pivot"),
            no_new_keyring: self.words.has("no-new-keyring"),
            systemd_cgroup: self.globals.has("systemd-cgroup")
                || self.globals.last("cgroup-manager").is_some_and(|manager| manager == "systemd"),
            cache: self.cache(),
        })
    }

    fn create(&self) -> Outcome {
        bundle::enter_protected()?;
        let created = self.runtime.create(&self.create_request()?)?;
        self.tell(&created.warnings);
        Ok(0)
    }

    fn run(&self) -> Outcome {
        bundle::enter_protected()?;
        let (detach, keep) = (self.words.has("detach"), self.words.has("keep"));
        let end = self.runtime.run(&self.create_request()?, detach, keep)?;
        Ok(self.end(&end))
    }

    fn end(&self, end: &End) -> i32 {
        self.tell(&end.warnings);
        end.code
    }

    fn tell(&self, warnings: &[String]) {
        warnings.iter().for_each(|warning| output::log(self.globals, "warning", warning));
    }

    fn exec(&self) -> Outcome {
        bundle::enter_protected()?;
        let gids = self.words.all("additional-gids").iter().flat_map(|list| list.split(','));
        let gids = gids.map(|gid| gid.parse().map_err(|_| format!("invalid group {gid:?}")));
        let request = Exec {
            process: self.path("process"),
            args: self.words.rest.get(1..).unwrap_or_default().to_vec(),
            env: self.words.all("env").to_vec(),
            cwd: self.words.last("cwd").map(str::to_owned),
            user: self.words.last("user").map(str::to_owned),
            additional_gids: gids.collect::<Result<_, _>>()?,
            capabilities: self.words.all("cap").to_vec(),
            no_new_privs: self.words.has("no-new-privs"),
            tty: self.words.has("tty"),
            ignore_paused: self.words.has("ignore-paused"),
            cgroups: self.words.all("cgroup").to_vec(),
            pid_file: self.path("pid-file"),
            console_socket: self.path("console-socket"),
            preserve_fds: self.preserved()?,
            cache: self.cache(),
        };
        if self.words.has("detach") {
            let execed = self.runtime.exec(self.id()?, &request)?;
            let warnings: Vec<String> = execed.warnings.iter().map(ToString::to_string).collect();
            self.tell(&warnings);
            return Ok(0);
        }
        let end = self.runtime.exec_and_wait(self.id()?, &request)?;
        Ok(self.end(&end))
    }

    fn kill(&self) -> Outcome {
        let signal = self.words.rest.get(1).map_or("TERM", String::as_str);
        let signal = bundle::signal_number(signal)?;
        self.done(self.runtime.kill(self.id()?, signal, self.words.has("all")))
    }

    fn delete(&self) -> Outcome {
        let mut warn = |error: &bundle::Error| output::log(self.globals, "warning", &error.to_string());
        self.done(self.runtime.delete(self.id()?, self.words.has("force"), &mut warn))
    }

    fn update(&self) -> Outcome {
        let words = &self.words;
        let update = Update {
            resources: self.path("resources"),
            memory: words.parsed("memory")?,
            memory_swap: words.parsed("memory-swap")?,
            memory_reservation: words.parsed("memory-reservation")?,
            cpu_quota: words.parsed("cpu-quota")?,
            cpu_period: words.parsed("cpu-period")?,
            cpu_shares: words.parsed("cpu-share")?,
            cpuset_cpus: words.last("cpuset-cpus").map(str::to_owned),
            cpuset_mems: words.last("cpuset-mems").map(str::to_owned),
            pids: words.parsed("pids-limit")?,
            io_weight: words.parsed("blkio-weight")?,
        };
        self.done(self.runtime.update(self.id()?, &update))
    }

    fn list(&self) -> Outcome {
        let all = self.runtime.list()?;
        let text = match (self.words.has("quiet"), self.words.last("format")) {
            (true, _) => all.iter().map(|one| format!("{}\n", one.id)).collect(),
            (false, Some("json")) => output::json(&all) + "\n",
            (false, _) => output::table(&all),
        };
        Ok(out::print(&text).map(|()| 0)?)
    }

    fn ps(&self) -> Outcome {
        let processes = self.runtime.processes(self.id()?)?;
        if self.words.last("format") == Some("json") {
            return Ok(out::line(&output::json(&processes)).map(|()| 0)?);
        }
        let options = self.words.rest.get(1..).unwrap_or_default();
        Ok(out::print(&output::processes(&processes, options)?).map(|()| 0)?)
    }

    /// Once, or every few seconds until the container ends.
    fn events(&self) -> Outcome {
        let id = self.id()?;
        let interval = output::seconds(self.words.last("interval").unwrap_or("5s"))?;
        let mut kills = None;
        loop {
            let Some(usage) = self.runtime.usage(id)? else {
                return if self.words.has("stats") {
                    Err(format!("container {id:?} is not running").into())
                } else {
                    Ok(0)
                };
            };
            if kills.is_some_and(|before| before < usage.oom_kills) {
                out::line(&usage.oom_line())?;
            }
            kills = Some(usage.oom_kills);
            out::line(&usage.line())?;
            if self.words.has("stats") {
                return Ok(0);
            }
            std::thread::sleep(interval);
        }
    }

    fn spec(&self) -> Outcome {
        let path = self.path("bundle").unwrap_or_else(|| PathBuf::from(".")).join("config.json");
        if path.exists() {
            return Err(format!("{} exists already", path.display()).into());
        }
        write(&path, &bundle::default_config()?)?;
        Ok(0)
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_makes_the_runtime() {
        for name in ["gantry-runtime", "/usr/bin/gantry-runtime", "my-runtime"] {
            assert!(is_called(Some(name)), "{name}");
        }
        assert!(!is_called(Some("/opt/x-runtime/gantry")) && !is_called(None));
    }
}
