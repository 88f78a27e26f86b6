"""Codes frames by imagecodecs, on one thread: reference coders of medical images beside Cairn's.

usage: reference.py FOLDER RUNS

FOLDER holds `frames.json`, a list of {"rows", "columns", "samples", "sample_bytes", "bytes"}, and
`frames.bin`, the frames one after the other. Prints one JSON object: the library, and for each coder the
seconds of each run and the coded bytes, or why it could not be measured. Frames come back equal, or that
is an error.
"""

import json
import pathlib
import sys
import time

import imagecodecs
import numpy


def coders():
    """Name, encoder, decoder; lossless all of them."""
    return [
        ("JPEG-LS (CharLS)", imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
        (
            "HTJ2K (OpenJPH)",
            lambda image: imagecodecs.htj2k_encode(image, reversible=True),
            imagecodecs.htj2k_decode,
        ),
        (
            "JPEG 2000 (OpenJPEG)",
            lambda image: imagecodecs.jpeg2k_encode(image, reversible=True, numthreads=1),
            lambda coded: imagecodecs.jpeg2k_decode(coded, numthreads=1),
        ),
        (
            "JPEG XL 1 (libjxl)",
            lambda image: imagecodecs.jpegxl_encode(
                image, lossless=True, effort=1, numthreads=1
            ),
            lambda coded: imagecodecs.jpegxl_decode(coded, numthreads=1),
        ),
        (
            "JPEG XL 3 (libjxl)",
            lambda image: imagecodecs.jpegxl_encode(
                image, lossless=True, effort=3, numthreads=1
            ),
            lambda coded: imagecodecs.jpegxl_decode(coded, numthreads=1),
        ),
    ]


def frames(folder):
    raw = (folder / "frames.bin").read_bytes()
    at = 0
    for frame in json.loads((folder / "frames.json").read_text()):
        kind = numpy.uint8 if frame["sample_bytes"] == 1 else numpy.dtype("<u2")
        shape = (frame["rows"], frame["columns"])
        if frame["samples"] > 1:
            shape += (frame["samples"],)
        count = frame["bytes"] // frame["sample_bytes"]
        yield numpy.frombuffer(raw, kind, count, at).reshape(shape)
        at += frame["bytes"]


def measure(encode, decode, images, runs):
    """Times calls alone; what they make is copied away, and its memory used again."""
    encode_s, decode_s = [], []
    kept = bytearray(2 * sum(image.nbytes for image in images) + (1 << 20))
    for run in range(runs + 1):  # the first one warms up
        at, ends, seconds = 0, [], 0.0
        for image in images:
            begun = time.perf_counter()
            coded = encode(image)
            seconds += time.perf_counter() - begun
            kept[at : at + len(coded)] = coded
            at += len(coded)
            ends.append(at)
            del coded
        if run:
            encode_s.append(seconds)
        at, seconds = 0, 0.0
        for end in ends:
            coded = bytes(memoryview(kept)[at:end])
            begun = time.perf_counter()
            decode(coded)
            seconds += time.perf_counter() - begun
            at = end
        if run:
            decode_s.append(seconds)
    at = 0
    for end, image in zip(ends, images):
        if not numpy.array_equal(decode(bytes(kept[at:end])).reshape(image.shape), image):
            raise ValueError("a frame did not come back as it was")
        at = end
    return {"encode_s": encode_s, "decode_s": decode_s, "coded_bytes": at}


def main():
    folder, runs = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    images = list(frames(folder))
    found = []
    for name, encode, decode in coders():
        print(name, file=sys.stderr, flush=True)
        try:
            found.append({"coder": name, **measure(encode, decode, images, runs)})
        except Exception as error:  # a coder that is not in this build, or refuses these frames
            found.append({"coder": name, "error": f"{type(error).__name__}: {error}"})
    print(json.dumps({"library": f"imagecodecs {imagecodecs.__version__}", "coders": found}))


main()
