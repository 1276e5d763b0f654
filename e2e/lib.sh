# shellcheck shell=bash disable=SC2016,SC2153
# What the scripts in this directory share: a place of their own, a Gantry to talk to, test images, and checks.
# It knows no client. A script sources it first; then everything that the script writes lands in $DIR, which goes away.
#
# A script ends with 0 when everything held, 77 when it could not be run here (`skip`), anything else when it failed.

set -euo pipefail

E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$E2E")
GANTRY=${GANTRY:-$ROOT/target/release/gantry}
PATH=$ROOT/.tools/bin:$PATH:/usr/sbin:/sbin

say()  { printf '\n== %s\n' "$*"; }                        # a step
note() { printf 'NOTE: %s\n' "$*"; }                        # something left out; e2e/run shows it
skip() { printf 'SKIP: %s\n' "$*"; exit 77; }
fail() { printf 'FAIL: %s\n' "$*" >&2; exit 1; }

need() {                                                    # need PROGRAM...: skips the script when one is missing
    local program
    for program; do
        command -v "$program" >/dev/null || skip "$program is not installed (scripts/tools.sh installs it)"
    done
}

# --- A place of its own -------------------------------------------------------------------------------------------
# The script runs again inside: a temporary directory, and, for root, namespaces in which /etc, /run and /var/lib are
# scratch copies, the network is a loopback interface alone, and every process ends with the script. So a client
# cannot leave anything behind, and none of this needs a network.

if [[ -z ${E2E_DIR:-} ]]; then
    E2E_DIR=$(mktemp -d "${TMPDIR:-/tmp}/gantry-e2e.XXXXXX")
    trap 'rm -rf "$E2E_DIR"' EXIT
    trap 'exit 130' INT TERM                                # that is, when the inner one has ended
    enter=()
    sandbox=(unshare --mount --pid --net --fork --kill-child --mount-proc)
    if [[ $EUID == 0 ]] && command -v ip >/dev/null && "${sandbox[@]}" true 2>/dev/null; then
        enter=("${sandbox[@]}")
    fi
    E2E_DIR=$E2E_DIR SANDBOX=${enter[*]:+yes} "${enter[@]}" bash "$0" "$@"
    exit
fi

DIR=$E2E_DIR
if [[ $SANDBOX == yes ]]; then
    ip link set lo up
    ip address add 10.99.0.1/32 dev lo                      # for clients that trust 127.0.0.1 without a certificate
    mkdir "$DIR/scratch"
    mount -t tmpfs scratch "$DIR/scratch"
    for directory in /etc /var/lib; do
        mkdir -p "$DIR/scratch$directory" "$DIR/scratch/work$directory"
        mount -t overlay overlay "$directory" \
            -o "lowerdir=$directory,upperdir=$DIR/scratch$directory,workdir=$DIR/scratch/work$directory"
    done
    mount -t tmpfs run /run
fi
mkdir "$DIR/home" "$DIR/tmp"
export HOME=$DIR/home TMPDIR=$DIR/tmp DOCKER_CONFIG=$DIR/home/.docker
unset XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_CACHE_HOME XDG_DATA_HOME REGISTRY_AUTH_FILE DOCKER_HOST DOCKER_CONTEXT \
    http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

need_sandbox() { [[ $SANDBOX == yes ]] || skip "needs root, and leave to make namespaces"; }

declare -A STARTED=()                                       # process ids of what the script has to end
end_processes() {
    local status=$? pid
    for pid in "${!STARTED[@]}"; do { kill -KILL "$pid"; wait "$pid"; } 2>/dev/null || true; done
    if [[ $status != 0 && $status != 77 ]]; then
        for log in "$DIR"/*.log; do
            [[ -s $log ]] || continue
            printf '\n--- last lines of %s\n' "${log##*/}"
            tail -n 25 "$log" | cut -c -300
        done
    fi
    exit "$status"
}
trap end_processes EXIT
trap 'exit 130' INT TERM

# --- A Gantry ------------------------------------------------------------------------------------------------------

USERNAME=alice
PASSWORD='correct horse battery staple'
# The line that `htpasswd -nbB -C 5` made of the two.
HTPASSWD='alice:$2y$05$NocThdhvGwE2qw5ulNR0w.oN3gnMJTMzmbDPJpacYxTpoYV/bK2l6'
ADDRESS=127.0.0.1                                           # where the next `serve` listens
SERVERS=0

