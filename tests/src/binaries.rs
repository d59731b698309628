//! Where the programs under test lie: `GANTRY_BIN_DIR`, or what cargo built beside this test.

use std::path::PathBuf;

/// The directory of the programs and plugins.
pub fn target_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("GANTRY_BIN_DIR") {
        return dir.into();
    }
    let own = std::env::current_exe().expect("a test knows its own path");
    let holds = |dir: &&std::path::Path| dir.join("gantry").is_file();
    own.ancestors().find(holds).map(PathBuf::from).unwrap_or_else(|| {
        panic!(
            "no gantry above {}: build the workspace first, as scripts/test does, or set GANTRY_BIN_DIR",
            own.display()
        )
    })
}

/// A program under test.
pub fn binary(name: &str) -> PathBuf {
    let path = target_dir().join(name);
    assert!(path.is_file(), "{} is missing: build the workspace first, as scripts/test does", path.display());
    path
}
