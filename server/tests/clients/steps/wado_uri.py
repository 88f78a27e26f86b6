"""WADO-URI (PS3.18 §9), as scripts around DCMTK and older viewers ask: one object, by its parameters."""

import io

import pydicom
from PIL import Image

import known
from client import quietly
from corpus import EXPLICIT_LE


def wado_uri(section, client, instances):
    for member in instances:
        reply = ask(client, member, contentType="application/dicom")
        if reply.status_code != 200:
            section.same(reply.status_code, 406, "files that cannot be converted", member.path)
            continue
        section.same(reply.headers["Content-Type"].split(";")[0], "application/dicom", "types of files", member.path)
        dataset = quietly(pydicom.dcmread, io.BytesIO(reply.content), force=True)
        # The default is Explicit LE, as old clients know nothing else (§9.4.1).
        section.same(str(dataset.file_meta.TransferSyntaxUID), EXPLICIT_LE, "files as Explicit LE", member.path)
        if member.syntax == EXPLICIT_LE and member.is_part10:
            section.hold(reply.content == member.data, "files byte for byte", f"{member}: other bytes")
        if member.has_pixels:
            picture(section, client, member)
    unknown = ask(client, instances[0], objectUID="1.2.3.4.5.6")
    section.same(unknown.status_code, 404, "unknown objects refused", "1.2.3.4.5.6")


def picture(section, client, member):
    """Without a content type it is a JPEG; of some size, if that is asked for. Of several frames, one has
    to be named: all of them are no picture (§9.4.1.2)."""
    many = {"contentType": "image/jpeg", "frameNumber": "1"} if member.is_multiframe else {}
    reply = ask(client, member, rows="64", columns="64", **many)
    if reply.status_code != 200:
        section.hold(reply.status_code in (404, 406), "no picture", f"{member}: {reply.status_code}")
        return
    kind = reply.headers["Content-Type"]
    if why := known.reason(member.path, "picture"):
        section.note(f"{member}: {kind}: {why}")
        return
    if not section.hold(kind.startswith("image/jpeg"), "types of pictures", f"{member}: {kind}"):
        return
    image = Image.open(io.BytesIO(reply.content))
    section.same(image.format, "JPEG", "pictures", member.path)
    section.same(max(image.size), 64, "pictures of the right size", member.path)


def ask(client, member, **more):
    parameters = {
        "requestType": "WADO",
        "studyUID": member.study,
        "seriesUID": member.series,
        "objectUID": member.sop,
        **more,
    }
    return client.get(client.base_url.replace("/dicom-web", "/wado"), params=parameters)
