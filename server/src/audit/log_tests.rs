//! A log that is written, closed, killed, tampered with, and read back.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::audit::chain::Broken;
use crate::audit::reading::{Found, files, walk};

fn event(who: &str) -> Event {
    Event { face: Face::Http, op: "frames".into(), who: who.into(), ok: true, ..Event::default() }
}

fn found(folder: &Path) -> (Found, Vec<String>) {
    let mut seen = Vec::new();
    let found = walk(folder, &mut |line, _| {
        seen.push(format!("{}{}", line.event.op, line.event.who));
        Ok(())
    });
    (found.unwrap(), seen)
}

fn written(names: &[&str], file_bytes_max: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), file_bytes_max).unwrap();
    for name in names {
        log.tell(event(name)).unwrap();
    }
    let head = log.head();
    drop(log);
    let (found, _) = found(folder.path());
    // One more: that it was closed.
    assert_eq!((found.head.lines, found.faults.len()), (head.lines + 1, 0));
    folder
}

fn only_file(folder: &Path) -> PathBuf {
    let mut files = files(folder).unwrap();
    assert_eq!(files.len(), 1);
    files.remove(0).path
}

/// Changes the lines of the only file, and says what is found then.
fn tampered(change: impl FnOnce(&mut Vec<String>)) -> (Found, tempfile::TempDir) {
    let folder = written(&["a", "b", "c"], 1 << 20);
    let path = only_file(folder.path());
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    change(&mut lines);
    std::fs::write(&path, lines.concat()).unwrap();
    (found(folder.path()).0, folder)
}

#[test]
fn a_log_goes_on_where_it_was() {
    let folder = written(&["a", "b"], 1 << 20);
    let log = Log::open(folder.path(), 1 << 20).unwrap();
    log.tell(event("c")).unwrap();
    drop(log);
    let (found, seen) = found(folder.path());
    assert_eq!(found.faults, []);
    let expected = ["begin", "open", "framesa", "framesb", "close", "open", "framesc", "close"];
    assert_eq!(seen, expected);
    assert_eq!(only_file(folder.path()).file_name().unwrap(), "000000000000.jsonl");
}

#[test]
fn files_follow_each_other_and_old_ones_may_be_taken_away() {
    let names: Vec<String> = (0..40).map(|n| format!("user-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let folder = written(&names, 1000);
    let all = files(folder.path()).unwrap();
    assert!(all.len() > 5);
    std::fs::remove_file(&all[0].path).unwrap();
    let (rest, _) = found(folder.path());
    assert_eq!((rest.first, rest.faults.len()), (all[1].first, 0));
    // Not one from the middle.
    std::fs::remove_file(&all[3].path).unwrap();
    let (hole, _) = found(folder.path());
    assert_eq!(hole.faults[0].what, Broken::Number);
    assert_eq!(hole.faults[0].path, all[4].path);
}

#[test]
fn a_changed_removed_or_moved_line_is_found() {
    let whole = written(&["a", "b", "c"], 1 << 20);
    assert_eq!(found(whole.path()).0.head.lines, 6);
    let (found, _folder) =
        tampered(|lines| lines[2] = lines[2].replace("\"who\":\"a\"", "\"who\":\"x\""));
    assert_eq!((found.faults.len(), found.faults[0].line), (1, 3));
    assert_eq!(found.faults[0].what, Broken::Hash);
    let (found, _folder) = tampered(|lines| drop(lines.remove(3)));
    assert_eq!((found.faults[0].line, found.faults[0].what), (4, Broken::Number));
    let (found, _folder) = tampered(|lines| lines.swap(2, 3));
    assert!(found.faults.len() >= 2);
    let (found, _folder) = tampered(|lines| {
        let again = lines[2].clone();
        lines.insert(3, again);
    });
    assert_eq!(found.faults[0].what, Broken::Number);
    let (found, _folder) = tampered(|lines| lines[1] = "nothing\n".into());
    assert_eq!((found.faults[0].line, found.faults[0].what), (2, Broken::Shape));
    // The very last line too: each has its own hash.
    let (found, folder) = tampered(|lines| lines[5] = lines[5].replace("close", "other"));
    assert_eq!((found.faults.len(), found.faults[0].line), (1, 6));
    // It is gone on with in a file of its own, and the fault stays where it is.
    Log::open(folder.path(), 1 << 20).unwrap().tell(event("d")).unwrap();
    let (after, seen) = super::tests::found(folder.path());
    assert_eq!(after.faults, found.faults);
    assert!(seen.contains(&"framesd".to_owned()) && files(folder.path()).unwrap().len() == 2);
}

#[test]
fn a_line_that_was_not_finished_is_no_tampering() {
    for keep in [1, 40, 200] {
        let folder = written(&["a", "b"], 1 << 20);
        let path = only_file(folder.path());
        let bytes = std::fs::read(&path).unwrap();
        let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        std::fs::write(&path, &bytes[..(last + keep).min(bytes.len() - 1)]).unwrap();
        let (torn, _) = found(folder.path());
        assert_eq!(torn.faults, []);
        assert!(torn.torn_bytes > 0);
        drop(Log::open(folder.path(), 1 << 20).unwrap());
        let (after, seen) = found(folder.path());
        assert_eq!((after.torn_bytes, after.faults.len()), (0, 0));
        assert_eq!(seen[4..], ["open", "close"]);
        // It is kept beside the log and its lock.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }
    // A file that got its name and not its first line.
    let folder = written(&["a"], 1 << 20);
    std::fs::write(folder.path().join("000000000009.jsonl"), b"{\"n\":").unwrap();
    drop(Log::open(folder.path(), 1 << 20).unwrap());
    assert_eq!(found(folder.path()).0.faults, []);
}

#[test]
fn commands_and_servers_make_one_chain_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    Log::append(folder.path(), event("a")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let folder = folder.path();
            scope.spawn(move || Log::append(folder, event(&thread.to_string())).unwrap());
        }
    });
    let log = Log::open(folder.path(), 1 << 20).unwrap();
    log.tell(event("b")).unwrap();
    // As long as one has it open nobody else writes.
    let held = folder.path().join("lock");
    assert!(std::fs::File::open(held).unwrap().try_lock().is_err());
    drop(log);
    Log::append(folder.path(), event("c")).unwrap();
    let (found, seen) = found(folder.path());
    assert_eq!(found.faults, []);
    assert_eq!(seen.iter().filter(|line| line.starts_with("frames")).count(), 7);
}

#[test]
fn many_threads_make_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), 20_000).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for n in 0..250 {
                    log.tell(event(&format!("{thread}-{n}"))).unwrap();
                }
            });
        }
    });
    drop(log);
    let (found, seen) = found(folder.path());
    assert_eq!(found.faults, []);
    assert_eq!(seen.iter().filter(|line| line.starts_with("frames")).count(), 1000);
}
