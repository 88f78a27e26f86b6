#!/usr/bin/env bash
# .ci/network.sh CAIRN DICOM-FOLDER [SECTION...]: sites over lines as there are between hospitals.
#
# Two and three sites, each in a network namespace of its own, 50 ms there and back and 100 Mbit/s unless
# said. Needs root, iproute2 and Python; everything is taken down again. The lines are `line.py`'s, so a kernel without netem does. DICOM-FOLDER holds
# a folder for each of two series of one study, `first` and `second`, as `make-series` below makes them.
#
# Sections: rate, prior, cuts, loss, three [all]. Says for each what was measured, and ends with 1 if
# one does not hold.
#   RTT_MS=50 MBIT=100 CUTS=20   settings, all optional
set -euo pipefail
cairn=$(realpath "$1") folder=$(realpath "$2")
shift 2
[ $# -gt 0 ] || set -- rate prior cuts loss three
rtt=${RTT_MS:-50} mbit=${MBIT:-100} cuts=${CUTS:-20}
tag=cairn$$
work=$(mktemp -d)
status=0

say() { printf '%s\n' "$*"; }
field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
compute() { python3 -c "print($1)"; }
holds() { # TEXT CONDITION
  if python3 -c "import sys; sys.exit(0 if ($2) else 1)"; then say "  holds: $1"; else say "  FAILS: $1"; status=1; fi
}

down() {
  for site in a b c line; do
    [ -f "$work/$site.pid" ] && kill -9 "$(cat "$work/$site.pid")" 2>/dev/null || true
    ip netns del "$tag-$site" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap down EXIT

address() { case $1 in a) echo 10.77.0.2 ;; b) echo 10.77.0.3 ;; c) echo 10.77.0.4 ;; esac; }

# A namespace for each site. Lines between them have half of the delay on each side, and a rate of their own.
line() { printf '%s %s-%s %s\n' "$1" "$tag" "$2" "${3:-}" >"$work/control"; } # rate|delay|loss|down|up SITE [VALUE]
mkfifo "$work/control"
ends=()
for site in a b c; do
  ip netns add "$tag-$site"
  ip netns exec "$tag-$site" ip link set lo up
  ends+=("$tag-$site=$(address $site)")
done
python3 "$(dirname "$0")/line.py" "$work/control" "${ends[@]}" >"$work/line.log" 2>&1 &
echo $! >"$work/line.pid"
for _ in $(seq 100); do grep -q up "$work/line.log" && break || sleep 0.1; done
grep -q '^up' "$work/line.log" || { cat "$work/line.log" >&2; exit 1; }
for site in a b c; do
  line rate $site "$mbit"
  line delay $site "$(compute "$rtt / 4")"
done

run() { # SITE ARGUMENTS...: a command of that site
  local site=$1
  shift
  ip netns exec "$tag-$site" "$cairn" --data "$work/$site" "$@"
}
start() { # SITE
  CAIRN_SHARING__SYNC_SECONDS=5 ip netns exec "$tag-$1" "$cairn" --data "$work/$1" serve \
    --http 127.0.0.1:8080 --dimse none --peer "$(address "$1"):8443" >"$work/$1.log" 2>&1 &
  echo $! >"$work/$1.pid"
  for _ in $(seq 100); do
    grep -q 'listening on http' "$work/$1.log" && return
    sleep 0.1
  done
  cat "$work/$1.log"
  exit 1
}
stop() { kill "$(cat "$work/$1.pid")" && wait "$(cat "$work/$1.pid")" 2>/dev/null || true; }
fresh() { # SITE: without studies, as the site that it is
  stop "$1"
  rm -rf "$work/$1/catalog.sqlite"* "$work/$1/bucket" "$work/$1/journal" "$work/$1/keys" "$work/$1/derived"
  find "$work/$1" -maxdepth 1 -mindepth 1 ! -name ledger -exec rm -rf {} +
  start "$1"
}

say "A takes in the first series"
run a -q import "$folder/first"
study=$(run a --json ls | field study_uid)
for site in a b c; do
  start "$site"
  run "$site" -q ledger join "$site.example" 2>/dev/null
done
for one in a b c; do
  for other in a b c; do
    [ $one = $other ] && continue
    print=$(run $other --json ledger | field fingerprint)
    run $one -q peers add "https://$(address $other):8443" --fingerprint "$print" 2>/dev/null
  done
done
for site in a b c a b c; do run $site -q peers sync >/dev/null 2>&1 || true; done
share() { run a --json share "$study" --to "$1.example" >"$work/shared"; }
share b

