//! DCMTK's tools against the real binary, both ways. Where they are not installed nothing is tested,
//! and that is said.

use crate::support::Site;
use crate::support::dcmtk::{Storescp, good as run, installed};
use crate::support::dimse::parted;
use crate::support::ports::free_port;
use crate::support::server::Server;

fn study(file: &[u8]) -> String {
    let at = crate::support::multipart::find(file, b"\x20\0\x0D\0UI").unwrap();
    let text = &file[at + 8..at + 8 + usize::from(file[at + 6])];
    String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()
}

#[test]
fn dcmtk_sends_and_asks() {
    if !installed("echoscu") {
        return;
    }
    let site = Site::new();
    let paths = site.put_studies();
    let server = Server::start(&site, &[]);
    let (folder, port) = (site.folder.path(), server.dimse.port().to_string());
    let port = port.as_str();
    run("echoscu", &["-aec", "CAIRN", "127.0.0.1", port], folder);
    run("storescu", &["-aec", "CAIRN", "+sd", "+r", "127.0.0.1", port, "in"], folder);
    run("dcmsend", &["-aec", "CAIRN", "+sd", "+r", "127.0.0.1", port, "in"], folder);
    let stored = |outcome: &str| {
        server.metric(&format!("cairn_ingest_instances_total{{outcome=\"{outcome}\"}}"))
    };
    assert_eq!(stored("new"), paths.len() as u64);
    assert_eq!(stored("refused"), 0);
    let keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID", "-k", "PatientName"];
    let found = run("findscu", &[&["-S"][..], &keys[..], &["127.0.0.1", port]].concat(), folder);
    for path in &paths {
        let uid = study(&std::fs::read(path).unwrap());
        assert!(found.contains(&uid), "{found}");
    }
    // Back over C-GET: what came from storescu is what was sent, as DCMTK writes it.
    let uid = study(&std::fs::read(&paths[0]).unwrap());
    let got = site.path("got");
    std::fs::create_dir(&got).unwrap();
    let key = format!("StudyInstanceUID={uid}");
    let keys = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", key.as_str(), "-od", "got"];
    run("getscu", &[&keys[..], &["127.0.0.1", port]].concat(), folder);
    let same = paths.iter().filter(|path| study(&std::fs::read(path).unwrap()) == uid);
    assert_eq!(crate::support::files_under(&got).len(), same.count());
}

#[test]
fn dcmtk_receives_what_is_moved() {
    if !installed("echoscu") {
        return;
    }
    let site = Site::new();
    let paths = site.put_studies();
    site.good(&["import", "in"]);
    let ports = [free_port(), free_port()];
    let (plain, implicit) = (site.path("plain"), site.path("implicit"));
    let _any = Storescp::start(&["+xa", "-aet", "ANY"], ports[0], site.folder.path(), "plain");
    let _old = Storescp::start(&["+xi", "-aet", "OLD"], ports[1], site.folder.path(), "implicit");
    let peers = format!("ANY@127.0.0.1:{},OLD@127.0.0.1:{}", ports[0], ports[1]);
    let server = Server::start(&site, &[("DIMSE__PEERS", &peers)]);
    let port = server.dimse.port().to_string();
    let port = port.as_str();
    let mut studies: Vec<String> =
        paths.iter().map(|path| study(&std::fs::read(path).unwrap())).collect();
    studies.sort();
    studies.dedup();
    for (title, folder, syntax) in
        [("ANY", &plain, None), ("OLD", &implicit, Some("1.2.840.10008.1.2"))]
    {
        for uid in &studies {
            let key = format!("StudyInstanceUID={uid}");
            let keys = ["-S", "-aem", title, "-k", "QueryRetrieveLevel=STUDY", "-k", key.as_str()];
            run("movescu", &[&keys[..], &["127.0.0.1", port]].concat(), site.folder.path());
        }
        let files = crate::support::files_under(folder);
        assert_eq!(files.len(), paths.len());
        for file in files {
            let (_, _, of, _) = parted(&std::fs::read(&file).unwrap());
            assert!(syntax.is_none_or(|syntax| syntax == of), "{of}");
            run("dcmdump", &["-q", file.to_str().unwrap()], site.folder.path());
        }
    }
}
