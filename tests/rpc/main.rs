//! `offhook rpc`, driven over stdin and stdout by a program in another language (`drive.py`, which
//! needs nothing but Python 3), against a server of its own: every method, every event. And the same conversation as bindings open it (`opening`).

mod opening;

use std::path::Path;
use std::process::Command;

#[test]
fn a_program_in_another_language_can_drive_everything() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rpc/drive.py");
    let output = Command::new("python3")
        .arg("-B")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_offhook"))
        .output()
        .expect("this test needs python3 on the PATH; install it (no packages are needed)");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}
