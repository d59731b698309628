//! How our programs are linked: what every start of a program pays for again is paid here once.
//!
//! Each shared library that a program needs costs its start a tenth of a millisecond and its memory some private pages.
//! rustc names the libraries to the linker without a word on how; a directory of linker scripts by the same names,
//! searched first, turns the names into static archives.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// True with glibc and its usual tools, which is what this file knows.
pub fn is_gnu() -> bool {
    env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu")
}

/// Positions are fixed: a program that is relocated dirties a page for every page of pointers it has. Heap, stacks and
/// libraries stay where the kernel puts them at random.
pub fn fixed_address() {
    println!("cargo:rustc-link-arg-bins=-no-pie");
}

/// Links the unwinder of the compiler into a program.
pub fn unwinder_inside(program: &str) {
    if archive("libgcc_eh.a").is_none() {
        return;
    }
    let dir = scripts("unwinder", &[("libgcc_s.so", "GROUP ( -lgcc_eh -lgcc )")]);
    println!("cargo:rustc-link-arg-bin={program}=-L{}", dir.display());
}

/// Links a program that opens no library without any.
pub fn all_inside(program: &str) {
    let Some(libc) = archive("libc.a") else { return unwinder_inside(program) };
    let libc = format!("INPUT ( {} )", libc.display());
    let nothing = "INPUT ( -lc )";
    let texts = [
        ("libgcc_s.so", "GROUP ( -lgcc_eh -lgcc -lc )"),
        ("libc.so", libc.as_str()),
        ("libm.so", "INPUT ( -l:libm.a )"),
        ("libdl.so", nothing),
        ("librt.so", nothing),
        ("libpthread.so", nothing),
        ("libutil.so", nothing),
    ];
    let dir = scripts(program, &texts);
    println!("cargo:rustc-link-arg-bin={program}=-L{}", dir.display());
    println!("cargo:rustc-link-arg-bin={program}=-static");
}

fn scripts(name: &str, texts: &[(&str, &str)]) -> PathBuf {
    let dir = Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(name);
    fs::create_dir_all(&dir).expect("OUT_DIR is ours to write");
    for (name, text) in texts {
        fs::write(dir.join(name), text).expect("OUT_DIR is ours to write");
    }
    dir
}

/// Where the C compiler, which links for rustc, finds an archive; it answers the bare name when it does not.
fn archive(name: &str) -> Option<PathBuf> {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let answer = Command::new(linker).arg(format!("-print-file-name={name}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim());
    path.is_absolute().then_some(path)
}
