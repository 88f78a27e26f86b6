#!/usr/bin/env bash
# Makes the three sets that the comparisons with other stores are measured on.
#
#   make-sets.sh CORPUS OUT
#
# CORPUS  what get-corpus.sh made, with the sets from repositories and the derived ones
# OUT     receives:
#   s1      every instance (DICM magic and a SOP Instance UID) of four sets: one folder a set, the path
#           below it flattened into the name                                2,040 files, 709.0 MB
#   s2      s1 after a patient merge: other name, ID and accession number, same pixels
#   cbct4   one CBCT series of 64 slices exported four times: as it was, renamed, with new UIDs and as
#           explicit VR; one folder an export                                 256 files, 134.6 MB
#
# Prints files, bytes and distinct contents of each, and fails where they are not what they should be.
# A set that is there already is checked, not made again. Needs: dcmdump and dcmodify (package dcmtk).
set -euo pipefail
export LC_ALL=C

S1_SETS=(dcm_qa_ct fnndsc dcm_qa_uih example-dicom-structural)
S1_FILES=2040
S1_MB=709.0
CBCT_FILES=256
CBCT_MB=134.6

die() { printf 'make-sets: %s\n' "$*" >&2; exit 1; }

# Paths of the files of a folder that are instances, one a line, sorted.
instances() {
    find "$1" -type f ! -name DICOMDIR ! -name DIRFILE -print0 | sort -z |
        while IFS= read -r -d '' file; do
            [ "$(dd if="$file" bs=1 skip=128 count=4 status=none | tr -d '\0')" = DICM ] || continue
            [ -n "$(dcmdump -q -M +P 0008,0018 "$file" 2>/dev/null)" ] || continue
            printf '%s\n' "$file"
        done
}

# Copies what `instances` finds under $1 to the folder $2.
copy_flat() {
    local file name
    mkdir -p "$2"
    instances "$1" | while IFS= read -r file; do
        name=${file#"$1"/}
        name=${name//\//_}
        [ "${name%.dcm}" != "$name" ] || name=$name.dcm
        [ ! -e "$2/$name" ] || die "two files would be called $name"
        cp --reflink=auto "$file" "$2/$name"
    done
}

make_s1() {
    local set
    for set in "${S1_SETS[@]}"; do
        [ -d "$CORPUS/$set" ] || die "$CORPUS/$set is missing: run get-corpus.sh with MIRRORS"
        copy_flat "$CORPUS/$set" "$1/$set"
    done
}

make_s2() {
    cp -r --reflink=auto "$OUT/s1/." "$1/"
    find "$1" -type f -print0 | xargs -0 -n 40 -P "$(nproc)" dcmodify -nb -imt \
        -i '(0010,0010)=CORRECTED^NAME' \
        -i '(0010,0020)=ID-2026-0001-CORRECTED' \
        -i '(0008,0050)=ACC99887766'
}

# The structure set beside the original slices was not exported again: slices only.
make_cbct4() {
    local copy
    copy_flat "$CORPUS/pylinac-linac/cbct/head" "$1/original"
    find "$1/original" -type f ! -name '*CT.*' -delete
    for copy in renamed new-uids explicit-le; do
        [ -d "$CORPUS/derived/reexport-$copy" ] || die "derived/reexport-$copy is missing"
        copy_flat "$CORPUS/derived/reexport-$copy" "$1/$copy"
    done
}

# Makes $1 with make_$1 in a folder beside it, so that an interrupted run leaves nothing half made.
make_set() {
    [ ! -d "$OUT/$1" ] || return 0
    rm -rf "${OUT:?}/$1.part"
    mkdir -p "$OUT/$1.part"
    "make_$1" "$OUT/$1.part"
    mv "$OUT/$1.part" "$OUT/$1"
}

# Checks the set $1: $2 files, $3 MB (or -), every file's bytes distinct.
check() {
    local files bytes distinct mb
    files=$(find "$OUT/$1" -type f | wc -l)
    bytes=$(find "$OUT/$1" -type f -printf '%s\n' | awk '{ n += $1 } END { printf "%.0f", n }')
    distinct=$(find "$OUT/$1" -type f -exec sha256sum {} + | cut -c1-64 | sort -u | wc -l)
    mb=$(awk -v n="$bytes" 'BEGIN { printf "%.1f", n / 1e6 }')
    printf '%-6s %5d files %11d bytes (%s MB) %5d distinct\n' "$1" "$files" "$bytes" "$mb" "$distinct"
    [ "$files" = "$2" ] || die "$1 should have $2 files"
    [ "$distinct" = "$files" ] || die "$1 holds the same file twice"
    [ "$3" = - ] || [ "$mb" = "$3" ] || die "$1 should have $3 MB"
}

[ $# -eq 2 ] || { printf 'usage: %s CORPUS OUT\n' "$0" >&2; exit 2; }
[ -d "$1" ] || die "no folder $1"
for tool in dcmdump dcmodify; do
    command -v "$tool" >/dev/null || die "$tool is missing: install dcmtk"
done
CORPUS=$(cd "$1" && pwd)
mkdir -p "$2"
OUT=$(cd "$2" && pwd)

make_set s1
make_set s2
make_set cbct4
check s1 "$S1_FILES" "$S1_MB"
check s2 "$S1_FILES" -
check cbct4 "$CBCT_FILES" "$CBCT_MB"
