//! `cairn gc` against the real binary: beside a server, and alone.

use crate::support::server::{PARTS, Server, client, parts};
use crate::support::{Site, dicom};

fn files() -> Vec<Vec<u8>> {
    let noise = |seed: u8| -> Vec<u8> {
        let mut bytes = vec![0; 200_000];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    };
    let mut files = Vec::new();
    for study in 1..=3u8 {
        for instance in 1..=4u8 {
            let [uid, series] = [format!("1.2.{study}"), format!("1.2.{study}.1")];
            let sop = format!("1.2.{study}.1.{instance}");
            let pixels = noise(study * 16 + instance);
            files.push(dicom(&uid, &series, &sop, "GONE^WITH IT", &pixels));
        }
    }
    files
}

fn bucket_bytes(site: &Site) -> u64 {
    site.object(&["stats"])["bucket_bytes"].as_u64().unwrap()
}

#[test]
fn a_server_collects_when_it_is_asked() {
    let site = Site::new();
    let files = files();
    let mut server = Server::start(&site, &[]);
    let body = parts(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let sent = client().post(server.studies()).header("content-type", PARTS).body(body).send();
    assert_eq!(sent.unwrap().status(), 200);
    // Its end seals the pack.
    assert_eq!(server.terminate(), 0);
    let before = bucket_bytes(&site);

    let mut server = Server::start(&site, &[]);
    let url = |path: &str| format!("{}{path}", server.studies());
    let status = |path: &str| client().get(url(path)).send().unwrap().status().as_u16();
    let idle = site.object(&["gc"]);
    assert_eq!((&idle["idle"], &idle["packs_removed"]), (&true.into(), &0.into()));
    assert_eq!(client().delete(url("/1.2.2")).send().unwrap().status(), 204);
    let told = site.object(&["gc", "--dry-run", "--dead", "0"]);
    assert_eq!((&told["packs_removed"], &told["dry_run"]), (&1.into(), &true.into()));
    assert_eq!(bucket_bytes(&site), before);
    let done = site.object(&["gc"]);
    // And the pack of the deletion itself, which was open.
    assert_eq!(done["packs_removed"], 2, "{done}");
    assert_eq!(done["versions"], 8);
    let freed = done["freed_bytes"].as_u64().unwrap();
    assert!(freed > 800_000, "{done}");
    let now = bucket_bytes(&site);
    assert!((before - freed..before - freed + 5000).contains(&now), "{now} of {before}: {done}");
    assert_eq!([status("/1.2.1"), status("/1.2.2"), status("/1.2.3")], [200, 410, 200]);
    assert_eq!(server.metric("cairn_collection_freed_bytes_total "), freed);
    assert_eq!(server.metric("cairn_collections_total{result=\"done\"} "), 1);
    assert_eq!(server.metric("cairn_collections_total{result=\"idle\"} "), 1);
    site.good(&["verify", "--all"]);
    assert!(!server.log().contains("GONE"), "{}", server.log());
    assert_eq!(server.terminate(), 0);

    // Alone, and it says what it did.
    let said = site.good(&["gc", "--all"]);
    assert!(said.stdout.contains("0 chunks"), "{}", said.stdout);
    let said = site.good(&["gc"]);
    assert!(said.stdout.contains("Nothing was deleted"), "{}", said.stdout);
    site.good(&["rebuild"]);
    let mut server = Server::start(&site, &[]);
    let of = |path: &str| client().get(format!("{}{path}", server.studies())).send().unwrap();
    assert_eq!([of("/1.2.1").status(), of("/1.2.2").status()], [200, 410]);
    assert_eq!(of("/1.2.2/series/1.2.2.1/instances/1.2.2.1.1").status(), 410);
    assert_eq!(server.terminate(), 0);
}

/// An archive that took things in for speed is made small when there is time.
#[test]
fn what_was_coded_for_speed() {
    let site = Site::new();
    for file in cairn_dicom::phantom::ct(1, 8, 256) {
        site.put(&format!("objects/{}", file.name), &file.bytes);
    }
    let objects = site.path("objects").display().to_string();
    site.put("data/cairn.toml", b"[ingest]\ncompression = \"turbo\"\n");
    site.good(&["import", &objects]);
    let fast = bucket_bytes(&site);
    let done = site.object(&["gc", "--recompress"]);
    assert_eq!(done["recoded_chunks"], 8, "{done}");
    let small = bucket_bytes(&site);
    assert!(small < fast / 100 * 92, "{small} of {fast}");
    site.good(&["verify", "--all"]);
    let again = site.object(&["gc", "--recompress"]);
    assert_eq!((&again["recoded_chunks"], &again["packs_removed"]), (&0.into(), &0.into()));
}

#[test]
fn settings_that_cannot_be() {
    let site = Site::new();
    let ran = site.run(&["gc", "--dead", "101"]);
    assert_eq!(ran.code, 2);
    site.put("data/cairn.toml", b"[gc]\ndead_percent = 101\n");
    let ran = site.run(&["gc"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("gc.dead_percent"), "{}", ran.stderr);
}
