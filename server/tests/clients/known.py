"""Files of the corpus in which the reader and the archive differ, and who is right.

A reason stands here only if it was looked into; what is listed is told in the report, not hidden.
"""

# (end of the path, what is compared): why.
KNOWN = {
    ("badVR.dcm", "json"): "Number of Frames is '1A': JSON has it as text, which pydicom does not take for an IS",
    ("rtplan_truncated.dcm", "json"): "its last element is cut short: pydicom shows what is left of the value",
    ("rtplan_truncated.dcm", "explicit"): "the same: what is cut short is only in the file as it is stored",
    ("image_dfl.dcm", "picture"): "deflated as a whole: its frames are not counted, so the default is the file",
    ("MR_truncated.dcm", "picture"): "there is no whole frame, so the default is the file",
    ("damaged/trailing-garbage.dcm", "store"): "pydicom reads the garbage behind the data set, and gives up",
    ("emri_small_jpeg_2k_lossless_too_short.dcm", "store"): (
        "pydicom loses its way and finds no UIDs; they are there, and only the end of the pixels is missing"
    ),
}


def reason(path, what):
    """The reason, if the file is known."""
    for (end, aspect), why in KNOWN.items():
        if aspect == what and path.endswith(end):
            return why
    return None
