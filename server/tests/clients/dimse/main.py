"""main.py CAIRN CORPUS SCRATCH [PART...]: what other DIMSE implementations make of `cairn serve`.

PARTs: pynetdicom, malformed, dcmtk, orthanc, federated; all of them without. Every file below CORPUS that holds an instance
goes in and comes back by every service, and data sets are compared byte by byte wherever the other
side does not write them anew.
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from corpus import Corpus  # noqa: E402
from dimse import by_dcmtk, by_orthanc, by_pynetdicom, federated, malformed  # noqa: E402
from tally import Tally  # noqa: E402

PARTS = {"pynetdicom": by_pynetdicom.run, "malformed": malformed.run, "dcmtk": by_dcmtk.run, "orthanc": by_orthanc.run, "federated": federated.run}


def main():
    binary, folder, scratch, *parts = sys.argv[1:]
    corpus, scratch, tally = Corpus(folder), Path(scratch), Tally()
    print(f"{len(corpus.instances)} files hold {len(corpus.versions)} instances by UID")
    for part in parts or PARTS:
        PARTS[part](tally, binary, corpus, scratch / part)
        for data in scratch.glob(f"{part}/**/data"):
            shutil.rmtree(data, ignore_errors=True)
    return tally.finish(scratch / "findings.txt")


if __name__ == "__main__":
    sys.exit(main())
