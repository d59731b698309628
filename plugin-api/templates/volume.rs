//! A volume driver: a volume is a directory, with a file beside its data that tells its colour.

use gantry_plugin_api::prelude::*;
use std::fs;
use std::path::PathBuf;

#[derive(Default)]
struct Driver;

/// Everything of a volume lies below `<root>/<name>`.
fn place(name: &str, dirs: &Dirs) -> PathBuf {
    dirs.root.join(name)
}

fn info(name: &str, dirs: &Dirs) -> Result<VolumeInfo> {
    let place = place(name, dirs);
    let Ok(colour) = fs::read_to_string(place.join("colour")) else {
        return Err(Error::new(Class::NOT_FOUND, format!("no such volume: {name}")));
    };
    let mountpoint = place.join("data").display().to_string();
    Ok(VolumeInfo { name: name.into(), mountpoint, created_ns: 0, status: vec![("colour".into(), colour)] })
}

impl VolumeDriver for Driver {
    const OPTIONS: &'static [OptionSpec] = &[OptionSpec::string("colour", "of the volume").default("grey")];

    fn capabilities(&self) -> VolumeCapabilities {
        VolumeCapabilities::default()
    }

    /// The same again is no error, another colour is. The file with the colour comes last: it makes the volume.
    fn create(&self, name: &str, options: &Options, dirs: &Dirs, _: &Host) -> Result<VolumeInfo> {
        let (place, wanted) = (place(name, dirs), options.text("colour"));
        if let Ok(colour) = fs::read_to_string(place.join("colour"))
            && colour != wanted
        {
            return Err(Error::new(Class::EXISTS, format!("volume {name} is {colour}, not {wanted}")));
        }
        fs::create_dir_all(place.join("data"))?;
        // Whoever is killed here leaves no half of the file.
        fs::write(place.join("colour.new"), wanted)?;
        fs::rename(place.join("colour.new"), place.join("colour"))?;
        info(name, dirs)
    }

    fn remove(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<()> {
        info(name, dirs)?;
        // Gone at once, whatever happens while its files are deleted. A killed process may have left an older one.
        let gone = dirs.root.join(format!(".{name}"));
        let _ = fs::remove_dir_all(&gone);
        fs::rename(place(name, dirs), &gone)?;
        Ok(fs::remove_dir_all(gone)?)
    }

    fn get(&self, name: &str, dirs: &Dirs) -> Result<VolumeInfo> {
        info(name, dirs)
    }

    fn list(&self, dirs: &Dirs) -> Result<Vec<VolumeInfo>> {
        let names = fs::read_dir(&dirs.root)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter_map(|name| info(&name, dirs).ok()).collect())
    }

    /// A directory of the host, which the engine binds. `VolumeMount::FileSystem` is for what has to be mounted first.
    fn mount(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<VolumeMount> {
        Ok(VolumeMount::Directory(info(name, dirs)?.mountpoint))
    }

    fn unmount(&self, _: &str, _: &Dirs, _: &Host) -> Result<()> {
        Ok(())
    }
}

gantry_plugin_api::export_plugin! { name: "@name@", license: "MIT", volume: Driver }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        let red = Options::from_pairs([("colour", "red")]);
        gantry_plugin_testkit::volume::suite_with(Driver::default, &Options::default(), Some(&red));
    }
}
