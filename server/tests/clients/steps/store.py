"""STOW-RS: what is an instance is stored, what is none is refused by name."""

from requests import HTTPError

import known
from client import quietly

# Instances in one request.
BATCH = 24


def batches(instances):
    for start in range(0, len(instances), BATCH):
        yield instances[start : start + BATCH]


def store(section, client, instances):
    """Stores files in batches; every one has to be named in the reply, with a URL."""
    for batch in batches(instances):
        reply = quietly(client.store_files, [instance.data for instance in batch])
        failed = [
            (str(item.get("ReferencedSOPInstanceUID", "?")), hex(item.FailureReason))
            for item in reply.get("FailedSOPSequence", [])
        ]
        section.same(failed, [], "batches without failure", batch[0].path)
        stored = {
            str(item.ReferencedSOPInstanceUID): item for item in reply.get("ReferencedSOPSequence", [])
        }
        for instance in batch:
            item = stored.get(instance.sop)
            if not section.hold(item is not None, "instances stored", f"{instance} is not in the reply"):
                continue
            section.same(
                str(item.get("RetrieveURL")),
                f"{client.base_url}/studies/{instance.study}/series/{instance.series}"
                f"/instances/{instance.sop}",
                "retrieve URLs",
                instance.path,
            )
            section.hold("WarningReason" not in item, "without warning", f"{instance} has a warning")


def refuse(section, client, others):
    """What holds no instance is a failed item, and the request a 409: never a 500."""
    for path, data, reason in others:
        try:
            client.store_files([data])
            why = known.reason(path, "store")
            section.hold(why, "stored, though pydicom cannot read it", f"{path} was stored: {reason}")
            section.note(f"{path} was stored: {why}")
        except HTTPError as error:
            section.same(error.response.status_code, 409, "files refused that hold no instance", path)
            reply = error.response.json()
            # Who has no name is in Other Failures Sequence.
            failed = [item for tag in ("00081198", "0008119A") for item in reply.get(tag, {}).get("Value", [])]
            section.hold(
                len(failed) == 1 and failed[0]["00081197"]["Value"], "failure reasons", f"{path}: {failed}"
            )


def correct(section, client, corpus):
    """All files of a UID, one after the other: a duplicate is silent, another version has a warning,
    and one of the versions is shown."""
    for versions in corpus.versions.values():
        if len(versions) == 1:
            continue
        for place, version in enumerate(versions):
            known = version.data in [each.data for each in versions[: place or 1]]
            reply = quietly(client.store_files, [version.data])
            item = reply.ReferencedSOPSequence[0]
            section.hold(
                known or "WarningReason" in item, "versions of one UID", f"{version}: no warning, none known"
            )
        allowed = [version.data for version in corpus.visible(versions) if version.goes_out_as_stored]
        first = versions[0]
        if len(allowed) == len(corpus.visible(versions)) and first.is_part10:
            quietly(client.retrieve_instance, *first.key)
            section.hold(client.parts[0] in allowed, "the version to be seen", f"{first}: another is shown")


def write_anew(section, client, instances):
    """`store_instances`, which has pydicom write the data set: as far as pydicom can write it. What
    it sent comes back."""
    for instance in instances:
        try:
            dataset = instance.dataset()
            sent = quietly(pydicom_bytes, dataset)
        except Exception as error:
            section.note(f"not written by pydicom: {instance}: {error!s:.80}")
            continue
        reply = quietly(client.store_instances, [dataset], study_instance_uid=instance.study)
        section.same(len(reply.get("ReferencedSOPSequence", [])), 1, "data sets stored", instance.path)
        if instance.goes_out_as_stored:
            quietly(client.retrieve_instance, *instance.key)
            section.hold(client.parts == [sent], "data sets that came back", f"{instance}: other bytes")


def pydicom_bytes(dataset):
    import io

    import pydicom

    out = io.BytesIO()
    pydicom.dcmwrite(out, dataset)
    return out.getvalue()
