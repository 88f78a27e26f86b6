#!/bin/sh
# Builds the fuzz targets and runs each: fuzz/run.sh [SECONDS] [TARGET...]
#
# 60 seconds each and all targets unless said, two at a time. Ends with 1 if something was found: the
# input is then under fuzz/artifacts/TARGET/ and `cargo fuzz run TARGET FILE` in fuzz/ repeats it.
# With a nightly toolchain the address sanitizer is on; on stable there is none (`-s none`), and the
# fuzzer still counts coverage. FUZZ_TOOLCHAIN=stable asks for the latter where both are there. Seeds
# come from fuzz/seed.sh.
set -eu

seconds=${1:-60}
[ $# -eq 0 ] || shift
cd "$(dirname "$0")"

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2
    exit 2
fi
if [ "${FUZZ_TOOLCHAIN:-nightly}" = nightly ] &&
    rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
    cargo="cargo +nightly" sanitizer=address
else
    cargo="cargo" sanitizer=none
fi
[ $# -gt 0 ] || set -- $($cargo fuzz list)

host=$(rustc -vV | sed -n 's/^host: //p')
programs=${CARGO_TARGET_DIR:-target}/$host/release
# The server takes longer to build than all else, and most targets do not need it.
features() {
    case $1 in
    dimse_* | identity) ;;
    *) echo --no-default-features ;;
    esac
}
for target; do
    $cargo fuzz build -s "$sanitizer" $(features "$target") "$target"
done

# Longer inputs than these only make the fuzzer slower: the cutter stretches its input by itself, and
# proofs, commits and entries are a few KiB.
longest() {
    case $1 in
    cutter) echo 4096 ;;
    commit | ledger_entry | patient_statement) echo 8192 ;;
    *) echo 65536 ;;
    esac
}

# A thread that has just ended looks like a leak to the sanitizer; each association has some.
leaks() {
    case $1 in
    dimse_association) echo 0 ;;
    *) echo 1 ;;
    esac
}

run() {
    mkdir -p "corpus/$1" "artifacts/$1"
    # No decoder may take much more than a chunk at once: malloc_limit_mb, seen by the sanitizer only.
    "$programs/$1" "corpus/$1" -artifact_prefix="artifacts/$1/" -max_total_time="$seconds" \
        -max_len="$(longest "$1")" -rss_limit_mb=1024 -malloc_limit_mb=64 -timeout=10 \
        -detect_leaks="$(leaks "$1")" -print_final_stats=1 >"artifacts/$1.log" 2>&1
}

# Prints the last words of a run and remembers whether it found something.
status=0
report() {
    if wait "$2"; then
        echo "$1: nothing found, $(grep -a 'DONE' "artifacts/$1.log" | tail -1)"
    else
        status=1
        echo "$1: FOUND SOMETHING, see fuzz/artifacts/$1.log" >&2
        tail -20 "artifacts/$1.log" >&2
    fi
}

while [ $# -gt 0 ]; do
    first=$1
    shift
    run "$first" & first_id=$!
    if [ $# -gt 0 ]; then
        second=$1
        shift
        run "$second" & second_id=$!
        report "$first" $first_id
        report "$second" $second_id
    else
        report "$first" $first_id
    fi
done
exit $status
