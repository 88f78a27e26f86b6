//! Looking and taking out: listing, showing, exporting, proving, verifying, rebuilding.

use crate::support::{Site, dicom, files_under};

#[test]
fn nothing_is_made_where_there_is_no_archive() {
    let site = Site::new();
    let commands: [&[&str]; 7] = [
        &["ls"],
        &["show", "1.2"],
        &["stats"],
        &["verify", "--all"],
        &["verify", "1.2"],
        &["export", "--all", "out"],
        &["rebuild"],
    ];
    for command in commands {
        let ran = site.run(command);
        assert_eq!(ran.code, 1, "{command:?}");
        assert!(ran.stderr.contains("there is no archive in"), "{command:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty());
    }
    assert_eq!(std::fs::read_dir(site.folder.path()).unwrap().count(), 0);
}

#[test]
fn json_has_the_documented_fields() {
    let site = Site::new();
    site.put_studies();
    site.good(&["import", "in"]);
    let studies = site.list(&["ls"]);
    assert_eq!(studies.len(), 1);
    let study = &studies[0];
    for field in ["study_uid", "patient_name", "patient_id", "study_date", "modalities", "series"] {
        assert!(!study[field].is_null(), "{field}");
    }
    assert_eq!(study["instances"], 6);
    let uid = study["study_uid"].as_str().unwrap();

    let shown = site.object(&["show", uid, "-v"]);
    assert_eq!(shown["root"], shown["record"]["root"]);
    assert_eq!(shown["instance_list"].as_array().unwrap().len(), 6);
    let sop = shown["instance_list"][0]["sop_instance_uid"].as_str().unwrap();
    let instance = site.object(&["show", sop, "-v"]);
    let version = &instance["versions"][0];
    assert_eq!(version["outcome"], "new");
    let chunks = version["chunk_list"].as_array().unwrap();
    let bytes: u64 = chunks.iter().map(|chunk| chunk["bytes"].as_u64().unwrap()).sum();
    assert_eq!(version["dataset_bytes"], bytes);

    let stats = site.object(&["stats"]);
    assert_eq!((stats["studies"].as_u64(), stats["versions"].as_u64()), (Some(1), Some(6)));
    let parts =
        ["catalog_bytes", "journal_bytes", "bucket_bytes"].map(|f| stats[f].as_u64().unwrap());
    assert_eq!(stats["on_disk_bytes"], parts.iter().sum::<u64>());
    let report = site.object(&["verify", uid]);
    assert_eq!(
        (report["instances"].as_u64(), report["findings"].as_array().unwrap().len()),
        (Some(6), 0)
    );
    for text in [&["ls"][..], &["show", uid], &["show", sop, "-v"], &["stats"]] {
        assert!(!site.good(text).stdout.is_empty());
    }
    assert_eq!(site.run(&["show", "9.9"]).code, 1);
    assert_eq!(site.run(&["verify", "9.9"]).code, 1);
    assert_eq!(site.run(&["export", "9.9", "out"]).code, 1);
    assert!(!site.path("out").exists());
}

#[test]
fn a_proof_is_checked_without_an_archive() {
    let site = Site::new();
    let sources = site.put_studies();
    site.good(&["import", "in"]);
    let study = site.list(&["ls"])[0]["study_uid"].as_str().unwrap().to_owned();
    let shown = site.object(&["show", &study, "-v"]);
    let root = shown["root"].as_str().unwrap();
    let sop = shown["instance_list"][0]["sop_instance_uid"].as_str().unwrap();
    site.good(&["export", &study, "out"]);
    let dicom = format!("out/{sop}.dcm");
    let written = site.object(&["show", &study, "--proof", sop]);
    assert_eq!(written["root"], root);
    let proof = format!("{sop}.proof");
    assert_eq!(written["file"], proof.as_str());

    // Offline: with no data directory, and none is made.
    std::fs::rename(site.data(), site.path("elsewhere")).unwrap();
    let checked = site.object(&["verify", "--proof", &proof, "--root", root, "--dataset", &dicom]);
    for field in ["valid", "proof_holds", "root_matches", "dataset_matches"] {
        assert_eq!(checked[field], true, "{field}");
    }
    assert!(!site.data().exists());

    let zeros = "0".repeat(64);
    let ran = site.run(&["verify", "--proof", &proof, "--root", &zeros]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("another root"), "{}", ran.stdout);
    let other = sources
        .iter()
        .find(|path| std::fs::read(path).unwrap() != std::fs::read(site.path(&dicom)).unwrap());
    let ran =
        site.run(&["verify", "--proof", &proof, "--dataset", other.unwrap().to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("another data set"), "{}", ran.stdout);

    let good = std::fs::read(site.path(&proof)).unwrap();
    for at in [0, 20, good.len() / 2, good.len() - 1] {
        let mut altered = good.clone();
        altered[at] ^= 1;
        site.put("altered.proof", &altered);
        assert_eq!(site.run(&["verify", "--proof", "altered.proof", "--root", root]).code, 1);
    }
    assert_eq!(site.run(&["verify", "--proof", "no-such.proof"]).code, 1);
    assert_eq!(site.run(&["verify", "--proof", &proof, "--root", "12"]).code, 2);
}

#[test]
fn hostile_uids_stay_in_the_folder() {
    let site = Site::new();
    let uids = ["../../../tmp/cairn-evil", "/etc/passwd", "..", "a/b", "1.2 3", "con", "%2E%2E"];
    for (i, uid) in uids.iter().enumerate() {
        let bytes = dicom("../study", "1.2.3", uid, "Evil", &[i as u8; 40]);
        site.put(&format!("in/{i}.dcm"), &bytes);
    }
    let summary = site.object(&["import", "in"]);
    assert_eq!(summary["archived"], uids.len() as u64);
    site.good(&["export", "--all", "deep/er/out"]);
    let files = files_under(&site.path("deep"));
    assert_eq!(files.len(), uids.len());
    for file in &files {
        assert_eq!(
            file.parent().unwrap(),
            site.path("deep/er/out/%2E.%2Fstudy"),
            "{}",
            file.display()
        );
    }
    let sources: Vec<_> = (0..uids.len()).map(|i| site.path(&format!("in/{i}.dcm"))).collect();
    crate::support::assert_all_there(&sources, &site.path("deep"));
    site.good(&["show", "../study", "--proof", ".."]);
    assert!(site.path("%2E..proof").exists());
}

#[test]
fn one_uid_in_two_series_gives_two_files() {
    let site = Site::new();
    let a = site.put("in/a.dcm", &dicom("1.2", "1.2.3", "1.2.3.4", "A", b"ab"));
    let b = site.put("in/b.dcm", &dicom("1.2", "1.2.9", "1.2.3.4", "A", b"cd"));
    site.good(&["import", "in"]);
    site.good(&["export", "1.2", "out"]);
    assert_eq!(std::fs::read(site.path("out/1.2.3.4.dcm")).unwrap(), std::fs::read(a).unwrap());
    assert_eq!(
        std::fs::read(site.path("out/1.2.9_1.2.3.4.dcm")).unwrap(),
        std::fs::read(b).unwrap()
    );
}

#[test]
fn export_does_not_overwrite_other_content() {
    let site = Site::new();
    site.put("a.dcm", &dicom("1.2", "1.2.3", "1.2.3.4", "A", b"ab"));
    site.good(&["import", "a.dcm"]);
    site.put("out/1.2.3.4.dcm", b"something else");
    let ran = site.run(&["export", "1.2", "out"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("--force"), "{}", ran.stdout);
    assert_eq!(std::fs::read(site.path("out/1.2.3.4.dcm")).unwrap(), b"something else");
    site.good(&["export", "1.2", "out", "--force"]);
    let again = site.object(&["export", "1.2", "out"]);
    assert_eq!((again["files"].as_u64(), again["already_there"].as_u64()), (Some(1), Some(1)));
    assert_eq!(files_under(&site.path("out")).len(), 1);
}

#[test]
fn damage_is_named_and_nothing_else_is_lost() {
    let site = Site::new();
    let sources = site.put_studies();
    site.good(&["import", "in"]);
    let pack = site.packs().remove(0);
    let mut bytes = std::fs::read(&pack).unwrap();
    let offset = bytes.len() / 3;
    bytes[offset] ^= 4;
    std::fs::write(&pack, &bytes).unwrap();

    let ran = site.run(&["--json", "verify", "--all"]);
    assert_eq!(ran.code, 1);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let finding = &report["findings"][0];
    assert_eq!(finding["pack"], pack.file_stem().unwrap().to_str().unwrap());
    assert!(finding["offset"].as_u64().unwrap() <= offset as u64);
    let sop = finding["sop_instance_uid"].as_str().unwrap();
    let study = finding["study_uid"].as_str().unwrap();

    let ran = site.run(&["export", study, "out"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains(&format!("instance {sop}: ")), "{}", ran.stdout);
    assert!(!site.path(&format!("out/{sop}.dcm")).exists());
    assert_eq!(
        files_under(&site.path("out")).len(),
        sources.len() - report["findings"].as_array().unwrap().len()
    );
}

#[test]
fn the_catalog_comes_back_from_packs() {
    let site = Site::new();
    site.put_studies();
    let roots = site.object(&["import", "in"])["studies"].clone();
    let study = roots[0]["study_uid"].as_str().unwrap();
    for file in files_under(&site.data()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("catalog.sqlite") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let ran = site.run(&["ls"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("cairn rebuild"), "{}", ran.stderr);
    let report = site.object(&["rebuild"]);
    assert_eq!((report["versions"].as_u64(), report["studies"].as_u64()), (Some(6), Some(1)));
    assert_eq!(site.object(&["show", study])["root"], roots[0]["root"]);
    site.good(&["rebuild"]);
    assert!(site.data().join("catalog.sqlite.before-rebuild").exists());
    site.good(&["verify", "--all"]);
}
