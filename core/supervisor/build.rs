//! The keeper opens no library and is in memory as often as there are containers, so it is linked without any; the pump
//! opens the log drivers.

#[path = "../../build/link.rs"]
mod link;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../../build/link.rs");
    if link::is_gnu() {
        link::fixed_address();
        link::all_inside("gantry-keeper");
        link::unwinder_inside("gantry-pump");
    }
}
