#!/usr/bin/env bash
# .ci/corpus.sh DIR: real DICOM files for the tests, from public packages by their ordinary clients.
#
#   pydicom-data     CR, CT, MR, NM, US; big-endian, RLE, JPEG, JPEG 2000, JPEG-LS; multi-frame
#   pydicom          small odd files: no preamble, no meta, deflated, truncated, bad VRs, DICOMDIRs
#   pylinac          a CBCT series of 64 slices, EPID images
# Fetched files are checked against their SHA-256. Idempotent. Exit 1, saying so, if a package cannot
# be had.
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
wheels=$out.wheels # beside the corpus: wheels are no test data
mkdir -p "$wheels"
pip=(python3 -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1; then # Debian's python3 comes without
  [ -x "$out.venv/bin/pip" ] || python3 -m venv "$out.venv"
  pip=("$out.venv/bin/pip")
fi

fetch() { # package==version sha256 inner-folder set
  local name=${1%%==*} file
  [ -d "$out/$4" ] && return 0
  file=$(find "$wheels" -name "${name//-/_}-${1##*==}-*.whl" | head -n 1)
  if [ -z "$file" ]; then
    "${pip[@]}" download -q --no-deps --only-binary :all: --ignore-requires-python \
      --disable-pip-version-check -d "$wheels" "$1" >&2 || { echo "cannot fetch $1" >&2; return 1; }
    file=$(find "$wheels" -name "${name//-/_}-${1##*==}-*.whl" | head -n 1)
  fi
  echo "$2  $file" | sha256sum -c --quiet - >&2 || { echo "bad checksum: $1" >&2; return 1; }
  rm -rf "$out/$4.part"
  mkdir -p "$out/$4.part"
  python3 - "$file" "$3" "$out/$4.part" <<'PY'
import os, sys, zipfile
archive, inner, target = sys.argv[1:]
with zipfile.ZipFile(archive) as wheel:
    for name in wheel.namelist():
        if name.startswith(inner + '/') and not name.endswith('/'):
            path = os.path.join(target, name[len(inner) + 1:])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as out:
                out.write(wheel.read(name))
PY
  mv "$out/$4.part" "$out/$4"
}

fetch pydicom-data==1.0.0 622ac97265f1d91f76b5120b5bd6eb0f57737c392ef863b72c71779c91e33637 \
  data_store/data pydicom-data
fetch pydicom==3.0.2 abf971a5440f84dbaf42c4b6758e30e62480902584f8b270b9a5d146e278a07b \
  pydicom/data pydicom
fetch pylinac==1.0.3 5ea30923e18f72c7d531d2dcfd2b70ecee3197f7e7bcefa9d8ad8a4eef3336d2 \
  pylinac/demo_files pylinac
echo "corpus: $(find "$out" -type f | wc -l) files in $out" >&2
