#!/bin/sh
# Makes seed corpora for the fuzz targets under fuzz/corpus/: fuzz/seed.sh [FOLDER]
#
# From phantoms, and from the files of at most 64 KiB under FOLDER if one is given (DICOM of all kinds,
# the odder the better). With FOLDER it is worth running `cargo fuzz cmin TARGET` in fuzz/ afterwards,
# which keeps those that reach something new. Nothing here is committed.
set -eu

folder=${1:+$(realpath "$1")}
cd "$(dirname "$0")"
cargo run --release --example seed -- corpus ${folder:+"$folder"}
