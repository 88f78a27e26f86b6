"""Pixels as pydicom decodes them, beside those that the server gives."""

import imagecodecs
import numpy
import pydicom
from pydicom.pixels import get_decoder, iter_pixels, pixel_array

from client import quietly

# How far two decoders of a lossy stream may be apart: both round in their own way. One of those that
# pydicom has must be so near; on streams with halved colours they are up to 5 apart from each other.
LOSSY_DISTANCE_MAX = 3
LOSSY = {
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.203",
}


# pydicom has no decoder for these; imagecodecs has.
JPEG_XL = {"1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112"}


def frames(dataset, as_rgb, plugin=""):
    """Arrays of pixels, frame by frame; colours as they are coded, or as RGB."""
    meta = getattr(dataset, "file_meta", None)
    if meta and str(meta.get("TransferSyntaxUID")) in JPEG_XL:
        return map(imagecodecs.jpegxl_decode, coded_frames(dataset))
    return iter_pixels(dataset, raw=not as_rgb, decoding_plugin=plugin)


def becomes_rgb(stored, given):
    """Did the server turn colour differences into colours? Its header says so."""
    before, after = (str(each.get("PhotometricInterpretation", "")) for each in (stored, given))
    return before.startswith("YBR") and after == "RGB"


def undecodable(dataset):
    """Why pydicom cannot decode all frames; `None` if it can."""
    try:
        for _ in quietly(lambda: list(frames(dataset, False))):
            pass
    except Exception as error:  # pydicom raises whatever its plugins raise
        return f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    return None


def compare(section, instance, stored, given):
    """Every frame of `given`, which the server decoded, against pydicom's decoding of the file."""
    as_rgb = becomes_rgb(stored, given)
    pairs = zip(frames(stored, as_rgb), frames(given, False), strict=True)
    for number, (wanted, found) in enumerate(pairs, 1):
        if wanted.shape == found.shape and numpy.array_equal(wanted, found):
            section.count("frames equal")
            continue
        if wanted.shape != found.shape:
            section.fail(f"{instance} frame {number}: {found.shape}, not {wanted.shape}")
            return
        apart = distance(wanted, found)
        if instance.syntax in LOSSY and apart > LOSSY_DISTANCE_MAX:
            apart = min(apart, *other_distances(instance, number, as_rgb, found))
        section.hold(
            instance.syntax in LOSSY and apart <= LOSSY_DISTANCE_MAX,
            f"frames within {LOSSY_DISTANCE_MAX} (lossy)",
            f"{instance} frame {number}: up to {apart} apart",
        )


def distance(one, other):
    return int(numpy.abs(one.astype("int64") - other.astype("int64")).max())


def other_distances(instance, number, as_rgb, found):
    """From frame `number` as each decoder has it that pydicom can use."""
    for plugin in get_decoder(instance.syntax).available_plugins:
        options = {"index": number - 1, "raw": not as_rgb, "decoding_plugin": plugin}
        yield distance(pixel_array(instance.dataset(), **options), found)


def bit_frame(value, pixels, number):
    """Frame `number`, from 0, of packed bits, as bits."""
    bits = numpy.unpackbits(numpy.frombuffer(value, "uint8"), bitorder="little")
    return bits[number * pixels : (number + 1) * pixels]


def frame_count(dataset):
    """Number of Frames, which may be no number."""
    try:
        return int(dataset.get("NumberOfFrames") or 1)
    except ValueError:
        return 1


def native_frames(dataset):
    """The frames of native pixel data, as bytes; 1-bit ones as bits."""
    value = dataset.PixelData
    count = frame_count(dataset)
    pixels = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel
    for number in range(count):
        if dataset.BitsAllocated == 1:
            yield bit_frame(value, pixels, number).tobytes()
            continue
        bits = pixels * dataset.BitsAllocated
        if dataset.PhotometricInterpretation == "YBR_FULL_422" and dataset.SamplesPerPixel == 3:
            bits = bits // 3 * 2
        size = bits // 8
        frame = value[number * size : (number + 1) * size]
        if len(frame) == size:
            yield frame


def unpacked(dataset, frame):
    """A frame as the server sends it, in the form of `native_frames`."""
    if dataset.BitsAllocated != 1:
        return frame
    return bit_frame(frame, dataset.Rows * dataset.Columns * dataset.SamplesPerPixel, 0).tobytes()


def coded_frames(dataset):
    """Code streams of an encapsulated object."""
    count = frame_count(dataset)
    tables = [dataset.get(name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    return pydicom.encaps.generate_frames(
        dataset.PixelData,
        number_of_frames=count,
        extended_offsets=tuple(tables) if all(tables) else None,
    )
