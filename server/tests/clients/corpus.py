"""The files that the clients store, and what the independent reader, pydicom, finds in them."""

import io
import warnings
import zipfile
from collections import defaultdict
from pathlib import Path

import pydicom
from pydicom.dataelem import RawDataElement

PREAMBLE_BYTES = 132
IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
UNDEFINED = 0xFFFFFFFF
EXPLICIT_BE = "1.2.840.10008.1.2.2"

# pydicom says a lot about odd files; what it says is not what is tested.
warnings.filterwarnings("ignore", module="pydicom")


def text(value):
    """A UID as it can stand in a path: one value without padding; empty if there is none."""
    return str(value).strip(" \0") if value and not isinstance(value, (list, tuple)) else ""


class Instance:
    """A file that holds an instance."""

    def __init__(self, path, data, dataset):
        self.path = path
        self.data = data
        self.study = text(dataset.get("StudyInstanceUID"))
        self.series = text(dataset.get("SeriesInstanceUID"))
        self.sop = text(dataset.get("SOPInstanceUID"))
        self.sop_class = text(dataset.get("SOPClassUID"))
        self.is_part10 = data[128:132] == b"DICM"
        meta = getattr(dataset, "file_meta", None)
        syntax = text(meta.get("TransferSyntaxUID")) if meta else ""
        implicit, little = dataset.original_encoding
        guess = IMPLICIT_LE if implicit else EXPLICIT_LE if little else EXPLICIT_BE
        self.syntax = syntax or guess
        self.has_pixels = "PixelData" in dataset
        self.is_multiframe = str(dataset.get("NumberOfFrames") or "1") != "1"
        # Not by the transfer syntax: pydicom does not know all of them.
        pixels = dataset.get_item("PixelData")
        self.is_encapsulated = self.has_pixels and (
            pixels.length == UNDEFINED if isinstance(pixels, RawDataElement) else pixels.is_undefined_length
        )

    @property
    def key(self):
        return self.study, self.series, self.sop

    def dataset(self):
        """Reads it anew: pydicom's data sets change while they are read."""
        return pydicom.dcmread(io.BytesIO(self.data), force=True)

    @property
    def goes_out_as_stored(self):
        """Implicit VR and big endian never go over the web (PS3.18 §8.7.3)."""
        return self.syntax not in (IMPLICIT_LE, EXPLICIT_BE)

    def __repr__(self):
        return self.path


class Corpus:
    """A folder, read."""

    def __init__(self, folder):
        folder = Path(folder)
        self.instances = []
        # (path, bytes, reason) of what holds no instance.
        self.others = []
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.read_file(str(path.relative_to(folder)), path)
        # All files of one instance, in the order in which they are stored.
        self.versions = defaultdict(list)
        for instance in self.instances:
            self.versions[instance.key].append(instance)

    def rounds(self):
        """The files in rounds that hold every UID once, so that each file is seen once."""
        for place in range(max(len(versions) for versions in self.versions.values())):
            yield [versions[place] for versions in self.versions.values() if len(versions) > place]

    def read_file(self, name, path):
        self.read(name, path.read_bytes())
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for member in sorted(archive.namelist()):
                    if not member.endswith("/"):
                        self.read(f"{name}/{member}", archive.read(member))

    def read(self, path, data):
        try:
            dataset = pydicom.dcmread(io.BytesIO(data), force=True, defer_size=1 << 20)
            instance = Instance(path, data, dataset)
        except Exception as error:  # pydicom raises whatever its parts raise
            self.others.append((path, data, f"pydicom cannot read it: {error!s:.80}"))
            return
        missing = [
            name
            for name, value in [
                ("Study Instance UID", instance.study),
                ("Series Instance UID", instance.series),
                ("SOP Instance UID", instance.sop),
            ]
            if not value
        ]
        if missing:
            self.others.append((path, data, f"no {', '.join(missing)}"))
        else:
            self.instances.append(instance)

    def visible(self, versions):
        """The versions that may be shown when all have been stored in order: the last one if they
        differ in other things than pixels, the first one if in pixels."""
        if len({version.data for version in versions}) == 1:
            return versions[:1]
        pixels = {bytes(version.dataset().get("PixelData", b"") or b"") for version in versions}
        return versions[-1:] if len(pixels) == 1 else versions
