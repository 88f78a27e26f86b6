#!/usr/bin/env bash
# Installs what Cairn is compared with, from public packages: Debian, crates.io, the Go proxy, PyPI.
#
#   install-peers.sh PREFIX [MINUTES]
#
# PREFIX   receives bin/ (what is not Debian's) and venv/ (Python with imagecodecs)
# MINUTES  how long one build may take; default 30. rustic is a long one.
#
# Each peer is optional. Prints a line for each: "have", "installed" or "MISSING", and why. Ends with 0
# whatever could be had: `cairn-bench all` names what is missing. Then:
#
#   PATH=PREFIX/bin:$PATH cairn-bench all --corpus DIR --python PREFIX/venv/bin/python
#
# Debian's packages need root; where this is not, they are left alone.
set -uo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

[ $# -ge 1 ] && [ $# -le 2 ] || { printf 'usage: %s PREFIX [MINUTES]\n' "$0" >&2; exit 2; }
mkdir -p "$1/bin"
PREFIX=$(cd "$1" && pwd)
SECONDS_MAX=$((${2:-30} * 60))
LOG=$PREFIX/install-peers.log
: >"$LOG"
export PATH=$PREFIX/bin:$PATH

say() { printf '%-12s %-10s %s\n' "$1" "$2" "${3:-}"; }

# Runs a build with low priority and a limit; its output goes to the log.
build() { nice timeout "$SECONDS_MAX" "$@" >>"$LOG" 2>&1; }

# Why the last build ended: a limit, or the last line that says anything.
why() {
    [ "$1" != 124 ] || { printf 'not built within %s minutes' $((SECONDS_MAX / 60)); return; }
    grep -v '^[[:space:]]*$' "$LOG" | tail -n 1 | cut -c1-110
}

# Is program $2 there, as peer $1?
have() {
    command -v "$2" >/dev/null 2>&1 || return 1
    say "$1" have "$(command -v "$2")"
}

# debian PEER PROGRAM PACKAGE...
debian() {
    local peer=$1 program=$2
    shift 2
    ! have "$peer" "$program" || return 0
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
        { say "$peer" MISSING "needs root and apt-get: $*"; return; }
    build apt-get install -y --no-install-recommends "$@"
    local code=$?
    [ $code = 0 ] && say "$peer" installed "Debian: $*" || say "$peer" MISSING "$(why $code)"
}

# crate PEER PROGRAM CRATE VERSION
crate() {
    ! have "$1" "$2" || return 0
    command -v cargo >/dev/null || { say "$1" MISSING 'needs cargo'; return; }
    # What was built stays there, so that another run goes on where a limit ended this one.
    build cargo install --locked --root "$PREFIX" --target-dir "$PREFIX/build" --version "$4" "$3"
    local code=$?
    [ $code = 0 ] && say "$1" installed "crates.io: $3 $4" || say "$1" MISSING "$3: $(why $code)"
}

# golang PEER PROGRAM PACKAGE@VERSION
golang() {
    ! have "$1" "$2" || return 0
    command -v go >/dev/null || { say "$1" MISSING 'needs go'; return; }
    GOBIN=$PREFIX/bin build go install "$3"
    local code=$?
    [ $code = 0 ] && say "$1" installed "Go proxy: $3" || say "$1" MISSING "$3: $(why $code)"
}

imagecodecs() {
    local python=$PREFIX/venv/bin/python
    if [ -x "$python" ] && "$python" -c 'import imagecodecs' 2>/dev/null; then
        say imagecodecs have "$python"
        return
    fi
    build python3 -m venv "$PREFIX/venv" &&
        build "$PREFIX/venv/bin/pip" install --quiet 'numpy' 'imagecodecs>=2024'
    local code=$?
    [ $code = 0 ] && say imagecodecs installed "PyPI, in $PREFIX/venv" ||
        say imagecodecs MISSING "$(why $code)"
}

debian restic restic restic
debian borg borg borgbackup
debian casync casync casync
debian zstd zstd zstd
debian b3sum b3sum b3sum
debian dcmtk storescu dcmtk
debian orthanc Orthanc orthanc orthanc-dicomweb orthanc-gdcm
imagecodecs
golang desync desync github.com/folbricht/desync/cmd/desync@latest
golang kopia kopia github.com/kopia/kopia@latest
crate b3sum b3sum b3sum 1.8.2
crate rustic rustic rustic-rs 0.11.4
