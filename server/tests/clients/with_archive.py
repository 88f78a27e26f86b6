"""with_archive.py CAIRN FOLDER [--import PATH]... -- COMMAND...: runs a command beside `cairn serve`.

The command finds the server in $CAIRN_URL (its root, without /dicom-web) and may keep things in
$CAIRN_SCRATCH. The exit code is its own.
"""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from archive import Archive  # noqa: E402


def main():
    arguments, command = sys.argv[1:], []
    if "--" in arguments:
        place = arguments.index("--")
        arguments, command = arguments[:place], arguments[place + 1 :]
    binary, folder, *options = arguments
    data = Path(folder) / "data"
    paths = [path for option, path in zip(options[::2], options[1::2]) if option == "--import"]
    if paths:
        Path(folder).mkdir(parents=True, exist_ok=True)
        imported = subprocess.run([binary, "--data", str(data), "-q", "import", *paths], stdin=subprocess.DEVNULL)
        if imported.returncode not in (0, 1):  # 1: something there is no DICOM
            return imported.returncode
    with Archive(binary, folder) as archive:
        variables = {"CAIRN_URL": archive.root, "CAIRN_SCRATCH": str(folder)}
        return subprocess.run(command, env={**os.environ, **variables}).returncode


if __name__ == "__main__":
    sys.exit(main())
