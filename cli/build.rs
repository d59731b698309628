//! Links the command at a fixed address: relocating 22,000 pointers at each start would cost more than parsing, reading
//! the configuration and finding the image together. Heap, stacks and libraries stay where the kernel puts them at
//! random.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