serve() {                                                   # serve [OPTION...]: sets REG (host:port), URL, CURL
    [[ -x $GANTRY ]] || fail "$GANTRY is not there: cargo build --release -p gantry"
    local files=$DIR/gantry$((++SERVERS))
    : >"$files.out"
    "$GANTRY" serve --listen "$ADDRESS:0" --data "$files" --set operator.listen=127.0.0.1:0 "$@" \
        >"$files.out" 2>"$files.log" &
    SERVER=$!
    STARTED[$SERVER]=gantry
    local _ operator
    for _ in {1..300}; do
        grep -q '^  operator' "$files.out" && break
        kill -0 "$SERVER" 2>/dev/null || fail "gantry did not start"
        sleep 0.1
    done
    URL=$(sed -n 's/^  registry *//p' "$files.out")
    operator=$(sed -n 's/^  operator *//p' "$files.out")
    [[ -n $URL && -n $operator ]] || fail "gantry printed no start-up lines within 30 seconds"
    curl -sS --fail --output /dev/null "$operator/readyz" || fail "gantry says that it is ready, but /readyz does not"
    REG=${URL#*://}
    CURL=(curl -sS --fail)
    say "a Gantry at $URL"
}

serve_tls() {                                               # serve_tls [OPTION...]: the same with TLS ($CA) and one account
    mkdir -p "$DIR/tls"
    CA=$DIR/tls/ca.crt
    [[ -e $CA ]] || make_certificates
    printf '%s\n' "$HTPASSWD" >"$DIR/htpasswd"
    serve --set "server.tls.certificate=$DIR/tls/leaf.crt" --set "server.tls.key=$DIR/tls/leaf.key" \
        --set "auth.htpasswd.file=$DIR/htpasswd" "$@"
    CURL=(curl -sS --fail --cacert "$CA" --user "$USERNAME:$PASSWORD")
    [[ $(curl -sS --cacert "$CA" --output /dev/null --write-out '%{http_code}' "$URL/v2/") == 401 ]] ||
        fail "/v2/ without an account is not answered with 401"
}

make_certificates() {                                       # a CA, and a leaf of another name that it signed
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    openssl req -x509 "${key[@]}" -days 2 -subj "/CN=Gantry test CA" \
        -keyout "$DIR/tls/ca.key" -out "$CA" 2>/dev/null
    openssl req -new "${key[@]}" -subj "/CN=gantry.test" \
        -keyout "$DIR/tls/leaf.key" -out "$DIR/tls/leaf.csr" 2>/dev/null
    printf 'subjectAltName=IP:127.0.0.1,IP:10.99.0.1,DNS:localhost\n' >"$DIR/tls/leaf.ext"
    openssl x509 -req -days 2 -in "$DIR/tls/leaf.csr" -CA "$CA" -CAkey "$DIR/tls/ca.key" -CAcreateserial \
        -extfile "$DIR/tls/leaf.ext" -out "$DIR/tls/leaf.crt" 2>/dev/null
}

stop() {                                                    # ends the last Gantry; it has to end well
    kill "$SERVER"
    wait "$SERVER" || fail "gantry ended with status $?"
    unset "STARTED[$SERVER]"
    grep -q 'panicked' "$DIR/gantry$SERVERS.log" && fail "gantry panicked"
    return 0
}

# --- Engines -------------------------------------------------------------------------------------------------------

start_dockerd() {                                           # a dockerd of its own, on a private socket; sets DOCKER_HOST
    local dockerd _
    engine=$DIR/docker
    mkdir "$engine"
    export DOCKER_HOST=unix://$engine/docker.sock
    dockerd --host "$DOCKER_HOST" --data-root "$engine/data" --exec-root "$engine/exec" --pidfile "$engine/pid" \
        --bridge=none --iptables=false --ip6tables=false >"$DIR/dockerd.log" 2>&1 &
    dockerd=$!
    STARTED[$dockerd]=dockerd
    for _ in {1..300}; do
        docker info >/dev/null 2>&1 && break
        kill -0 "$dockerd" 2>/dev/null || skip "dockerd does not run here: $(tail -n 1 "$DIR/dockerd.log")"
        sleep 0.1
    done
}

start_containerd() {                                        # the same with containerd; sets CONTAINERD_ADDRESS and engine
    local containerd _
    engine=$DIR/containerd
    mkdir "$engine"
    cat >"$engine/config.toml" <<CONF
version = 2
root = "$engine/root"
state = "$engine/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$engine/socket"
[ttrpc]
address = "$engine/ttrpc"
CONF
    containerd --config "$engine/config.toml" >"$DIR/containerd.log" 2>&1 &
    containerd=$!
    STARTED[$containerd]=containerd
    export CONTAINERD_ADDRESS=$engine/socket
    for _ in {1..300}; do
        ctr version >/dev/null 2>&1 && break
        kill -0 "$containerd" 2>/dev/null || skip "containerd does not run here: $(tail -n 1 "$DIR/containerd.log")"
        sleep 0.1
    done
}

# --- Images --------------------------------------------------------------------------------------------------------

mkimage() { python3 "$E2E/mkimage.py" "$@"; }               # see mkimage.py; prints the digest

room_for_big_layer() {                                      # whether the disk takes a few copies of 1 GiB
    (($(df --output=avail -B1G "$DIR" | tail -n 1) >= 8)) || { note "1 GiB layer left out: less than 8 GiB free"; return 1; }
}

# --- Checks --------------------------------------------------------------------------------------------------------

expect() {                                                  # expect WHAT GOT WANTED
    [[ $2 == "$3" ]] || fail "$1: '$2' instead of '$3'"
    printf 'ok: %s: %s\n' "$1" "$2"
}

refused() {                                                 # refused COMMAND...: it has to fail, for want of access
    local answer
    if answer=$("$@" 2>&1 </dev/null); then fail "not refused: $*"; fi
    grep -qiE '401|unauthorized|authentication|no basic auth|basic credential not found|denied|invalid username|authorization failed' <<<"$answer" ||
        fail "failed for another reason: $*: $answer"
    printf 'ok: refused: %s\n' "$1 $2"
}

digest_of() { printf 'sha256:%s\n' "$(sha256sum | cut -d ' ' -f 1)"; }  # of what comes in

served() {                                                  # served REPOSITORY REFERENCE: digest of the bytes served
    local types=application/vnd.oci.image.manifest.v1+json,application/vnd.oci.image.index.v1+json
    types+=,application/vnd.docker.distribution.manifest.v2+json
    types+=,application/vnd.docker.distribution.manifest.list.v2+json
    "${CURL[@]}" -H "Accept: $types" "$URL/v2/$1/manifests/$2" | digest_of
}

expect_served() {                                           # expect_served REPOSITORY REFERENCE DIGEST
    [[ $(served "$1" "$2") == "$3" ]] || fail "$1: $2 is not served as $3"
    printf 'ok: %s: %s is %s\n' "$1" "$2" "$3"
}

expect_blobs() {                                            # expect_blobs REPOSITORY LAYOUT: all of them, bit for bit
    local path digest
    for path in "$2"/blobs/sha256/*; do
        digest=sha256:${path##*/}
        [[ $("${CURL[@]}" "$URL/v2/$1/blobs/$digest" 2>/dev/null | digest_of) == "$digest" ]] ||
            [[ $(served "$1" "$digest") == "$digest" ]] ||  # a layout keeps manifests among the blobs
            fail "$1 does not serve $digest as it was pushed"
    done
    printf 'ok: %s: serves every blob bit for bit\n' "$1"
}