rate() {
  say "== a study over ${mbit} Mbit/s, ${rtt} ms"
  run b --json fetch "$study" --from a.example >"$work/rate"
  local moved seconds first bytes
  moved=$(field bytes_moved <"$work/rate") seconds=$(field seconds <"$work/rate")
  first=$(field first_seconds <"$work/rate") bytes=$(field bytes <"$work/rate")
  baseline=$moved
  say "  $(compute "round($bytes/1e6)") MB as $(compute "round($moved/1e6, 1)") MB in $(compute "round($seconds, 2)") s: $(compute "round($moved*8/1e6/$seconds, 1)") Mbit/s"
  holds "at least 85 % of the line's rate" "$moved*8/1e6/$seconds >= 0.85*$mbit"
  holds "first image after $(compute "round($first, 2)") s, less than 1 s" "$first < 1"
}

prior() {
  say "== the same study with one more series"
  stop a
  run a -q import "$folder/second"
  start a
  run a -q peers sync >/dev/null || true
  share b
  run b --json fetch "$study" --from a.example >"$work/prior"
  local fetched added
  fetched=$(field bytes_fetched <"$work/prior")
  added=$(find "$folder/second" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
  say "  $(compute "round($fetched/1e6, 2)") MB came of chunks and manifests; the series has $(compute "round($added/1e6, 2)") MB"
  holds "only that series moves, within 1 %" "abs($fetched - $added) <= 0.01*$added"
}

cuts() {
  say "== the line is cut $cuts times"
  fresh b
  run b -q peers sync >/dev/null 2>&1 || true
  share b
  (
    # Connections are reset and the line is down for a moment, at no particular instants.
    while [ ! -e "$work/cut-enough" ]; do
      sleep "$(compute "0.2 + 0.8*__import__('random').random()")"
      line down b
      ip netns exec "$tag-b" ss -K dport = 8443 >/dev/null 2>&1 || true
      ip netns exec "$tag-a" ss -K sport = 8443 >/dev/null 2>&1 || true
      sleep "$(compute "0.1 + 0.3*__import__('random').random()")"
      line up b
      echo >>"$work/cuts"
      [ "$(wc -l <"$work/cuts")" -ge "$cuts" ] && break
    done
  ) &
  local cutter=$!
  run b --json fetch "$study" --from a.example >"$work/cut"
  touch "$work/cut-enough"
  wait $cutter
  local moved needed done
  moved=$(field bytes_moved <"$work/cut") done=$(wc -l <"$work/cuts")
  fresh b
  run b -q peers sync >/dev/null 2>&1 || true
  share b
  run b --json fetch "$study" --from a.example >"$work/uncut"
  needed=$(field bytes_moved <"$work/uncut")
  say "  $done cuts in $(compute "round($(field seconds <"$work/cut"), 1)") s; $(compute "round($moved/1e6, 2)") MB moved, without a cut $(compute "round($needed/1e6, 2)") MB"
  # Each lane may have a chunk under way, and what was compressed together.
  holds "nothing comes twice beyond a chunk for each of 6 connections and cut" "$moved - $needed <= $done*6*(1<<20)"
}

loss() {
  say "== 1 % of packets are lost"
  fresh b
  run b -q peers sync >/dev/null 2>&1 || true
  share b
  line loss b 1
  run b --json fetch "$study" --from a.example >"$work/loss"
  line loss b 0
  local moved seconds
  moved=$(field bytes_moved <"$work/loss") seconds=$(field seconds <"$work/loss")
  say "  $(compute "round($moved/1e6, 1)") MB in $(compute "round($seconds, 2)") s: $(compute "round($moved*8/1e6/$seconds, 1)") Mbit/s"
  holds "at least half of the line's rate" "$moved*8/1e6/$seconds >= 0.5*$mbit"
}

three() {
  say "== three sites: C fetches while B does, without a grant it gets nothing"
  if run c -q fetch "$study" --from a.example >/dev/null 2>&1; then holds "C is refused" False; else holds "C is refused" True; fi
  fresh b
  run b -q peers sync >/dev/null 2>&1 || true
  share b
  share c
  run c --json fetch "$study" --from a.example >"$work/three-c" &
  local other=$!
  run b --json fetch "$study" --from a.example >"$work/three-b"
  wait $other
  local seconds moved
  seconds=$(compute "max($(field seconds <"$work/three-b"), $(field seconds <"$work/three-c"))")
  moved=$(compute "$(field bytes_moved <"$work/three-b") + $(field bytes_moved <"$work/three-c")")
  say "  $(compute "round($moved/1e6, 1)") MB to both in $(compute "round($seconds, 2)") s: $(compute "round($moved*8/1e6/$seconds, 1)") Mbit/s of A's line"
  holds "both have all of it, at 85 % of A's line" "$moved*8/1e6/$seconds >= 0.85*$mbit"
}

for section; do "$section"; done
exit $status
