//! The program as `make bench` runs it, with the floor, which needs no other build or installation.

use std::process::Command;

#[test]
fn floor_makes_every_round_trip_and_delivers_each_event_once() -> std::io::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_genesys-bench"))
        .args(["--who", "floor", "--records", "2", "--upstream-ms", "0"])
        .args(["--quick", "--speed-only"])
        .output()?;
    let tables = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tables}{said}");
    let row = tables.lines().find(|line| line.starts_with("| floor"));
    let cells: Vec<&str> = row.unwrap_or_default().split('|').map(str::trim).collect();
    let calls_and_ends = cells.get(9..13);
    let expected = ["1 GET, 2 PATCH, 1 delivery, 3 table", "0", "0", "0"];
    assert_eq!(calls_and_ends, Some(&expected[..]), "{tables}");
    Ok(())
}
