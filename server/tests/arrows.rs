//! A crate uses only the crates to its left: chunker, dicom, store, ledger, server. `bench` may use all.
#![allow(clippy::unwrap_used)]

use std::process::Command;

const ORDER: [&str; 6] =
    ["cairn-chunker", "cairn-dicom", "cairn-store", "cairn-ledger", "cairn-server", "cairn-bench"];

#[test]
fn arrows_point_left() {
    let asked = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), ORDER.len(), "a new crate wants its place in the order");
    for package in packages {
        let place = |name: &serde_json::Value| ORDER.iter().position(|known| name == known);
        let own = place(&package["name"]).unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            if let Some(other) = place(&dependency["name"]) {
                assert!(other < own, "{} must not use {}", package["name"], dependency["name"]);
            }
        }
    }
}
