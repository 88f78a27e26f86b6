"""Debian's Orthanc as a peer: it receives, sends, asks and is asked.

Orthanc writes data sets anew, so they are compared element by element.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import time

import pydicom
import requests

from archive import Archive
from compare import differences
from dimse.by_dcmtk import outbox, tool
from dimse.by_pynetdicom import by_study, free_port, store
from dimse.data import sendable

START_SECONDS_MAX = 60


class Orthanc:
    """A running Orthanc that knows archives by their AE titles and ports."""

    def __init__(self, folder):
        self.folder, self.http, self.port = folder, free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http}"

    def __enter__(self):
        self.folder.mkdir(parents=True)
        config = {
            "Name": "peer", "StorageDirectory": str(self.folder / "data"), "IndexDirectory": str(self.folder / "data"),
            "HttpPort": self.http, "DicomPort": self.port, "DicomAet": "ORTHANC", "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True, "DicomAlwaysAllowMove": True, "UnknownSopClassAccepted": True,
            "DicomCheckModalityHost": False,
        }
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(config))
        log = open(self.folder / "orthanc.log", "wb")
        environment = {**os.environ, "TCP_NODELAY": "1"}
        self.process = subprocess.Popen(["Orthanc", str(path)], env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                self.get("/system")
                return self
            except requests.RequestException:
                time.sleep(0.1)
        raise RuntimeError("Orthanc does not come up")

    def __exit__(self, kind, error, trace):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def get(self, path):
        reply = requests.get(self.url + path, timeout=120)
        reply.raise_for_status()
        return reply

    def post(self, path, body):
        return requests.post(self.url + path, json=body, timeout=600)

    def knows(self, name, title, port):
        body = {"AET": title, "Host": "127.0.0.1", "Port": port, "Manufacturer": "Generic", "AllowTranscoding": False}
        requests.put(f"{self.url}/modalities/{name}", json=body, timeout=30).raise_for_status()

    def files(self):
        """Files by SOP Instance UID."""
        found = {}
        for instance in self.get("/instances?expand").json():
            sop = instance["MainDicomTags"].get("SOPInstanceUID", "").strip("\0 ")
            found[sop] = self.get(f"/instances/{instance['ID']}/file").content
        return found


def same_elements(section, one, other, what, where):
    read = lambda data: pydicom.dcmread(io.BytesIO(data), force=True)
    first, second = read(one), read(other)
    # Orthanc does not send padding behind a data set.
    padding = lambda tag: tag == 0xFFFCFFFC
    found = differences(first, second, skip=padding, big_endian=not first.original_encoding[1])
    section.hold(not found, what, f"{where}: {found[:3]}")


def echo_both(section, archive, orthanc):
    section.same(orthanc.post("/modalities/cairn/echo", {}).status_code, 200, "echoes from Orthanc", "")


def moved_to_orthanc(section, archive, orthanc, instances):
    """C-MOVE with Orthanc as the destination."""
    for study, _ in by_study(instances):
        keys = ["-S", "-aem", "ORTHANC", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
        tool("movescu", *keys, "127.0.0.1", archive.port)
    files = orthanc.files()
    for each in instances:
        if section.hold(each.sop in files, "objects that Orthanc takes", each.path):
            same_elements(section, each.data, files[each.sop], "objects equal in Orthanc", each.path)


def sent_by_orthanc(section, orthanc, other):
    """C-STORE from Orthanc into an empty archive."""
    orthanc.knows("other", "CAIRN", other.port)
    reply = orthanc.post("/modalities/other/store", orthanc.get("/instances").json())
    section.same(reply.status_code, 200, "stores from Orthanc", reply.text[:300])
    files = orthanc.files()
    kept = {}
    for path in other.export(other.folder / "kept"):
        kept[path.stem] = path.read_bytes()
    section.same(len(kept), len(files), "archives with everything of Orthanc", "count")
    for sop, data in files.items():
        if sop in kept:
            same_elements(section, data, kept[sop], "objects equal in the archive", sop)


def asked_by_orthanc(section, orthanc, instances):
    """C-FIND and C-MOVE from Orthanc, which is emptied before."""
    for patient in orthanc.get("/patients").json():
        requests.delete(f"{orthanc.url}/patients/{patient}", timeout=120)
    for study, members in by_study(instances):
        query = {"Level": "Study", "Query": {"StudyInstanceUID": study}}
        reply = orthanc.post("/modalities/cairn/query", query)
        if not section.same(reply.status_code, 200, "queries from Orthanc", reply.text[:200]):
            continue
        path = reply.json()["Path"]
        section.same(len(orthanc.get(f"{path}/answers").json()), 1, "answers to Orthanc", study)
        reply = orthanc.post(f"{path}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
        section.same(reply.status_code, 200, "retrievals by Orthanc", f"{members[0].path}: {reply.text[:200]}")
    found = len(orthanc.get("/instances").json())
    section.same(found, len(instances), "everything retrieved by Orthanc", "instances")


def pulled_from_orthanc(section, binary, orthanc, instances, scratch):
    """`cairn pull`: C-FIND and C-GET against Orthanc."""
    there = orthanc.files()
    studies = [study for study, members in by_study(instances) if any(each.sop in there for each in members)]
    pulled = Archive(binary, scratch / "pulled")
    pulled.folder.mkdir()
    source = f"ORTHANC@127.0.0.1:{orthanc.port}"
    code, printed, said = pulled.run("--json", "pull", "--from", source, *studies)
    for line in printed.splitlines():
        told = json.loads(line)
        good = told["instances"] and not told["failed"] and not told["status"]
        section.hold(good, "studies pulled from Orthanc", line)
    section.same(code, 0, "pulls", said[-300:])
    kept = {path.stem: path.read_bytes() for path in pulled.export(scratch / "pulled-files")}
    section.same(len(kept), len(there), "everything pulled from Orthanc", "instances")
    for sop, data in there.items():
        if sop in kept:
            same_elements(section, data, kept[sop], "objects equal after a pull", sop)


def run(tally, binary, corpus, scratch):
    if not shutil.which("Orthanc"):
        print("NOT TESTED: Orthanc is not installed")
        return
    # Orthanc reads with DCMTK.
    instances, left = outbox(scratch / "outbox", sendable(next(iter(corpus.rounds()))))
    print(f"orthanc: left out, as DCMTK does not understand them: {', '.join(map(str, left)) or 'none'}")
    with Orthanc(scratch / "orthanc") as orthanc:
        peers = f"ORTHANC@127.0.0.1:{orthanc.port}"
        with Archive(binary, scratch / "archive", peers=peers) as archive, Archive(binary, scratch / "other", peers=peers) as other:
            orthanc.knows("cairn", "CAIRN", archive.port)
            steps = {
                "filled by pynetdicom": lambda section: store(section, archive, instances),
                "echo": lambda section: echo_both(section, archive, orthanc),
                "moved to it": lambda section: moved_to_orthanc(section, archive, orthanc, instances),
                "sent by it": lambda section: sent_by_orthanc(section, orthanc, other),
                "asked by it": lambda section: asked_by_orthanc(section, orthanc, instances),
                "pulled from it": lambda section: pulled_from_orthanc(section, binary, orthanc, instances, scratch),
            }
            for name, step in steps.items():
                with tally.section(f"orthanc: {name}") as section:
                    step(section)
