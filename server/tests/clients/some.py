"""some.py CORPUS FOLDER: the smallest image of each transfer syntax, for the clients in JavaScript, and
the studies that OHIF opens.

Writes files into FOLDER/files, and FOLDER/files.json and FOLDER/ohif.json about them.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pixels  # noqa: E402
from corpus import Corpus  # noqa: E402


def smallest(instances):
    chosen = {}
    for instance in sorted(instances, key=lambda each: len(each.data)):
        if instance.has_pixels and instance.syntax not in chosen and not pixels.undecodable(instance.dataset()):
            chosen[instance.syntax] = instance
    return list(chosen.values())


def describe(instance, path):
    dataset = instance.dataset()
    bits = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated
    return {
        "path": instance.path,
        "file": str(path),
        "study": instance.study,
        "series": instance.series,
        "sop": instance.sop,
        "as_stored": instance.goes_out_as_stored and instance.is_part10,
        "frame_bytes": (bits + 7) // 8,
    }


def ohif(corpus):
    """A series of many slices, and the multi-frame of most frames in colour."""
    slices = {}
    for instance in corpus.instances:
        if instance.has_pixels and instance.path.startswith("pylinac/cbct"):
            slices.setdefault(instance.study, []).append(instance)
    cines = [each for each in corpus.instances if each.path.endswith("color3d_jpeg_baseline.dcm")]
    return {"slices": max(slices, key=lambda study: len(slices[study]), default=None),
            "cine": cines[0].study if cines else None}


def main():
    corpus, folder = Corpus(sys.argv[1]), Path(sys.argv[2])
    (folder / "files").mkdir(parents=True, exist_ok=True)
    first = [versions[0] for versions in corpus.versions.values()]
    described = []
    for number, instance in enumerate(smallest(first)):
        path = folder / "files" / f"{number}.dcm"
        path.write_bytes(instance.data)
        described.append(describe(instance, path.resolve()))
    (folder / "files.json").write_text(json.dumps(described))
    (folder / "ohif.json").write_text(json.dumps(ohif(corpus)))
    print(f"{len(described)} images, one for each transfer syntax")


if __name__ == "__main__":
    main()
