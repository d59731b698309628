//! The helper process of isolated drivers by itself, for this crate's tests: in the engine it is the pump's program.

fn main() -> std::io::Result<()> {
    gantry_host::isolate::program()
}
