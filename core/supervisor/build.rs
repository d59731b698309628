//! Links the two programs at a fixed address: a position-independent one dirties a page for every page of pointers it
//! has, which costs each container some 100 KiB. Heap, stacks and libraries stay where the kernel puts them at random.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
