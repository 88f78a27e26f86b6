"""WADO-RS, metadata and bulk data: DICOM JSON read by pydicom, against the headers of the files."""

import numpy
import pydicom

import known
from client import quietly
from compare import OFFSETS, PIXEL_DATA, differences, same
from corpus import EXPLICIT_BE
from steps.files import by_series, by_study

PIXELS = {PIXEL_DATA, pydicom.tag.Tag(0x7FE00008), pydicom.tag.Tag(0x7FE00009)}
NUMBERS = {
    "US": "<u2", "SS": "<i2", "UL": "<u4", "SL": "<i4", "UV": "<u8", "SV": "<i8", "FL": "<f4", "FD": "<f8",
}


def read(section, client, item, where):
    """A data set from JSON. Bulk data are fetched; those of pixels are kept apart, as URIs."""
    uris = {}

    def bulk(tag, vr, uri):
        tag = pydicom.tag.Tag(tag)
        section.hold(uri.startswith(client.base_url + "/"), "bulk data URIs", f"{where}: {uri}")
        # Those of an icon inside a sequence are fetched like all others.
        if tag in PIXELS and uri.endswith(f"/{int(tag):08X}"):
            uris[tag] = uri
            return b""
        value = b"".join(client.retrieve_bulkdata(uri))
        section.count("bulk data fetched")
        if vr in NUMBERS:
            return numpy.frombuffer(value, NUMBERS[vr]).tolist()
        return value.decode() if vr in ("UT", "ST", "LT", "UC", "UR") else value

    dataset = quietly(pydicom.Dataset.from_json, item, bulk_data_uri_handler=bulk)
    return dataset, uris


def check_form(section, item, where):
    """What pydicom takes either way: ascending tags in capitals, no group lengths, no pixels."""
    tags = list(item)
    section.hold(tags == sorted(tags), "objects in order", where)
    bad = [tag for tag in tags if tag != tag.upper() or tag.endswith("0000") or tag.startswith("0002")]
    section.hold(not bad, "objects with proper tags", f"{where}: {bad}")
    inline = [tag for tag in ("7FE00010", "7FE00008", "7FE00009") if "InlineBinary" in item.get(tag, {})]
    section.hold(not inline, "objects without pixels", f"{where}: {inline}")
    empty = [tag for tag, element in item.items() if element.get("Value") == []]
    section.hold(not empty, "objects without empty values", f"{where}: {empty}")


def metadata(section, client, instances):
    """Metadata of studies against the files; those of series and instances are the same objects."""
    for study, members in by_study(instances).items():
        items = {uid_of(item): item for item in client.retrieve_study_metadata(study)}
        section.same(len(items), len(members), "studies complete", members[0].path)
        for member in members:
            item = items.get(member.sop)
            if not section.hold(item is not None, "instances found", f"{member} is missing"):
                continue
            check_form(section, item, member.path)
            compare(section, client, member, item)
        for (_, series), inside in by_series(members).items():
            listed = {uid_of(item): item for item in client.retrieve_series_metadata(study, series)}
            wanted = {member.sop: items.get(member.sop) for member in inside}
            section.hold(listed == wanted, "series the same", f"{inside[0]}: another object than the study's")
            first = inside[0]
            alone = client.retrieve_instance_metadata(*first.key)
            alone = alone[0] if isinstance(alone, list) else alone
            section.hold(alone == items.get(first.sop), "instances the same", f"{first}: another object")


def uid_of(item):
    return item["00080018"]["Value"][0]


def compare(section, client, member, item):
    try:
        found, uris = read(section, client, item, member.path)
    except Exception as error:  # pydicom raises whatever its parts raise
        why = known.reason(member.path, "json")
        section.hold(why, "JSON that pydicom does not take", f"{member}: {error!s:.160}")
        section.note(f"not read: {member}: {why}")
        return
    skip = PIXELS | OFFSETS
    big_endian = member.syntax == EXPLICIT_BE
    different = quietly(differences, member.dataset(), found, lambda tag: tag in skip, big_endian)
    if different and (why := known.reason(member.path, "json")):
        section.note(f"not equal: {member}: {why}")
        different = []
    section.hold(not different, "headers equal", f"{member}: {'; '.join(different[:4])}")
    section.same(PIXEL_DATA in uris, member.has_pixels, "pixel data by URI", member.path)
    if PIXEL_DATA in uris and not member.is_encapsulated:
        stored = member.dataset()
        if not big_endian:
            value = b"".join(client.retrieve_bulkdata(uris[PIXEL_DATA]))
            section.hold(same(value, stored.PixelData), "pixel data equal", f"{member}: other bytes")
