#!/usr/bin/env bash
# ctr: a containerd of its own, on a private socket, imports, pushes, pulls, exports and runs images.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need ctr containerd curl openssl python3
need_sandbox

start_containerd
ctr --version

declare -A digest=(
    [image]=$(mkimage image "$DIR/image" --seed ctr)
    [multi]=$(mkimage multi "$DIR/multi" --seed ctr)
)
content=$engine/root/io.containerd.content.v1.content       # containerd keeps content as a layout does: blobs/sha256/HEX

forget_all() {                                              # with --sync, content is gone when it returns
    ctr images ls -q | xargs -r -n 1 ctr images rm --sync >/dev/null
    [[ -z $(ctr content ls -q) ]] || fail "containerd still has content"
}

push() {                                                    # push KIND: from the layout $DIR/KIND to e2e/KIND:v1
    tar -C "$DIR/$1" -cf "$DIR/$1.tar" blobs index.json oci-layout
    ctr images import --no-unpack --all-platforms --base-name "local/$1" "$DIR/$1.tar" >/dev/null
    ctr images push "${at[@]}" "$REG/e2e/$1:v1" "local/$1:latest" >/dev/null
}

pull() {                                                    # pull KIND REFERENCE: from Gantry alone; bit for bit
    forget_all
    ctr images pull --all-platforms "${at[@]}" "$REG/e2e/$1$2" >/dev/null
    same_blobs "$DIR/$1" "$content"
}

runs=yes containers=0
try_to_run() {                                              # try_to_run IMAGE; if the first cannot, that is a note
    local answer
    [[ $runs == yes ]] || return 0
    containers=$((containers + 1))
    if answer=$(ctr run --rm --net-host "$1" "test$containers" 2>&1); then
        expect "ctr run" "${answer% on *}" "hello from ctr"
    elif ((containers == 1)); then
        runs=no
        note "ctr run left out: $answer"
    else
        fail "ctr run: $answer"
    fi
}

round_trip() {
    local kind
    for kind in image multi; do
        say "push $kind; pull it by tag and by digest; run"
        push "$kind"
        expect_served "e2e/$kind" v1 "${digest[$kind]}"
        expect_blobs "e2e/$kind" "$DIR/$kind"
        pull "$kind" :v1
        try_to_run "$REG/e2e/$kind:v1"
        pull "$kind" "@${digest[$kind]}"
        try_to_run "$REG/e2e/$kind@${digest[$kind]}"
    done
    say "push what was pulled to another repository: the blobs are mounted"
    ctr images pull --all-platforms "${at[@]}" "$REG/e2e/multi:v1" >/dev/null
    ctr images push "${at[@]}" "$REG/another/multi:v1" "$REG/e2e/multi:v1" >/dev/null
    expect_served another/multi v1 "${digest[multi]}"
    expect_blobs another/multi "$DIR/multi"
    forget_all
}

say "plain HTTP"
serve
at=(--plain-http)
round_trip

ctr images import --no-unpack --all-platforms --base-name local/multi "$DIR/multi.tar" >/dev/null
push_copy() { ctr images push "${at[@]}" "$1" local/multi:latest; }
push_at_once "$DIR/multi" "${digest[multi]}" push_copy
stop

say "TLS and an account"
serve_tls
mkdir -p "$DIR/hosts/$REG"
printf 'server = "%s"\n[host."%s"]\nca = "%s"\n' "$URL" "$URL" "$CA" >"$DIR/hosts/$REG/hosts.toml"
at=(--hosts-dir "$DIR/hosts")
refused push image
at=(--hosts-dir "$DIR/hosts" --user "$USERNAME:wrong")
refused push image
at=(--hosts-dir "$DIR/hosts" --user "$USERNAME:$PASSWORD")
round_trip
at=(--hosts-dir "$DIR/hosts")                               # ctr keeps no login: without --user it is nobody again
refused ctr images pull "${at[@]}" "$REG/e2e/image:v1"
stop
