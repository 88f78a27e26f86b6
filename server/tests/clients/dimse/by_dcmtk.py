"""DCMTK's programs as clients and as receivers.

DCMTK writes what it sends anew. What it sends to an archive is therefore compared with what it sends
to a receiver of its own that keeps each byte (`storescp +B`).
"""

import os
import shutil
import signal
import socket
import subprocess
import time

from archive import Archive
from dimse.by_pynetdicom import by_study, free_port
from dimse.data import digests, sendable

ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
START_SECONDS_MAX = 20


def tool(name, *arguments):
    """Runs a program; its exit code, and what it says."""
    command = [name, *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    return done.returncode, done.stdout + done.stderr


class Storescp:
    """A receiver that keeps what it gets in a folder, byte for byte."""

    def __init__(self, folder, *options):
        self.folder, self.options, self.port = folder, options, free_port()

    def __enter__(self):
        self.folder.mkdir(parents=True)
        command = ["storescp", "-aet", "STORESCP", "+B", "+uf", *self.options, "-od", self.folder, self.port]
        log = open(self.folder.with_suffix(".log"), "wb")
        self.process = subprocess.Popen([str(word) for word in command], env=ENVIRONMENT, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("storescp does not listen")

    def __exit__(self, kind, error, trace):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def files(self):
        return [path for path in self.folder.iterdir() if path.is_file()]


def outbox(folder, instances):
    """The files of instances that DCMTK understands, in a folder, and what it does not understand: what
    it finds no UIDs in, and where what it would say in a command is not what stands in the data set."""
    folder.mkdir(parents=True)
    taken, left = [], []
    for number, each in enumerate(instances):
        path = folder / f"{number:05}.dcm"
        path.write_bytes(each.data)
        _, said = tool("dcmdump", "-q", "-Un", "+P", "0002,0002", "+P", "0008,0016", "+P", "0008,0018", path)
        values = [line.partition("[")[2].partition("]")[0] for line in said.splitlines() if " UI [" in line]
        if values == [each.sop_class, each.sop_class, each.sop]:
            taken.append(each)
        else:
            left.append(each)
            path.unlink()
    return taken, left


def echo(section, archive):
    code, said = tool("echoscu", "-aec", "CAIRN", "127.0.0.1", archive.port)
    section.same(code, 0, "echoscu", said)


def send(section, archive, folder, scratch):
    """dcmsend to both; the archive keeps what the receiver keeps."""
    with Storescp(scratch / "sent", "+xa") as receiver:
        arguments = ["-v", "+sd", "+r", "-dn", "--no-halt"]
        code, said = tool("dcmsend", *arguments, "-aec", "STORESCP", "127.0.0.1", receiver.port, folder)
        wanted = digests(receiver.files())
    code, said = tool("dcmsend", *arguments, "-aec", "CAIRN", "127.0.0.1", archive.port, folder)
    section.hold(wanted, "receivers that got something", said[-300:])
    found = digests(archive.export(scratch / "kept"))
    missing = len(set(wanted) - set(found))
    section.hold(not missing, "archives that keep what a receiver keeps", f"{missing} data sets are other ones")
    section.count("data sets equal", len(set(wanted) & set(found)))
    more = len(found) - len(wanted)
    if more > 0:
        section.note(f"{more} more than storescp takes: it does not know their class")


def send_again(section, archive, folder):
    """storescu, each file alone: the same images once more, without a copy where bytes are the same."""
    code, said = tool("storescu", "-R", "-aec", "CAIRN", "+sd", "+r", "--no-halt", "127.0.0.1", archive.port, folder)
    section.same(code, 0, "storescu", said[-300:])


def find(section, archive, instances):
    keys = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID", "-k", "StudyInstanceUID"]
    code, said = tool("findscu", *keys, "127.0.0.1", archive.port)
    section.same(code, 0, "findscu", said[-300:])
    for study, _ in by_study(instances):
        section.hold(study in said, "studies found", study)
    for level in ("PATIENT", "STUDY", "SERIES", "IMAGE"):
        code, said = tool("findscu", "-P", "-k", f"QueryRetrieveLevel={level}", "-k", "PatientID", "127.0.0.1", archive.port)
        section.same(code, 0, "levels of the patient root", said[-300:])


def get(section, archive, instances, scratch):
    for number, (study, members) in enumerate(by_study(instances)):
        folder = scratch / f"got-{number}"
        folder.mkdir()
        arguments = ["-S", "+B", "-od", folder, "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
        code, said = tool("getscu", *arguments, "127.0.0.1", archive.port)
        got = list(folder.iterdir())
        section.same(code, 0, "getscu", f"{study}: {said[-300:]}")
        section.count("objects had by getscu", len(got))
        if len(got) != len(members):
            section.note(f"{len(members) - len(got)} of {len(members)} were not had: {members[0].path}")
        shutil.rmtree(folder)


def move(section, archive, receiver, instances):
    for study, members in by_study(instances):
        arguments = ["-S", "-aem", "STORESCP", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
        code, said = tool("movescu", *arguments, "127.0.0.1", archive.port)
        section.same(code, 0, "movescu", f"{study}: {said[-300:]}")
    code, said = tool("movescu", "-S", "-aem", "NOBODY", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}", "127.0.0.1", archive.port)
    section.hold(code != 0, "unknown destinations refused", said[-200:])
    found = len(receiver.files())
    section.hold(found >= len(instances), "receivers that got everything", f"{found} of {len(instances)}")


def run(tally, binary, corpus, scratch):
    if not shutil.which("storescu"):
        print("NOT TESTED: dcmtk is not installed")
        return
    members = next(iter(corpus.rounds()))
    instances, left = outbox(scratch / "outbox", sendable(members))
    print(f"dcmtk: left out, as it does not understand them: {', '.join(map(str, left)) or 'none'}")
    with Storescp(scratch / "moved", "+xa") as receiver:
        with Archive(binary, scratch / "archive", peers=f"STORESCP@127.0.0.1:{receiver.port}") as archive:
            steps = {
                "echo": lambda section: echo(section, archive),
                "send": lambda section: send(section, archive, scratch / "outbox", scratch),
                "send again": lambda section: send_again(section, archive, scratch / "outbox"),
                "find": lambda section: find(section, archive, instances),
                "get": lambda section: get(section, archive, instances, scratch),
                "move": lambda section: move(section, archive, receiver, instances),
            }
            for name, step in steps.items():
                with tally.section(f"dcmtk: {name}") as section:
                    step(section)
