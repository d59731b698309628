//! Links the command at a fixed address: relocating 22,000 pointers at each start would cost more than parsing, reading
//! the configuration and finding the image together.

#[path = "../build/link.rs"]
#[allow(dead_code, reason = "the supervisor's programs use the rest")]
mod link;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../build/link.rs");
    if link::is_gnu() {
        link::fixed_address();
        link::unwinder_inside("gantry");
    }
}
