"""Are two data sets the same? Element by element, as the independent reader understands them."""

import math

import numpy
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.valuerep import PersonName

PIXEL_DATA = Tag(0x7FE00010)
# Offset tables of encapsulated frames, which native pixel data have no use for.
OFFSETS = {Tag(0x7FE00001), Tag(0x7FE00002), Tag(0x7FE00003)}
# VRs that a data set without VRs leaves open (PS3.6 "US or SS or OW").
OPEN = {"US", "SS", "OW", "OB", "UN"}


def is_compared(tag):
    """Group lengths say nothing; group 2 is no part of a data set."""
    return tag.element != 0 and tag.group > 2


def raw(dataset, tag):
    """The bytes of a value, if they have not been looked at yet."""
    element = dataset.get_item(tag)
    if isinstance(element, RawDataElement):
        return element.value if element.value is not None else b""
    return None


def element(dataset, tag):
    """The element, and why it cannot be understood if it cannot."""
    try:
        return dataset[tag], None
    except Exception as error:  # pydicom raises whatever its parts raise
        return None, f"{type(error).__name__}: {error!s:.80}"


def plain(value):
    """A value, without what does not belong to it: padding, and ways to be empty."""
    if isinstance(value, (MultiValue, list, tuple)) and not isinstance(value, Sequence):
        values = [plain(each) for each in value]
        while values and values[-1] is None:
            values.pop()
        return values[0] if len(values) == 1 else values or None
    if isinstance(value, PersonName):
        groups = [group.rstrip("^ ") for group in str(value).split("=")]
        return "=".join(groups).rstrip("=") or None
    if isinstance(value, str):
        try:
            return plain(float(value))
        except ValueError:
            return value.strip(" \0") or None
    if isinstance(value, bytes):
        return value or None
    if isinstance(value, (int, float)) or hasattr(value, "is_integer"):
        return float(value)
    return value if value != "" else None


def same_number(one, other):
    """Equal as numbers of 32 bits at least: a value of VR FL is written as short as they allow."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or math.isclose(one, other, rel_tol=1e-7, abs_tol=1e-44)


def same(one, other):
    """Compares what `plain` gives."""
    if isinstance(one, float) and isinstance(other, float):
        return same_number(one, other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bytes) and isinstance(other, bytes):
        # A value of odd length gets a byte behind it (PS3.5 §6.2).
        return one == other or (len(one) % 2 and one + b"\0" == other) or (len(other) % 2 and other + b"\0" == one)
    return one == other


def differences(one, other, skip=lambda tag: False, big_endian=False, path=""):
    """What is in one and not, or otherwise, in the other: a list of sentences. `big_endian` says what
    the first one is, as pydicom leaves words (OW) in their order."""
    found = []
    tags = {tag for dataset in (one, other) for tag in dataset.keys() if is_compared(tag)}
    for tag in sorted(tags):
        where = f"{path}{tag}"
        if skip(tag):
            continue
        if tag not in one or tag not in other:
            found.append(f"{where} is only in the {'first' if tag in one else 'second'}")
            continue
        bytes_one, bytes_other = raw(one, tag), raw(other, tag)
        unread = bytes_one if bytes_one is not None else b""
        (first, trouble), (second, trouble_too) = element(one, tag), element(other, tag)
        if first is None or second is None:
            if bytes_one is None or bytes_other is None or not same(bytes_one, bytes_other):
                found.append(f"{where} cannot be understood: {trouble or trouble_too}")
            continue
        if first.VR == "OW" and big_endian and second.VR == "OW":
            found.extend([] if same(swapped(first.value), second.value) else [f"{where} OW: other words"])
        elif same_unknown(first, second, unread):
            continue
        else:
            found.extend(element_differences(first, second, (bytes_one, bytes_other), where, big_endian))
    return found


def swapped(value):
    return numpy.frombuffer(value, ">u2").astype("<u2").tobytes()


def same_unknown(first, second, unread):
    """pydicom knows the VR of some private elements where the data set does not say it; the archive
    gives them as UN, and the same bytes."""
    return second.VR == "UN" and first.tag.is_private and same(unread, second.value or b"")


def element_differences(first, second, values, where, big_endian):
    if first.VR == "SQ" and second.VR == "SQ":
        one, other = first.value or [], second.value or []
        if len(one) != len(other):
            return [f"{where} has {len(one)} items, and {len(other)}"]
        pairs = enumerate(zip(one, other))
        return [d for place, (a, b) in pairs for d in differences(a, b, big_endian=big_endian, path=f"{where}[{place}].")]
    if first.VR != second.VR and " or " not in first.VR and not {first.VR, second.VR} <= OPEN:
        return [f"{where} is {first.VR}, and {second.VR}"]
    bytes_one, bytes_other = values
    if bytes_one is not None and bytes_other is not None and same(bytes_one, bytes_other):
        return []
    try:
        one, other = plain(first.value), plain(second.value)
        if same(one, other):
            return []
    except Exception as error:
        return [f"{where} {first.VR}: {type(error).__name__}: {error!s:.80}"]
    return [f"{where} {first.VR}: {one!r:.60} and {other!r:.60}"]
