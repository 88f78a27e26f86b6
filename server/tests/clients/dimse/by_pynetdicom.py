"""pynetdicom as client and as receiver."""

import io
import json
import threading
import time

from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
    uid_to_service_class,
)

from archive import Archive
from client import Client, quietly
from dimse.data import data_set, digest, digests, groups, kinds, sendable

# The corpus has UIDs that are none.
_config.ENFORCE_UID_CONFORMANCE = False
_config.LOG_HANDLER_LEVEL = "none"

TITLE = "PYNET"
# Presentation contexts for storage in one association: there may be 128 with the services.
CONTEXTS = 110
# How long a report of storage commitment may take.
REPORT_SECONDS_MAX = 60


def entity():
    made = AE(ae_title=TITLE)
    made.maximum_pdu_size = 0
    made.acse_timeout = made.dimse_timeout = made.network_timeout = 120
    return made


def associate(section, archive, contexts, **how):
    """An association with these (class, transfer syntax) pairs, a context for each."""
    asks = entity()
    for sop_class, syntax in contexts:
        asks.add_requested_context(sop_class, syntax)
    association = asks.associate("127.0.0.1", archive.port, ae_title="CAIRN", **how)
    section.hold(association.is_established, "associations", "it is not accepted")
    return association


def pause(association):
    """Stops pynetdicom's reactor, or it would take the answer off the queue, and drop it.

    `_is_paused` is set before the reactor waits and cleared after, so a reactor that is about to go on
    looks paused as well, to `send_c_get` and its like too: on a busy machine an answer was lost so now and
    then, and the client waited for it until its time was over. One that really waits is among the waiters of
    the checkpoint. What is paused here stays so in `send_*`, which lets it go on at the end.
    """
    association._reactor_checkpoint.clear()
    while association.is_alive() and not association._reactor_checkpoint._cond._waiters:
        time.sleep(0.001)


def echo(association):
    pause(association)
    return association.send_c_echo().Status


