#!/usr/bin/env bash
# deploy/check.sh: everything here is checked by the tool that will read it, as far as the tool is there.
#
# Says for each file: ok, FAILED with the tool's words, or missing (the tool). Exit code 1 if anything
# failed; with --all also if a tool is missing. Changes nothing, listens on loopback for a moment only.
#
#   CAIRN=FILE   the binary that reads cairn.toml.example (default: target/release/cairn, else PATH)
#
# Debian has the tools: nginx-light haproxy caddy prometheus prometheus-blackbox-exporter
# docker-compose systemd buildah shellcheck jq openssl
set -uo pipefail
cd "$(dirname "$0")" || exit 1
# A password hash of the right shape; nobody logs in during a check.
readonly BCRYPT_OF_NOTHING=\$2a\$14\$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG
readonly SECURITY_MAX=12 # tenths of systemd-analyze's exposure level, 0 to 100

all=no
case ${1:-} in
  '') ;;
  --all) all=yes ;;
  *) echo "usage: $0 [--all]" >&2; exit 2 ;;
esac
PATH=$PATH:/usr/sbin:/sbin
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0

# check NAME COMMAND…: runs it quietly; a failure shows what it said.
check() {
  local name=$1
  shift
  if "$@" >"$scratch/said" 2>&1 </dev/null; then
    echo "ok       $name"
    passed=$((passed + 1))
  else
    echo "FAILED   $name"
    sed 's/^/         /' "$scratch/said"
    failed=$((failed + 1))
  fi
}

# have WHAT TOOL…: are the tools there? If not, says what is not checked.
have() {
  local what=$1 tool
  shift
  for tool; do
    command -v "$tool" >/dev/null && continue
    echo "missing  $tool: $what not checked"
    skipped=$((skipped + 1))
    return 1
  done
}

# --- systemd

