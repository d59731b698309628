//! Loads or imports an archive into a directory and says how long it took: `unpack load|import ARCHIVE DIR`.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use gantry_image::{BoxError, ImageStore, ImportRequest, LayerSink, LayerTarget, UnpackOptions, Whiteouts};

struct Plain(PathBuf);

impl LayerSink for Plain {
    fn depends_on_parent(&self) -> bool {
        false
    }

    fn begin(&self, layer: &str, _: Option<&str>) -> Result<LayerTarget, BoxError> {
        let path = self.0.join(layer);
        fs::create_dir_all(&path)?;
        Ok(LayerTarget { path, whiteouts: Whiteouts::OverlayTrusted })
    }

    fn commit(&self, _: &str) -> Result<(), BoxError> {
        Ok(())
    }

    fn abort(&self, layer: &str) {
        let _ = fs::remove_dir_all(self.0.join(layer));
    }

    fn exists(&self, layer: &str) -> bool {
        self.0.join(layer).exists()
    }

    fn dir(&self, layer: &str) -> Option<PathBuf> {
        Some(self.0.join(layer))
    }
}

fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, verb, archive, dir] = arguments.as_slice() else {
        return Err("usage: unpack load|import ARCHIVE DIR".into());
    };
    let store = ImageStore::open(dir.as_ref());
    let sink = Plain(PathBuf::from(dir).join("layers-of-test"));
    let options = UnpackOptions::new("plain", &sink);
    let start = Instant::now();
    if verb == "import" {
        let request = ImportRequest { origin: archive.clone(), ..ImportRequest::default() };
        println!("{}", store.import(fs::File::open(archive)?, &request, &options)?.id);
    } else {
        store.load(archive.as_ref(), &options)?.iter().for_each(|loaded| println!("{loaded}"));
    }
    println!("{:.3} s", start.elapsed().as_secs_f64());
    Ok(())
}