def send(association, instance, number):
    """C-STORE of a data set exactly as it lies in its file; the status."""
    wanted = (instance.sop_class, instance.syntax)
    for context in association.accepted_contexts:
        if (context.abstract_syntax, context.transfer_syntax[0]) == wanted:
            break
    else:
        return None
    request = C_STORE()
    request.MessageID = number % 65535 + 1
    request.AffectedSOPClassUID = instance.sop_class
    request.AffectedSOPInstanceUID = instance.sop
    request.Priority = 2
    request.DataSet = io.BytesIO(data_set(instance.data))
    pause(association)
    association.dimse.send_msg(request, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return answer.Status if answer else None


def store(section, archive, instances):
    """Every file over contexts of their own syntax; success for each."""
    for pairs in groups(kinds(instances), CONTEXTS):
        association = associate(section, archive, pairs)
        members = [each for each in instances if (each.sop_class, each.syntax) in pairs]
        for number, instance in enumerate(members):
            section.same(send(association, instance, number), 0, "objects stored with 0000", instance.path)
        association.release()


def kept(section, archive, instances, folder):
    """What is archived are the data sets that were sent, byte for byte."""
    wanted = sorted(digest(data_set(each.data)) for each in instances)
    found = digests(archive.export(folder))
    section.hold(found == wanted, "rounds kept byte for byte", f"{len(set(found) ^ set(wanted))} data sets differ")
    section.count("data sets kept byte for byte", len(set(found) & set(wanted)))


def by_stow(section, archive, instances):
    """The same images by STOW-RS: no second copy, and studies keep their roots."""
    studies = sorted({each.study for each in instances})
    # A record of the root is made once a study has been quiet, which may be at any moment here.
    told = lambda study: json.loads(archive.command("--json", "show", study)) | {"record": None}
    roots = lambda: [told(study) for study in studies]
    before = roots(), archive.metric('cairn_ingest_instances_total{outcome="duplicate"}')
    client = Client(archive.url)
    for batch in groups(instances, 24):
        quietly(client.store_files, [each.data for each in batch])
    section.same(roots(), before[0], "rounds whose roots stay", "after STOW")
    duplicates = archive.metric('cairn_ingest_instances_total{outcome="duplicate"}') - before[1]
    section.same(duplicates, len(instances), "rounds that come by STOW as duplicates", "after C-STORE")


def query(association, **keys):
    """All answers to a C-FIND, and the last status."""
    identifier = Dataset()
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    found, last = [], None
    pause(association)
    for status, answer in association.send_c_find(identifier, StudyRootQueryRetrieveInformationModelFind):
        last = status.Status if status else None
        if last in (0xFF00, 0xFF01):
            found.append(answer)
    return found, last


def find(section, archive, instances):
    """Every study, series and instance is found, and nothing else."""
    association = associate(section, archive, [(StudyRootQueryRetrieveInformationModelFind, "1.2.840.10008.1.2.1")])
    of = lambda found, keyword: sorted(str(each.get(keyword)) for each in found)
    studies = sorted({each.study for each in instances})
    found, last = query(association, QueryRetrieveLevel="STUDY", StudyInstanceUID="", PatientID="", StudyDate="")
    section.same(last, 0, "queries ended with 0000", "all studies")
    section.same(of(found, "StudyInstanceUID"), studies, "lists of studies", "all")
    for study in studies:
        members = [each for each in instances if each.study == study]
        asked = dict(StudyInstanceUID=study, SeriesInstanceUID="", Modality="", NumberOfSeriesRelatedInstances="")
        found, _ = query(association, QueryRetrieveLevel="SERIES", **asked)
        wanted = sorted({each.series for each in members})
        section.same(of(found, "SeriesInstanceUID"), wanted, "lists of series", study)
        for series in found:
            uid = str(series.SeriesInstanceUID)
            images, _ = query(
                association, QueryRetrieveLevel="IMAGE", StudyInstanceUID=study, SeriesInstanceUID=uid, SOPInstanceUID=""
            )
            wanted = sorted(each.sop for each in members if each.series == uid)
            section.same(of(images, "SOPInstanceUID"), wanted, "lists of images", uid)
            section.same(int(series.NumberOfSeriesRelatedInstances or 0), len(wanted), "counts", uid)
    association.release()


class Taken:
    """What a receiver was sent: digests of data sets by SOP Instance UID."""

    def __init__(self):
        self.digests = {}

    def handle(self, event):
        self.digests[str(event.request.AffectedSOPInstanceUID)] = digest(event.request.DataSet.getvalue())
        return 0

    def compare(self, section, instances, what):
        for each in instances:
            section.same(self.digests.get(each.sop), digest(data_set(each.data)), what, each.path)


def retrieve(association, kind, model, study, **how):
    """The last status, and its counters."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study
    call = getattr(association, f"send_c_{kind}")
    last = None
    pause(association)
    for status, _ in call(identifier, *how.values(), model):
        last = status
    return last


def by_study(instances):
    for study in sorted({each.study for each in instances}):
        yield study, [each for each in instances if each.study == study]


def get(section, archive, instances):
    """C-GET with the roles for it; data sets come back as they were sent."""
    model = StudyRootQueryRetrieveInformationModelGet
    for study, members in by_study(instances):
        taken = Taken()
        pairs = kinds(members)
        roles = [build_role(sop_class, scp_role=True) for sop_class in {pair[0] for pair in pairs}]
        association = associate(
            section, archive, [(model, "1.2.840.10008.1.2.1"), *pairs],
            ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, taken.handle)],
        )
        last = retrieve(association, "get", model, study)
        section.same((last.Status, last.NumberOfCompletedSuboperations), (0, len(members)), "C-GETs", study)
        taken.compare(section, members, "objects had by C-GET, byte for byte")
        association.release()


def get_without_roles(section, archive, instances):
    """Who takes no role is told that nothing could be sent, and the association lives (behaviour 33)."""
    model = StudyRootQueryRetrieveInformationModelGet
    association = associate(section, archive, [(model, "1.2.840.10008.1.2.1"), (Verification, "1.2.840.10008.1.2")])
    last = retrieve(association, "get", model, instances[0].study)
    section.hold(last and last.Status in (0xA702, 0xB000), "C-GETs without roles fail", f"{last}")
    section.same(echo(association), 0, "associations that live on", "after C-GET without roles")
    association.release()


def receiver(port, instances, taken, reports=None):
    """A server that takes everything; `reports` gets those of storage commitment."""
    takes = entity()
    for pairs in [kinds(instances)]:
        for sop_class in {pair[0] for pair in pairs}:
            takes.add_supported_context(sop_class, [syntax for known, syntax in pairs if known == sop_class])
    takes.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)

    def report(event):
        reports.append(event.event_information)
        return 0, None

    handlers = [(evt.EVT_C_STORE, taken.handle), (evt.EVT_N_EVENT_REPORT, report)]
    return takes.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)


def move(section, archive, instances, taken):
    """C-MOVE to a receiver of pynetdicom, which aborts where it does not know a class."""
    unknown = {each.study for each in instances if uid_to_service_class(each.sop_class) is not StorageServiceClass}
    if unknown:
        section.count("studies left out: pynetdicom knows no service for a class in them", len(unknown))
    instances = [each for each in instances if each.study not in unknown]
    model = StudyRootQueryRetrieveInformationModelMove
    association = associate(section, archive, [(model, "1.2.840.10008.1.2.1")])
    for study, members in by_study(instances):
        last = retrieve(association, "move", model, study, to=TITLE)
        section.same((last.Status, last.NumberOfCompletedSuboperations), (0, len(members)), "C-MOVEs", study)
        taken.compare(section, members, "objects received by C-MOVE, byte for byte")
    last = retrieve(association, "move", model, instances[0].study, to="NOBODY")
    section.same(last.Status, 0xA801, "unknown destinations refused", "NOBODY")
    association.release()


def request_commitment(association, instances):
    asked = Dataset()
    asked.TransactionUID = generate_uid()
    asked.ReferencedSOPSequence = []
    for sop_class, sop in [*((each.sop_class, each.sop) for each in instances), (instances[0].sop_class, "1.2.3.4.5.6")]:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop
        asked.ReferencedSOPSequence.append(item)
    pause(association)
    status, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    return asked.TransactionUID, status.Status if status else None


def await_report(section, reports, transaction, instances, what):
    deadline = time.monotonic() + REPORT_SECONDS_MAX
    mine = lambda: [each for each in reports if each.TransactionUID == transaction]
    while not mine() and time.monotonic() < deadline:
        time.sleep(0.05)
    if not section.hold(mine(), what, "no report came"):
        return
    (report, *_) = mine()
    committed = sorted(str(item.ReferencedSOPInstanceUID) for item in report.ReferencedSOPSequence)
    section.same(committed, sorted(each.sop for each in instances), "lists of what is committed", what)
    failed = [(str(item.ReferencedSOPInstanceUID), item.FailureReason) for item in report.FailedSOPSequence]
    section.same(failed, [("1.2.3.4.5.6", 0x0112)], "lists of what is not", what)


def commitment(section, archive, instances, reports):
    """Reports on the association that asked, and on a new one when that is gone (behaviour 35)."""
    own = []

    def report(event):
        own.append(event.event_information)
        return 0, None

    pair = [(StorageCommitmentPushModel, "1.2.840.10008.1.2.1")]
    association = associate(section, archive, pair, evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)])
    transaction, status = request_commitment(association, instances)
    section.same(status, 0, "requests taken", "same association")
    await_report(section, own, transaction, instances, "reports on the same association")
    association.release()
    association = associate(section, archive, pair)
    transaction, status = request_commitment(association, instances)
    section.same(status, 0, "requests taken", "new association")
    association.abort()
    await_report(section, reports, transaction, instances, "reports on a new association")


def window(section, archive):
    """A window of operations is agreed on (PS3.7 §D.3.3.3)."""
    item = AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = item.maximum_number_operations_performed = 5
    association = associate(section, archive, [(Verification, "1.2.840.10008.1.2")], ext_neg=[item])
    agreed = association.acceptor.asynchronous_operations
    section.hold(agreed[1] >= 1, "windows agreed on", f"{agreed}")
    section.same(echo(association), 0, "echoes", "with a window")
    association.release()


def many(section, archive, instances):
    """Eight associations send at once."""
    pairs = kinds(instances)[:CONTEXTS]
    parts = [instances[place::8] for place in range(8)]

    def one(members):
        association = associate(section, archive, pairs)
        for number, instance in enumerate(members):
            status = send(association, instance, number)
            section.same(status, 0, "objects sent again by eight at once", instance.path)
        association.release()

    threads = [threading.Thread(target=one, args=(part,)) for part in parts if part]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def free_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def run(tally, binary, corpus, scratch):
    for number, members in enumerate(corpus.rounds(), 1):
        instances = sendable(members)
        left = [each for each in members if each not in instances]
        port, taken, reports = free_port(), Taken(), []
        server = receiver(port, instances, taken, reports)
        with Archive(binary, scratch / f"round-{number}", peers=f"{TITLE}@127.0.0.1:{port}") as archive:
            steps = {
                "store": lambda section: store(section, archive, instances),
                "kept": lambda section: kept(section, archive, instances, scratch / f"kept-{number}"),
                "find": lambda section: find(section, archive, instances),
                "get": lambda section: get(section, archive, instances),
                "move": lambda section: move(section, archive, instances, taken),
                "commitment": lambda section: commitment(section, archive, instances, reports),
                "by STOW too": lambda section: by_stow(section, archive, instances),
            }
            if number == 1:
                steps["get without roles"] = lambda section: get_without_roles(section, archive, instances)
                steps["window"] = lambda section: window(section, archive)
                steps["eight at once"] = lambda section: many(section, archive, instances)
            for name, step in steps.items():
                with tally.section(f"pynetdicom: {name}") as section:
                    if name == "store" and left:
                        section.count("files left out: no class, no meta information, or of odd length", len(left))
                    step(section)
        server.shutdown()
