#!/usr/bin/env bash
# .ci/clients.sh CAIRN CORPUS [PART...]: what real clients and peers make of `cairn serve`.
#
#   dimse    pynetdicom, DCMTK and Orthanc over DIMSE, both ways, over every file of CORPUS
#   python   dicomweb-client and pydicom, over every file of CORPUS; Weasis's requests replayed
#   js       dicomweb-client of npm, under node
#   ohif     OHIF's prebuilt site in headless Chromium
#   access   tokens of node-oidc-provider; audit messages to rsyslog over TLS, checked by schema and profile
#
# Without PART: all. CORPUS is what .ci/corpus.sh fetches. Packages come from PyPI and npm, with fixed
# versions, into CLIENTS_TOOLS (default target/clients); node, Chromium, DCMTK, Orthanc and rsyslog are Debian's
# and have to be there. Servers run on free ports of loopback and are ended; what they keep goes away, but for logs and
# screenshots in CLIENTS_OUT (default target/clients/out).
#
# Exit code 0: all that was tested held; 1: something did not. A part that cannot be tested for want of
# a package is named as NOT TESTED; with CLIENTS_STRICT=1 that fails too.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CAIRN CORPUS [dimse|python|js|ohif|access]..." >&2; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd)
cairn=$(realpath "$1")
corpus=$(realpath "$2")
shift 2
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(dimse python js ohif access)
tools=${CLIENTS_TOOLS:-$here/target/clients}
out=${CLIENTS_OUT:-$here/target/clients/out}
tests=$here/server/tests/clients
mkdir -p "$tools" "$out"
tools=$(realpath "$tools")
out=$(realpath "$out")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

say() { printf '\n== %s\n' "$*"; }
not_tested() {
  echo "NOT TESTED: $*"
  [ "${CLIENTS_STRICT:-0}" = 0 ] || failed=1
}

python_tools() {
  python=$tools/python/bin/python
  [ -x "$python" ] || python3 -m venv "$tools/python" || return 1
  "$python" -m pip install -q --disable-pip-version-check --only-binary :all: \
    -r "$tests/requirements.txt"
}

npm_package() { # name version sha256: unpacked into node_modules, without running anything of it
  local folder=$tools/node_modules/$1 file
  [ "$(cat "$folder/.version" 2>/dev/null)" = "$2" ] && return 0
  file=$tools/$(cd "$tools" && npm pack --silent "$1@$2") || return 1
  echo "$3  $file" | sha256sum -c --quiet - >&2 || { echo "bad checksum: $1" >&2; return 1; }
  rm -rf "$folder"
  mkdir -p "$folder"
  tar -xzf "$file" -C "$folder" --strip-components=1 --exclude='*.map' && rm -f "$file"
  echo "$2" >"$folder/.version"
}

with_archive() { # folder, then options and the command of with_archive.py
  (cd "$tools" && "$python" "$tests/with_archive.py" "$cairn" "$@")
}

run_python() {
  say "Python: dicomweb-client, pydicom; Weasis's requests"
  "$python" -W ignore "$tests/main.py" "$cairn" "$corpus" "$scratch/python" || failed=1
}

run_dimse() {
  say "DIMSE: pynetdicom, DCMTK, Orthanc"
  command -v storescu >/dev/null || not_tested "dimse: no dcmtk"
  command -v Orthanc >/dev/null || not_tested "dimse: no orthanc"
  mkdir -p "$scratch/dimse"
  (cd "$tools" && "$python" -W ignore "$tests/dimse/main.py" "$cairn" "$corpus" "$scratch/dimse") || failed=1
}

run_js() {
  say "JavaScript: dicomweb-client under node"
  command -v node >/dev/null && command -v npm >/dev/null || { not_tested "js: no node, npm"; return; }
  npm_package dicomweb-client 0.11.3 \
    cda90aae5843f974beaeaf9c191f238209e18b28a932b10af575df6d7320d891 &&
    npm_package xhr2 0.2.1 3756c7bc5c8f86f581e0c919534365a8edf1c121fb19f44c74378814e957b326 ||
    { not_tested "js: its packages cannot be fetched"; return; }
  with_archive "$scratch/js" -- node "$tests/js/dicomweb.mjs" "$scratch/some/files.json" || failed=1
}

run_ohif() {
  say "OHIF in Chromium"
  local chromium
  chromium=$(command -v chromium || command -v chromium-browser) || { not_tested "ohif: no chromium"; return; }
  command -v node >/dev/null && command -v npm >/dev/null || { not_tested "ohif: no node, npm"; return; }
  # playwright-core wants it; Debian 12 has 18.
  node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' ||
    { not_tested "ohif: node is older than 20"; return; }
  npm_package @ohif/app 3.12.10 \
    fbabd410be33e5b9898931b725229b9da9553aac339914b5c29796d3aa5d4b2d &&
    npm_package playwright-core 1.65.1 \
      6f5a60be62a4fddfbe7d10c448d8fbd54547da3358f2f8a04211440471ee863e ||
    { not_tested "ohif: its packages cannot be fetched"; return; }
  with_archive "$scratch/ohif" --import "$corpus" -- node "$tests/js/ohif.mjs" "$chromium" \
    "$tools/node_modules/@ohif/app/dist" "$scratch/some/ohif.json" || failed=1
  cp "$scratch"/ohif/*.png "$out" 2>/dev/null && echo "       screenshots: $out/ohif-*.png"
}

run_access() {
  say "Access: node-oidc-provider, rsyslog, schemas"
  command -v node >/dev/null && command -v npm >/dev/null || { not_tested "access: no node, npm"; return; }
  node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' ||
    { not_tested "access: node is older than 20"; return; }
  mkdir -p "$tools/access"
  cp "$tests"/access/package.json "$tests"/access/package-lock.json "$tools/access"
  (cd "$tools/access" && npm ci --silent --ignore-scripts --no-audit --no-fund) ||
    { not_tested "access: its packages cannot be fetched"; return; }
  "$python" -W ignore "$tests/access/main.py" "$cairn" "$scratch/access" "$tools/access/node_modules" || failed=1
}

if ! python_tools; then
  not_tested "all: Python packages cannot be fetched"
  exit "$failed"
fi
case " ${parts[*]} " in *" js "* | *" ohif "*)
  "$python" -W ignore "$tests/some.py" "$corpus" "$scratch/some" ;;
esac
for part in "${parts[@]}"; do
  case $part in
    dimse | python | js | ohif | access) "run_$part" ;;
    *) echo "$0: no part '$part'" >&2; exit 2 ;;
  esac
done
for log in "$scratch"/*/*.log "$scratch"/*/*/*.log "$scratch"/*/findings.txt; do
  [ ! -f "$log" ] || cp "$log" "$out/$(realpath --relative-to "$scratch" "$log" | tr / -)"
done
[ "$failed" = 0 ] && say "clients: all held" || say "clients: something did not hold"
exit "$failed"
