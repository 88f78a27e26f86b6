"""What is sent and what is kept, as bytes: data sets without preamble and meta information."""

import hashlib
import io
from pathlib import Path

from pydicom.filereader import _read_file_meta_info, read_preamble


def data_set(data):
    """The data set of a file, exactly as it lies there."""
    stream = io.BytesIO(data)
    if data[128:132] == b"DICM":
        read_preamble(stream, force=True)
    if stream.tell() or data[:2] == b"\x02\0":
        _read_file_meta_info(stream)
    return data[stream.tell() :]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def digests(paths):
    """Digests of the data sets in files, sorted."""
    return sorted(digest(data_set(Path(path).read_bytes())) for path in paths)


def sendable(instances):
    """Those that a C-STORE can name: their class is known, and their bytes are what they seem."""
    return [each for each in instances if each.sop_class and each.is_part10 and even(each)]


def even(instance):
    """pynetdicom and DCMTK send no data set of odd length, which PS3.5 §7.1 does not know."""
    return len(data_set(instance.data)) % 2 == 0


def kinds(instances):
    """Classes and transfer syntaxes, each pair once."""
    return sorted({(each.sop_class, each.syntax) for each in instances})


def groups(items, size):
    for start in range(0, len(items), size):
        yield items[start : start + size]