same_blobs() {                                              # same_blobs LAYOUT LAYOUT: same blobs, bit for bit
    diff -r "$1/blobs" "$2/blobs" || fail "$1 and $2 differ"
    printf 'ok: %s came back bit for bit\n' "${1##*/}"
}

count_referrers() {                                         # count_referrers REPOSITORY DIGEST: distinct ones listed
    "${CURL[@]}" "$URL/v2/$1/referrers/$2" |
        python3 -c 'import json, sys; print(len({m["digest"] for m in json.load(sys.stdin)["manifests"]}))'
}

together() {                                                # together N COMMAND...: COMMAND... 1 to N, all at once
    local count=$1 pids=() number pid
    shift
    for number in $(seq "$count"); do
        "$@" "$number" >"$DIR/together$number.log" 2>&1 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || fail "one of $count at once failed: $*"; done
    rm -f "$DIR"/together*.log
}

push_at_once() {                                            # push_at_once LAYOUT DIGEST COMMAND...
    say "eight pushes of the same blobs at once: four to one repository, four to others"
    local layout=$1 digest=$2 target
    shift 2
    together 8 push_target "$@"
    for target in one:t1 one:t2 one:t3 one:t4 other5:t5 other6:t6 other7:t7 other8:t8; do
        expect_served "together/${target%:*}" "${target#*:}" "$digest"
        expect_blobs "together/${target%:*}" "$layout"
    done
}
push_target() {                                             # push_target COMMAND... NUMBER: COMMAND... REPOSITORY:TAG
    local number=${*: -1} repository=one
    ((number <= 4)) || repository=other$number
    "${@:1:$#-1}" "$REG/together/$repository:t$number"
}
