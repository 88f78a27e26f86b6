#!/usr/bin/env bash
# .ci/roundtrip.sh CAIRN FOLDER: every file in FOLDER (and in the .zip files there) is archived and comes back
# byte for byte, or is left alone and named with a reason. Nothing in between, no panic.
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 CAIRN FOLDER" >&2; exit 2; }
cairn=$(realpath "$1")
folder=$(realpath "$2")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

"$cairn" --data data import "$folder" --report report.jsonl
"$cairn" --data data verify --all
"$cairn" --data data export --all out --all-versions
roots() { "$cairn" --data data --json ls | sort; }
roots >before
"$cairn" --data data rebuild
roots >after
cmp before after

python3 - "$folder" report.jsonl out <<'PY'
import collections, hashlib, json, os, sys
import zipfile
folder, report, out = sys.argv[1:]
digest = lambda data: hashlib.sha256(data).hexdigest()
def content(path):
    if '.zip!' in path:
        archive, inner = path.split('!', 1)
        with zipfile.ZipFile(archive) as z:
            return z.read(inner)
    with open(path, 'rb') as f:
        return f.read()
exported = collections.Counter()
for top, _, names in os.walk(out):
    for name in names:
        with open(os.path.join(top, name), 'rb') as f:
            exported[digest(f.read())] += 1
status = collections.Counter()
reasons = collections.Counter()
flags = collections.Counter()
seen, bad = set(), []
for line in open(report):
    row = json.loads(line)
    status[row['status']] += 1
    seen.add(row['path'].split('!')[0])
    flags.update(row.get('flags') or [])
    if row['status'] in ('archived', 'correction', 'conflict'):
        if not exported[digest(content(row['path']))]:
            bad.append('does not come back: ' + row['path'])
    elif row['status'] == 'left_alone':
        reasons[row['reason']] += 1
    elif row['status'] != 'duplicate':
        bad.append(f"{row['status']}: {row['path']}: {row.get('reason')}")
for top, _, names in os.walk(folder):
    for name in names:
        path = os.path.join(top, name)
        if path not in seen:
            bad.append('never reported: ' + path)
print('files by status:', dict(status))
print('left alone because:', dict(reasons))
print('flags:', dict(flags))
for line in bad[:20]:
    print('BAD', line)
if bad or not status['archived']:
    sys.exit(f'{len(bad)} files neither came back nor were left alone with a reason')
print('every file came back byte for byte or was left alone with its reason')
PY
