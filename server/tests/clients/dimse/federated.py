"""One search over several sites, by DCMTK and by dicomweb-client: one site that grants, one that is slow,
one that is gone. What is found elsewhere is fetched when it is retrieved."""

import json
import shutil
import signal
import time

from archive import Archive
from client import STORED, Client
from dimse.by_dcmtk import Storescp, outbox, tool
from dimse.by_pynetdicom import by_study, free_port
from dimse.data import digests, sendable

FOLLOWED_SECONDS_MAX = 30
ANSWERED_SECONDS_MAX = 8
SOURCES = "00091001"


class Site(Archive):
    """An archive that shares with others under this name."""

    def __init__(self, binary, folder, name, peers=None):
        self.name, self.peer = name, free_port()
        sharing = {"NAME": name, "LISTEN": f"127.0.0.1:{self.peer}", "SYNC_SECONDS": "1"}
        super().__init__(binary, folder, peers=peers)
        self.settings.update({f"CAIRN_SHARING__{key}": value for key, value in sharing.items()})

    def add(self, other):
        fingerprint = json.loads(other.command("--json", "ledger"))["fingerprint"]
        self.command("peers", "add", f"https://127.0.0.1:{other.peer}", "--fingerprint", fingerprint)

    def follows(self, other):
        peers = map(json.loads, self.run("--json", "peers")[1].splitlines())
        return any(peer["name"] == other.name and peer["is_fresh"] for peer in peers)


def introduce(one, other):
    one.add(other), other.add(one)
    deadline = time.monotonic() + FOLLOWED_SECONDS_MAX
    while not (one.follows(other) and other.follows(one)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{one.name} and {other.name} do not follow each other")
        time.sleep(0.2)


def value(result, name):
    return result.get(name, {}).get("Value", [])


def search(section, here, client, expected, hidden):
    begun = time.monotonic()
    found = {value(study, "0020000D")[0]: value(study, SOURCES) for study in client.search_for_studies()}
    took = time.monotonic() - begun
    section.hold(took < ANSWERED_SECONDS_MAX, "searches that waited for nobody too long", f"{took:.1f} s")
    for study, sources in expected.items():
        section.same(found.get(study), sources, "studies with their sources (dicomweb-client)", study)
    section.hold(hidden not in found, "hidden studies not shown", hidden)
    warnings = client.last.headers.get("Warning", "")
    for name in ("slow.example", "gone.example"):
        section.hold(name in warnings and "299" in warnings, "sites named in Warning 299", warnings)
    keys = ["-S", "-aec", "CAIRN_FED", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID"]
    code, said = tool("findscu", *keys, "127.0.0.1", here.port)
    section.same(code, 0, "findscu", said[-300:])
    for study in expected:
        section.hold(study in said, "studies found (findscu)", study)
    section.hold(hidden not in said, "hidden studies not shown", hidden)


def retrieve(section, client, members):
    client.retrieve_study(members[0].study, media_types=STORED)
    sent = sorted(instance.data[132:] for instance in members)
    section.same(sorted(part[132:] for part in client.parts) == sent, True, "remote studies, byte for byte (WADO-RS)")


def move(section, here, receiver, members):
    study = members[0].study
    arguments = ["-S", "-aec", "CAIRN_FED", "-aem", "STORESCP", "-k", "QueryRetrieveLevel=STUDY"]
    code, said = tool("movescu", *arguments, "-k", f"StudyInstanceUID={study}", "127.0.0.1", here.port)
    section.same(code, 0, "movescu", said[-300:])
    section.same(len(digests(receiver.files())), len(members), "remote studies moved (movescu)", study)


def run(tally, binary, corpus, scratch):
    if not shutil.which("findscu"):
        print("NOT TESTED: dcmtk is not installed")
        return
    instances, _ = outbox(scratch / "outbox", sendable(next(iter(corpus.rounds()))))
    studies = [members for _, members in by_study(instances) if all(one.is_part10 for one in members)]
    own, shared, moved, hidden = studies[:4]
    with Storescp(scratch / "moved", "+xa") as receiver:
        with Site(binary, scratch / "here", "here.example", peers=f"STORESCP@127.0.0.1:{receiver.port}") as here, \
                Site(binary, scratch / "there", "there.example") as there, \
                Site(binary, scratch / "slow", "slow.example") as slow, \
                Site(binary, scratch / "gone", "gone.example") as gone:
            Client(here.url).store_files([one.data for one in own])
            for members in (shared, moved, hidden):
                Client(there.url).store_files([one.data for one in members])
            for other in (there, slow, gone):
                introduce(here, other)
            for members in (shared, moved):
                there.command("share", members[0].study, "--to", here.name)
            gone.process.terminate()
            gone.process.wait()
            slow.process.send_signal(signal.SIGSTOP)
            client = Client(here.root + "/federated/dicom-web")
            expected = {own[0].study: [here.name], shared[0].study: [there.name], moved[0].study: [there.name]}
            try:
                with tally.section("federated: search") as section:
                    search(section, here, client, expected, hidden[0].study)
                with tally.section("federated: retrieve") as section:
                    retrieve(section, client, shared)
                    move(section, here, receiver, moved)
            finally:
                slow.process.send_signal(signal.SIGCONT)
