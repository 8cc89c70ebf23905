//! Has the linker leave to Node.js what is Node.js's.

fn main() {
    napi_build::setup();
}
