"""WADO-RS, instances: as they are stored, and as Explicit VR Little Endian."""

import io
from collections import defaultdict

import pydicom
from requests import HTTPError

import known
import pixels
from client import EXPLICIT, OCTETS, STORED, quietly
from compare import OFFSETS, PIXEL_DATA, differences, same
from corpus import EXPLICIT_BE, EXPLICIT_LE

# What describes pixels that were decoded, and so may change (PS3.18 §8.7.3, PS3.5 §8.2).
DESCRIBES_PIXELS = {
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
}
# Frames asked for in one list.
FRAMES_LIST = 40


def by_series(instances):
    series = defaultdict(list)
    for instance in instances:
        series[instance.study, instance.series].append(instance)
    return series


def by_study(instances):
    studies = defaultdict(list)
    for instance in instances:
        studies[instance.study].append(instance)
    return studies


def part_uid(part):
    return str(pydicom.dcmread(io.BytesIO(part), force=True, stop_before_pixels=True).SOPInstanceUID).strip(" \0")


def as_stored(section, client, instances):
    """Studies, series and instances with `transfer-syntax=*`: the bytes of the files."""
    for study, members in by_study(instances).items():
        quietly(client.retrieve_study, study, media_types=STORED)
        section.count("studies")
        compare_stored(section, client.parts, members)
    for (study, series), members in by_series(instances).items():
        for _ in quietly(client.iter_series, study, series, media_types=STORED):
            pass
        section.count("series, streamed")
        section.same(len(client.parts), len(members), "series with all parts", members[0].path)
    for instance in instances:
        quietly(client.retrieve_instance, *instance.key)
        section.count("instances")
        compare_stored(section, client.parts, [instance])


def compare_stored(section, parts, members):
    found = {part_uid(part): part for part in parts}
    section.same(len(parts), len(members), "replies with all parts", members[0].path)
    for member in members:
        part = found.get(member.sop)
        if not section.hold(part is not None, "found", f"{member} is missing"):
            continue
        if not member.goes_out_as_stored:
            section.count("converted, as has to be")
        elif member.is_part10:
            section.hold(part == member.data, "files byte for byte", f"{member}: other bytes")
        else:
            section.hold(part.endswith(member.data), "data sets byte for byte", f"{member}: other bytes")


def explicit(section, client, instances):
    """Series without a transfer syntax, which means Explicit VR Little Endian, against the files; and
    the frames of each instance, which have to be the same pixels."""
    for (study, series), members in by_series(instances).items():
        try:
            given = {
                str(dataset.SOPInstanceUID).strip(" \0"): dataset
                for dataset in quietly(lambda: list(client.iter_series(study, series, media_types=EXPLICIT)))
            }
        except HTTPError as error:
            section.same(error.response.status_code, 406, "series that cannot be converted", members[0].path)
            given = {}
        for member in members:
            stored = member.dataset()
            if member.sop in given:
                compare_explicit(section, member, stored, given[member.sop])
                frames(section, client, member, stored, given.pop(member.sop))
            else:
                reason = pixels.undecodable(stored) if member.has_pixels else "it has no pixels"
                section.hold(
                    reason and reason != "it has no pixels",
                    "not converted, as pydicom cannot either",
                    f"{member} is left out, and pydicom decodes it",
                )
                section.note(f"not converted: {member}: {reason}")


def compare_explicit(section, member, stored, given):
    section.same(str(given.file_meta.TransferSyntaxUID), EXPLICIT_LE, "instances converted", member.path)
    decoded = member.is_encapsulated and member.has_pixels

    def skip(tag):
        if tag == PIXEL_DATA or tag in OFFSETS:
            return True
        return decoded and pydicom.datadict.keyword_for_tag(tag) in DESCRIBES_PIXELS

    found = quietly(differences, stored, given, skip, member.syntax == EXPLICIT_BE)
    if found and (why := known.reason(member.path, "explicit")):
        section.note(f"not equal: {member}: {why}")
        found = []
    section.hold(not found, "data sets equal, element by element", f"{member}: {'; '.join(found[:4])}")
    if not member.has_pixels:
        return
    reason = pixels.undecodable(member.dataset())
    if reason is None:
        quietly(pixels.compare, section, member, member.dataset(), given)
        return
    section.note(f"pydicom decodes no pixels: {member}: {reason}")
    if not decoded and member.syntax != EXPLICIT_BE:
        section.hold(same(stored.PixelData, given.PixelData), "pixel data equal unread", f"{member}: other bytes")


def frames(section, client, member, stored, given):
    """Frames decoded and as they are stored, in lists. `given` holds pixels that are known to be
    right."""
    if not member.has_pixels:
        return
    try:
        wanted = list(pixels.native_frames(given))
    except (AttributeError, TypeError) as error:
        section.note(f"no frames, as its header describes no image: {member}: {error!s:.80}")
        return
    short = not member.is_encapsulated and len(stored.PixelData) < len(given.PixelData)
    if short or len(wanted) < pixels.frame_count(given):
        section.note(f"no frames, as its pixel data are too short: {member}")
        return
    for start in range(0, len(wanted), FRAMES_LIST):
        numbers = list(range(start + 1, min(start + FRAMES_LIST, len(wanted)) + 1))
        found = client.retrieve_instance_frames(*member.key, numbers, media_types=OCTETS)
        section.same(len(found), len(numbers), "frame lists", member.path)
        for number, frame in zip(numbers, found):
            same = pixels.unpacked(given, frame) == wanted[number - 1]
            section.hold(same, "frames by number equal", f"{member} frame {number}: other bytes")
    if not member.is_encapsulated:
        return
    try:
        coded = list(pixels.coded_frames(stored))
    except Exception as error:
        section.note(f"pydicom finds no code streams: {member}: {error!s:.80}")
        return
    found = list(client.iter_instance_frames(*member.key, list(range(1, len(coded) + 1))))
    section.same(len(found), len(coded), "lists of code streams", member.path)
    for number, (one, other) in enumerate(zip(found, coded), 1):
        section.hold(one == other, "code streams equal", f"{member} frame {number}: other bytes")
