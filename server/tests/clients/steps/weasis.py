"""What Weasis asks of a DICOMweb archive, without a manifest, replayed.

Weasis itself is in no public registry. Its requests as its documentation and its source (weasis-dicom-
explorer, `RsQueryParams`, `DownloadManager`, `DicomSeriesHandler`) have them: QIDO with a list of
fields by tag, then each series at once as a stream of parts in any syntax; it compares the number of
parts with NumberOfSeriesRelatedInstances, and asks again for what is missing, one by one.
"""

import email.message
import io

import pydicom
import requests

from client import quietly

STUDY_FIELDS = "0020000D,00080020,00080030,00080050,00080090,00100010,00100020,00100030,00100040,00081030,00200010,00081190"
SERIES_FIELDS = "0020000E,00080060,0008103E,00200011,00080021,00080031,00081190"
INSTANCE_FIELDS = "00080018,00200013,00081190"
JSON = "application/dicom+json"
PARTS = 'multipart/related; type="application/dicom"; transfer-syntax=*'
EXPLICIT_PARTS = 'multipart/related; type="application/dicom"'


def get(url, accept, **parameters):
    reply = requests.get(url, params=parameters, headers={"Accept": accept}, timeout=60, stream=True)
    reply.raise_for_status()
    return reply


def parts(reply):
    """Parts of a stream, as Weasis reads them: by the boundary of the Content-Type, up to the end."""
    message = email.message.Message()
    message["Content-Type"] = reply.headers["Content-Type"]
    assert message.get_content_type() == "multipart/related", reply.headers["Content-Type"]
    boundary = message.get_boundary().encode()
    body = reply.raw.read()
    assert body.startswith(b"--" + boundary), body[:100]
    assert body.rstrip(b"\r\n").endswith(b"--" + boundary + b"--"), body[-100:]
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        yield head.decode("ascii"), content


def weasis(section, root, instances):
    files = {instance.key: instance for instance in instances}
    fields = STUDY_FIELDS.split(",")
    by_list = get(f"{root}/studies", JSON, includefield=STUDY_FIELDS, limit="1000").json()
    repeated = get(f"{root}/studies", JSON, includefield=fields, limit="1000").json()
    section.hold(by_list == repeated, "includefield as a list and repeated", "two answers")
    section.same(len(by_list), len({key[0] for key in files}), "studies", root)
    for study in by_list:
        uid = study["0020000D"]["Value"][0]
        section.hold("Value" in study["00081190"], "retrieve URLs of studies", uid)
        for series in get(f"{root}/studies/{uid}/series", JSON, includefield=SERIES_FIELDS).json():
            take_series(section, root, uid, series, files)


def take_series(section, root, study, series, files):
    uid = series["0020000E"]["Value"][0]
    url = f"{root}/studies/{study}/series/{uid}"
    promised = series["00201209"]["Value"][0]
    listed = get(f"{url}/instances", JSON, includefield=INSTANCE_FIELDS).json()
    section.same(len(listed), promised, "instances listed as promised", uid)
    received = 0
    for head, content in parts(get(url, PARTS)):
        received += 1
        section.hold("Content-Type: application/dicom" in head, "parts with Content-Type", head)
        dataset = quietly(pydicom.dcmread, io.BytesIO(content), force=True, stop_before_pixels=True)
        sop = str(dataset.SOPInstanceUID).strip(" \0")
        section.hold((study, uid, sop) in files, "instances known", sop)
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        section.hold(f"transfer-syntax={syntax}" in head, "parts that say their syntax", f"{head}, {syntax}")
    section.same(received, promised, "series with as many parts as promised", uid)
    # One by one: from the RetrieveURL of the search, or by UID; and in Explicit LE if the syntax is not
    # one that it reads.
    first = listed[0]
    alone = list(parts(get(first["00081190"]["Value"][0], PARTS)))
    section.same(len(alone), 1, "instances alone", uid)
    again = requests.get(first["00081190"]["Value"][0], headers={"Accept": EXPLICIT_PARTS}, timeout=60)
    section.hold(again.status_code in (200, 406), "instances as Explicit LE, or 406", f"{again.status_code} {uid}")
