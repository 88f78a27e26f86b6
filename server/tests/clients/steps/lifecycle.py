"""Storage commitment, and deleting: what is promised, and what is gone."""

import time

import pydicom
from pydicom.uid import generate_uid
from requests import HTTPError

from client import quietly
from steps.files import by_series

# How long an archive may take to bring everything into its bucket.
COMMIT_SECONDS_MAX = 60


def references(pairs):
    items = [
        {"00081150": {"vr": "UI", "Value": [sop_class]}, "00081155": {"vr": "UI", "Value": [sop]}}
        for sop_class, sop in pairs
    ]
    return {"00081199": {"vr": "SQ", "Value": items}}


def commitment(section, client, instances):
    """PS3.18 §13 by plain requests, as no client has it: everything stored is committed, and what
    never came is refused with 0112."""
    nowhere = "1.2.3.4.5.6.7.8.9"
    pairs = [(instance.sop_class, instance.sop) for instance in instances]
    path = f"/commitment-requests/{generate_uid()}"
    import json

    body = json.dumps(references([*pairs, (pairs[0][0], nowhere)]))
    reply = client.post(path, body, "application/dicom+json")
    deadline = time.monotonic() + COMMIT_SECONDS_MAX
    while reply.status_code == 202 and time.monotonic() < deadline:
        time.sleep(min(float(reply.headers.get("Retry-After", 1)), 2))
        reply = client.get(path, "application/dicom+json")
    if not section.same(reply.status_code, 200, "requests", reply.text[:200]):
        return
    result = reply.json()
    result = pydicom.Dataset.from_json(result[0] if isinstance(result, list) else result)
    committed = {str(item.ReferencedSOPInstanceUID): item for item in result.ReferencedSOPSequence}
    for instance in instances:
        item = committed.get(instance.sop)
        if section.hold(item is not None, "instances committed", f"{instance} is not"):
            section.hold(instance.sop in item.RetrieveURL, "retrieve URLs", str(item.RetrieveURL))
            roots = item.private_block(0x0099, "CAIRN")
            section.hold(len(roots[1].value) == 64, "study roots", roots[1].value)
    failed = [(str(item.ReferencedSOPInstanceUID), item.FailureReason) for item in result.FailedSOPSequence]
    section.same(failed, [(nowhere, 0x0112)], "unknown instances refused", path)
    again = client.get(path, "application/dicom+json")
    section.same(again.json(), reply.json(), "results told again", path)


def status(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except HTTPError as error:
        return error.response.status_code
    return 200


def delete(section, client, instances):
    """An instance, its series, its study: gone for every service, and then stored again."""
    (study, series), members = max(by_series(instances).items(), key=lambda pair: len(pair[1]))
    others = [each for each in instances if each.study == study and each.series != series]
    first, rest = members[0], members[1:]
    client.delete_instance(*first.key)
    section.same(status(client.retrieve_instance, *first.key), 410, "instances gone", first.path)
    section.same(status(client.retrieve_instance_metadata, *first.key), 410, "metadata gone", first.path)
    section.same(status(client.retrieve_instance_frames, *first.key, [1]), 410, "frames gone", first.path)
    found = client.search_for_instances(study, series)
    section.same(len(found), len(rest), "searches without it", first.path)
    section.same(len(client.retrieve_series_metadata(study, series)), len(rest), "series without it", first.path)
    client.delete_series(study, series)
    section.same(status(client.retrieve_series, study, series), 410, "series gone", first.path)
    if others:
        quietly(client.retrieve_instance, *others[0].key)
        section.count("other series still there")
        client.delete_study(study)
    section.same(status(client.retrieve_study, study), 410, "studies gone", first.path)
    section.same(client.search_for_studies(search_filters={"StudyInstanceUID": study}), [], "studies not found", study)
    section.same(status(client.delete_study, "1.2.3.4.5.6"), 404, "unknown studies refused", study)
    quietly(client.store_files, [first.data])
    quietly(client.retrieve_instance, *first.key)
    if first.goes_out_as_stored:
        section.hold(client.parts == [first.data], "instances stored again", f"{first}: other bytes")
