//! Settings, usage and exit codes; the demo.

use crate::support::Site;
use crate::support::object::{EXPLICIT_BE, IMPLICIT_LE, Object, Value};

#[test]
fn unknown_settings_are_refused() {
    let site = Site::new();
    site.put("bad.toml", b"[ingest]\nreadres = 3\n");
    let ran = site.run(&["--config", "bad.toml", "import", "."]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("bad.toml") && ran.stderr.contains("readres"), "{}", ran.stderr);
    assert!(!site.data().exists());
    let ran = site.command(&["ls"]).env("CAIRN_INGEST__READRES", "3").output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("CAIRN_INGEST__READRES"));
    assert_eq!(site.run(&["--config", "no-such.toml", "ls"]).code, 2);
}

#[test]
fn settings_reach_the_store() {
    let site = Site::new();
    site.put_studies();
    site.put("data/cairn.toml", b"[store]\nurl = \"elsewhere\"\n[ingest]\ncompress = false\n");
    let plain = site.object(&["import", "in"]);
    assert!(plain["stored_bytes"].as_u64() > plain["new_bytes"].as_u64(), "{plain}");
    assert!(site.path("elsewhere/packs").is_dir());
    assert!(!site.data().join("bucket").exists());
    site.good(&["verify", "--all"]);
    // A flag wins over the file; what it names is not made by reading.
    let ran = site.run(&["--store", "third", "ls"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("there is no archive in third"), "{}", ran.stderr);
    assert!(!site.path("third").exists());
}

#[test]
fn wrong_usage_is_two() {
    let site = Site::new();
    let commands: [&[&str]; 9] = [
        &[],
        &["import"],
        &["import", "x", "--readers", "0"],
        &["export", "1.2"],
        &["export", "--all", "1.2", "out"],
        &["verify"],
        &["verify", "--all", "1.2"],
        &["show"],
        &["frobnicate"],
    ];
    for command in commands {
        assert_eq!(site.run(command).code, 2, "{command:?}");
    }
    assert_eq!(site.run(&["--help"]).code, 0);
    for command in [
        "import", "export", "ls", "show", "verify", "stats", "rebuild", "demo", "probe", "serve",
        "pull", "echo", "passcode",
    ] {
        let help = site.good(&[command, "--help"]).stdout;
        assert!(help.contains("Exit codes:") && help.contains("Examples:"), "{command}");
    }
}

#[test]
fn the_demo_holds() {
    let site = Site::new();
    let ran = site.good(&["demo", "--keep", "kept"]);
    assert!(ran.stdout.contains("Every step held"), "{}", ran.stdout);
    assert!(site.path("kept/data/catalog.sqlite").exists());
    assert!(!site.data().exists());
    assert_eq!(site.run(&["demo", "--keep", "kept"]).code, 2);

    site.put_studies();
    site.put("in/notes.txt", b"not an image");
    let story = site.object(&["demo", "in"]);
    assert_eq!(story["held"], true, "{story}");
    let steps = story["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 9);
    assert!(steps.iter().all(|step| step["held"] == true), "{story}");
}

/// DICOMweb carries neither Implicit VR nor big endian as they are stored, which is no loss.
#[test]
fn the_demo_holds_for_what_dicomweb_converts() {
    let site = Site::new();
    for (number, syntax) in [IMPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE].into_iter().enumerate() {
        let words = (0..64 * 64).map(|at| (at * (number + 3) % 4093) as u16).collect();
        let object = Object::new(syntax, &format!("1.2.3.4.{number}")).image(64, 64, 16, 1);
        let file = object.pixels(*b"OW", Value::Words(words)).file();
        site.put(&format!("in/{number}.dcm"), &file);
    }
    let story = site.object(&["demo", "in"]);
    assert_eq!(story["held"], true, "{story}");
    let viewer =
        story["referral"].as_array().unwrap().iter().find(|row| row["step"] == "B's viewer");
    assert_eq!(viewer.unwrap()["instances"], 3, "{story}");
}
