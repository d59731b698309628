//! The driver's entry: each call of the engine becomes one or two questions to a plugin.

use crate::error::Error;
use crate::options::{Choice, OPTIONS, check_name};
use crate::plugin::{Known, Plugin, Volume};
use crate::records::{Record, Records};
use gantry_plugin_api::error::Result;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options};
use gantry_plugin_api::types::Dirs;
use gantry_plugin_api::volume::{VolumeCapabilities, VolumeDriver, VolumeInfo, VolumeMount};
use std::path::Path;
use std::time::Duration;

/// Under this name the driver speaks for no plugin of its own.
const OWN_NAME: &str = "docker";
/// Who looks at volumes does not wait long: a list of all of them asks for each.
const GLANCE: Duration = Duration::from_secs(2);

/// The volume driver `docker`.
#[derive(Default)]
pub struct Docker {
    known: Known,
}

impl VolumeDriver for Docker {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> VolumeCapabilities {
        VolumeCapabilities::default()
    }

    fn validate(&self, _name: &str, options: &Options) -> Result<()> {
        Ok(Choice::parse(options).map(drop)?)
    }

    fn create(&self, name: &str, options: &Options, dirs: &Dirs, _host: &Host) -> Result<VolumeInfo> {
        let mut choice = Choice::parse(options)?;
        choice.plugin = plugin_name(&choice, name, dirs)?;
        Ok(self.make(name, choice, dirs)?)
    }

    fn remove(&self, name: &str, dirs: &Dirs, _host: &Host) -> Result<()> {
        let records = Records(dirs);
        let plugin = self.plugin_of(&records.get(name)?)?;
        self.end_mount(name, dirs)?;
        match plugin.remove(name).map_err(gantry_plugin_api::Error::from) {
            // The plugin has lost it, or somebody was faster: then it is removed.
            Err(error) if error.class != gantry_plugin_api::Class::NOT_FOUND => Err(error),
            _ => Ok(records.remove(name)?),
        }
    }

    fn get(&self, name: &str, dirs: &Dirs) -> Result<VolumeInfo> {
        let record = Records(dirs).get(name)?;
        Ok(self.look(name, &record)?)
    }

    fn list(&self, dirs: &Dirs) -> Result<Vec<VolumeInfo>> {
        let records = Records(dirs);
        let names = records.names();
        let infos = names.into_iter().filter_map(|name| {
            let record = records.find(&name).ok().flatten()?;
            Some(info(
                &name,
                &record,
                Volume { mountpoint: records.mounted(&name).unwrap_or_default(), ..Volume::default() },
            ))
        });
        Ok(infos.collect())
    }

    fn mount(&self, name: &str, dirs: &Dirs, host: &Host) -> Result<VolumeMount> {
        let mountpoint = self.mount_once(name, dirs)?;
        host.count("mounts", 1);
        Ok(VolumeMount::Directory(mountpoint))
    }

    fn unmount(&self, name: &str, dirs: &Dirs, _host: &Host) -> Result<()> {
        Records(dirs).get(name)?;
        Ok(self.end_mount(name, dirs)?)
    }
}

/// The plugin's name: as given, or that under which the driver was installed, which is what its directory is called.
fn plugin_name(choice: &Choice, volume: &str, dirs: &Dirs) -> Result<String, Error> {
    if !choice.plugin.is_empty() {
        return Ok(choice.plugin.clone());
    }
    let own = dirs.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if own == OWN_NAME {
        return Err(Error::WhichPlugin(volume.to_owned()));
    }
    check_name(&own).map(|()| own)
}

impl Docker {
    fn plugin_of(&self, record: &Record) -> Result<Plugin<'_>, Error> {
        let choice = &record.choice;
        Plugin::find(&choice.plugin, &choice.address, choice.timeout(), &self.known)
    }

    fn make(&self, name: &str, choice: Choice, dirs: &Dirs) -> Result<VolumeInfo, Error> {
        let records = Records(dirs);
        let existing = records.find(name)?;
        if let Some(difference) = existing.as_ref().and_then(|record| difference(&record.choice, &choice)) {
            return Err(Error::Differs { name: name.to_owned(), difference });
        }
        let is_new = existing.is_none();
        let mut record = existing.unwrap_or_else(|| Record::new(choice));
        let plugin = self.plugin_of(&record)?;
        if is_new || plugin.get(name).is_err() {
            plugin.create(name, &record.choice.options)?;
            record.scope = plugin.scope()?;
            records.put(name, &record)?;
        }
        self.look(name, &record)
    }

    /// A volume whose plugin does not answer is told with that, so that others can be listed.
    fn look(&self, name: &str, record: &Record) -> Result<VolumeInfo, Error> {
        let mut brief = record.clone();
        brief.choice.timeout_ms = brief.choice.timeout_ms.min(GLANCE.as_millis() as u64);
        match self.plugin_of(&brief).and_then(|plugin| plugin.get(name)) {
            Ok(volume) => Ok(info(name, record, volume)),
            Err(error) if error.is_silence() => {
                let mut told = info(name, record, Volume::default());
                told.status.push(("error".to_owned(), gantry_plugin_api::Error::from(error).to_string()));
                Ok(told)
            }
            Err(error) => Err(error),
        }
    }

    /// Plugins may count their users: a volume is mounted once, however often the engine asks.
    fn mount_once(&self, name: &str, dirs: &Dirs) -> Result<String, Error> {
        let records = Records(dirs);
        let record = records.get(name)?;
        let plugin = self.plugin_of(&record)?;
        if let Some(noted) = records.mounted(name)
            && !noted.is_empty()
            && plugin.path(name)? == noted
            && Path::new(&noted).is_dir()
        {
            return Ok(noted);
        }
        records.note_mounted(name, "")?;
        let mountpoint = plugin.mount(name, &record.user)?;
        let place = Path::new(&mountpoint);
        if !place.is_absolute() || !place.is_dir() {
            let _ = plugin.unmount(name, &record.user);
            records.forget_mounted(name);
            return Err(Error::Mountpoint { plugin: record.choice.plugin, name: name.to_owned(), mountpoint });
        }
        records.note_mounted(name, &mountpoint)?;
        Ok(mountpoint)
    }

    fn end_mount(&self, name: &str, dirs: &Dirs) -> Result<(), Error> {
        let records = Records(dirs);
        if records.mounted(name).is_none() {
            return Ok(());
        }
        let record = records.get(name)?;
        self.plugin_of(&record)?.unmount(name, &record.user)?;
        records.forget_mounted(name);
        Ok(())
    }
}

fn difference(old: &Choice, new: &Choice) -> Option<String> {
    let shown = |choice: &Choice| {
        let own = [("plugin", &choice.plugin), ("plugin-address", &choice.address)];
        let own = own.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| format!("{key}={value}"));
        let others = choice.options.iter().map(|(key, value)| format!("{key}={value}"));
        own.chain(others).collect::<Vec<_>>().join(" ")
    };
    let (old, new) = (shown(old), shown(new));
    (old != new).then(|| format!("has [{old}], asked for [{new}]"))
}

fn info(name: &str, record: &Record, volume: Volume) -> VolumeInfo {
    let mut status = vec![
        ("plugin".to_owned(), record.choice.plugin.clone()),
        ("scope".to_owned(), if record.scope.is_empty() { "local".to_owned() } else { record.scope.clone() }),
    ];
    status.extend(volume.status.into_iter().map(|(key, value)| match value {
        serde_json::Value::String(text) => (key, text),
        other => (key, other.to_string()),
    }));
    VolumeInfo { name: name.to_owned(), mountpoint: volume.mountpoint, created_ns: record.created_ns, status }
}
