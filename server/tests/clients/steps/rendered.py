"""Pictures: they decode, have the size that was asked for, and show what is in the file."""

import io

import numpy
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from requests import HTTPError

import pixels
from client import quietly

# Correlation of a picture with pydicom's own windowing; JPEG and rounding cost little.
LIKENESS_MIN = 0.98


def likeness(one, other):
    one, other = one.astype("float64").ravel(), other.astype("float64").ravel()
    if one.std() == 0 or other.std() == 0:
        return 1.0 if one.std() == other.std() else 0.0
    return float(numpy.corrcoef(one, other)[0, 1])


def shown(dataset):
    """The first frame as it should look in grey: modality and VOI transformation, MONOCHROME1 upside
    down. `None` where that is not so simple."""
    interpretation = str(dataset.get("PhotometricInterpretation", ""))
    if interpretation.startswith("MONOCHROME") and "VOILUTSequence" not in dataset:
        frame = next(iter(pixels.frames(dataset, False)))
        if "NumberOfFrames" in dataset or dataset.BitsAllocated not in (8, 16):
            return None
        if "WindowCenter" not in dataset and "PixelPaddingValue" in dataset:
            return None  # pydicom shows the padding too, and so little of the rest
        grey = apply_voi_lut(apply_modality_lut(frame, dataset), dataset).astype("float64")
        return -grey if interpretation == "MONOCHROME1" else grey
    if interpretation == "RGB":
        return next(iter(pixels.frames(dataset, False)))
    if interpretation.startswith("YBR"):
        return next(iter(pixels.frames(dataset, True)))
    return None


def rendered(section, client, instances):
    for member in instances:
        dataset = member.dataset()
        if not member.has_pixels:
            continue
        try:
            picture = quietly(client.retrieve_instance_frames_rendered, *member.key, [1], media_types=("image/png",))
        except HTTPError as error:
            reason = pixels.undecodable(member.dataset())
            # 404: there is no whole frame.
            section.hold(error.response.status_code in (404, 406), "not rendered", f"{member}: {error!s:.80}")
            section.hold(reason, "not rendered, as pydicom cannot either", f"{member}: pydicom decodes it")
            continue
        image = Image.open(io.BytesIO(picture))
        section.same(image.size, (dataset.Columns, dataset.Rows), "PNG of the right size", member.path)
        compare(section, member, image)
        jpeg = client.retrieve_instance_rendered(*member.key, media_types=("image/jpeg",), params={"quality": 90})
        size = Image.open(io.BytesIO(jpeg)).size
        section.same(size, (dataset.Columns, dataset.Rows), "JPEG of the right size", member.path)
        small = client.get(
            f"/studies/{member.study}/series/{member.series}/instances/{member.sop}/rendered?viewport=64,64",
            "image/jpeg",
        )
        size = Image.open(io.BytesIO(small.content)).size
        section.hold(max(size) == 64, "viewports", f"{member}: {size}")


def compare(section, member, image):
    try:
        wanted = quietly(shown, member.dataset())
    except Exception as error:  # pydicom raises whatever its parts raise
        section.note(f"no picture by pydicom: {member}: {error!s:.80}")
        return
    if wanted is None:
        return
    found = numpy.asarray(image.convert("RGB" if wanted.ndim == 3 else "L"))
    if not section.hold(found.shape == wanted.shape, "picture shapes", f"{member}: {found.shape}"):
        return
    alike = likeness(found, wanted)
    section.hold(alike >= LIKENESS_MIN, "pictures like pydicom's", f"{member}: {alike:.3f}")