# The unit with a program that is there; systemd-analyze looks for it.
unit() {
  mkdir -p "$scratch/unit"
  sed "s|/usr/local/bin/cairn|$(command -v true)|" systemd/cairn.service >"$scratch/unit/cairn.service"
  rm -rf "$scratch/unit/cairn.service.d"
  mkdir "$scratch/unit/cairn.service.d"
  [ $# = 0 ] || cp "$@" "$scratch/unit/cairn.service.d/"
}

# systemd-analyze verify warns with exit code 0 of keys that it does not know.
verify_unit() { systemd-analyze verify "$scratch/unit/cairn.service" 2>&1 | tee /dev/stderr | (! grep -q .); }

exposure() {
  systemd-analyze security --offline=true --threshold="$SECURITY_MAX" "$scratch/unit/cairn.service"
}

# In an empty root: does it make the user?
sysusers() {
  mkdir -p "$scratch/root/etc/sysusers.d"
  cp systemd/cairn.sysusers.conf "$scratch/root/etc/sysusers.d/cairn.conf"
  systemd-sysusers --root="$scratch/root" && grep '^cairn:.*:/var/lib/cairn:' "$scratch/root/etc/passwd"
}

if have "systemd units" systemd-analyze; then
  unit
  check "systemd: cairn.service" verify_unit
  check "systemd: exposure of cairn.service at most 1.2" exposure
  for drop_in in systemd/cairn.service.d/*.conf; do
    unit "$drop_in"
    check "systemd: with $(basename "$drop_in")" verify_unit
  done
fi
if have "sysusers" systemd-sysusers; then
  check "systemd: cairn.sysusers.conf" sysusers
fi

# --- cairn.toml

cairn=${CAIRN:-../target/release/cairn}
[ -x "$cairn" ] || cairn=$(command -v cairn)

# Serves with the example for a moment, in a new archive, on a free port.
serve() {
  local pid i up=no
  : >"$scratch/serve"
  env -i "$cairn" --data "$scratch/data" --config "$1" serve --http 127.0.0.1:0 --dimse 127.0.0.1:0 >>"$scratch/serve" 2>&1 &
  pid=$!
  for ((i = 0; i < 100; i++)); do
    grep -q listening "$scratch/serve" && up=yes && break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -TERM "$pid" 2>/dev/null
  wait "$pid" || up=no
  cat "$scratch/serve"
  [ "$up" = yes ]
}

if [ -n "$cairn" ] && "$cairn" serve --help >/dev/null 2>&1; then
  check "cairn.toml.example" serve cairn.toml.example
  # What stands in comments has to be known as well; a bucket elsewhere would be asked, so not that.
  sed -E 's/^#([a-z_]+ = |\[[a-z._]+\])/\1/' cairn.toml.example >"$scratch/every.toml"
  check "cairn.toml.example, every key" serve "$scratch/every.toml"
else
  echo "missing  cairn: cairn.toml.example not checked"
  skipped=$((skipped + 1))
fi

# --- Containerfile

# The last stage, built for real with a stand-in for the first: no image can be fetched for a check.
# Then: what is in it, and as whom it runs.
container() {
  local image
  local -a buildah=(buildah --root "$scratch/containers" --runroot "$scratch/run" --storage-driver vfs)
  mkdir -p "$scratch/context/out/usr/local/bin" "$scratch/context/data/cairn"
  : >"$scratch/context/out/usr/local/bin/cairn"
  {
    printf 'FROM scratch AS build\nCOPY out /out\nCOPY data /data\n'
    sed -n '/^FROM scratch/,$p' Containerfile
  } >"$scratch/Containerfile"
  image=$("${buildah[@]}" bud --isolation chroot --quiet --format docker --file "$scratch/Containerfile" "$scratch/context") &&
    "${buildah[@]}" inspect --type image "$image" >"$scratch/image.json" &&
    jq -e '(.Docker.config.Healthcheck.Test
        == ["CMD", "/usr/local/bin/cairn", "probe", "http://127.0.0.1:8080/readyz"])
      and (.OCIv1.config | .User == "65532:65532" and .Entrypoint == ["/usr/local/bin/cairn"]
      and .Cmd == ["serve"] and (.Volumes | has("/var/lib/cairn")) and (.ExposedPorts | has("8080/tcp"))
      and (.Env | index("CAIRN_HTTP=0.0.0.0:8080")) != null)' "$scratch/image.json"
}

if have "Containerfile" buildah jq; then
  check "Containerfile: last stage builds" container
fi

# --- compose

compose() { GRAFANA_ADMIN_PASSWORD=checked "$@" -f compose.yaml config -q; }

if docker compose version >/dev/null 2>&1; then
  check "compose.yaml" compose docker compose
elif have "compose.yaml" docker-compose; then
  check "compose.yaml" compose docker-compose
fi

# --- Prometheus and Grafana

dashboard=grafana/dashboards/cairn.json

# Every expression of the dashboard as a rule, Grafana's variables filled in.
panel_rules() {
  jq '{groups: [{name: "dashboard", rules: [
    [(.panels[] | .targets[]?.expr), (.annotations.list[].expr | values)]
    | to_entries[] | {record: "panel:\(.key)", expr: (.value
      | gsub("\\$__rate_interval"; "5m") | gsub("\\$__range"; "6h")
      | gsub("\\$(instance|route)"; ".*"))}]}]}' "$dashboard" >"$scratch/panels.yml"
  ! grep -n '\$' "$scratch/panels.yml" && promtool check rules "$scratch/panels.yml"
}

# What Grafana would not say: numbers of panels, overlaps, data sources that are not provisioned.
dashboard_shape() {
  jq -e '
    . as $d
    | [.panels[].id] as $ids
    | ($ids | length) == ($ids | unique | length)
    and ([.panels[] | select(.type != "row") | (.targets | length > 0) and all(.targets[];
        .expr != "" and .datasource.uid == "${datasource}")] | all)
    and ([.panels[] | .gridPos | .x >= 0 and .w > 0 and .h > 0 and .x + .w <= 24] | all)
    and ([range($d.panels | length) as $i | range($i) as $j
        | [$d.panels[$i].gridPos, $d.panels[$j].gridPos]
        | .[0].x + .[0].w <= .[1].x or .[1].x + .[1].w <= .[0].x
          or .[0].y + .[0].h <= .[1].y or .[1].y + .[1].h <= .[0].y] | all)
    and (.templating.list | map(.name) == ["datasource", "instance", "route"])
  ' "$dashboard" &&
    grep -q 'uid: prometheus$' grafana/provisioning/datasources/prometheus.yaml
}

# Metrics that are asked for have to be declared by the server.
names() {
  local name unknown=0
  grep -ohE '\b(cairn|process)_[a-z_]+[a-z]' "$dashboard" prometheus/alerts.yml | sort -u |
    sed -E '/seconds/s/_(bucket|count|sum)$//' >"$scratch/names"
  while read -r name; do
    grep -rqF "\"$name\"" ../server/src || { echo "the server has no metric $name"; unknown=1; }
  done <"$scratch/names"
  return "$unknown"
}

if have "Prometheus" promtool; then
  check "prometheus.yml and its rules" promtool check config prometheus/prometheus.yml
  check "alerts.yml fire as they should" promtool test rules prometheus/alerts_test.yml
  if have "expressions of the dashboard" jq; then
    check "dashboard: every expression" panel_rules
  fi
fi
if have "blackbox.yml" prometheus-blackbox-exporter; then
  check "blackbox.yml" prometheus-blackbox-exporter --config.file=prometheus/blackbox.yml --config.check
fi
if have "shape of the dashboard" jq; then
  check "dashboard: shape" dashboard_shape
fi
check "metrics are the server's" names

# --- proxies

# Certificate, users and files where the examples look for them, on ports that need no root.
proxy_files() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 \
    -subj /CN=pacs.example -addext subjectAltName=DNS:pacs.example \
    -keyout "$scratch/privkey.pem" -out "$scratch/fullchain.pem" &&
    cat "$scratch/fullchain.pem" "$scratch/privkey.pem" >"$scratch/cairn.pem" &&
    printf 'viewer:%s\n' "$(openssl passwd -6 checked)" >"$scratch/cairn.htpasswd" &&
    printf 'viewer %s\n' "$BCRYPT_OF_NOTHING" >"$scratch/cairn-users" &&
    for file in nginx.conf Caddyfile haproxy.cfg; do
      sed -E "s#/etc/(ssl/cairn|nginx|caddy|haproxy)/(fullchain|privkey|cairn)#$scratch/\2#g" \
        "proxy/$file" >"$scratch/$file" || return 1
    done
}

nginx_test() {
  # nginx -t binds nothing, but wants its folders.
  mkdir -p "$scratch/nginx"
  cat >"$scratch/whole.conf" <<EOF
pid $scratch/nginx/pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path $scratch/nginx/body;
  proxy_temp_path $scratch/nginx/proxy;
  fastcgi_temp_path $scratch/nginx/fastcgi;
  uwsgi_temp_path $scratch/nginx/uwsgi;
  scgi_temp_path $scratch/nginx/scgi;
  include $scratch/nginx.conf;
}
EOF
  nginx -t -q -c "$scratch/whole.conf" 2>&1 | tee /dev/stderr |
    (! grep -vE 'could not open error log file|Permission denied|is deprecated')
}

if have "proxies" openssl; then
  check "a certificate for the proxies' examples" proxy_files
  have "proxy/nginx.conf" nginx && check "proxy/nginx.conf" nginx_test
  have "proxy/Caddyfile" caddy &&
    check "proxy/Caddyfile" env HOME="$scratch" caddy validate --adapter caddyfile --config "$scratch/Caddyfile"
  have "proxy/haproxy.cfg" haproxy && check "proxy/haproxy.cfg" haproxy -c -f "$scratch/haproxy.cfg"
fi

have "check.sh" shellcheck && check "check.sh" shellcheck check.sh

echo "$passed passed, $failed failed, $skipped missing"
[ "$failed" = 0 ] && { [ "$all" = no ] || [ "$skipped" = 0 ]; }
