#!/usr/bin/env bash
# crane (go-containerregistry): layouts up and down, and what it does in the registry itself: tag, copy, mutate, append.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need crane curl openssl python3

declare -A digest=(
    [image]=$(mkimage image "$DIR/image" --seed crane)
    [multi]=$(mkimage multi "$DIR/multi" --seed crane)
    [artifact]=$(mkimage artifact "$DIR/artifact" --seed crane)
)

pull_back() {                                               # pull_back KIND SUFFIX: it is what was pushed
    rm -rf "$DIR/back"
    crane pull --format oci "$REG/e2e/$1$2" "$DIR/back"
    same_blobs "$DIR/$1" "$DIR/back"
}

round_trip() {
    local kind
    for kind in image multi artifact; do
        say "push $kind; pull it by tag and by digest"
        crane push "$DIR/$kind" "$REG/e2e/$kind:v1"
        expect_served "e2e/$kind" v1 "${digest[$kind]}"
        expect "digest" "$(crane digest "$REG/e2e/$kind:v1")" "${digest[$kind]}"
        expect "manifest" "$(crane manifest "$REG/e2e/$kind@${digest[$kind]}" | digest_of)" "${digest[$kind]}"
        pull_back "$kind" :v1
        pull_back "$kind" "@${digest[$kind]}"
    done
    crane validate --remote "$REG/e2e/multi:v1"

    say "tag, list, catalog, copy to another repository (mounts), append, mutate, delete"
    crane tag "$REG/e2e/multi:v1" v2
    expect "tags" "$(crane ls "$REG/e2e/multi" | xargs)" "v1 v2"
    crane copy "$REG/e2e/multi:v1" "$REG/another/multi:v1"
    expect_served another/multi v1 "${digest[multi]}"
    expect_blobs another/multi "$DIR/multi"
    expect "catalog" "$(crane catalog "$REG" | xargs)" "another/multi e2e/artifact e2e/image e2e/multi"
    tar -C "$DIR" -cf "$DIR/more.tar" artifact
    crane append --base "$REG/e2e/image:v1" --new_layer "$DIR/more.tar" --new_tag "$REG/e2e/image:more" >/dev/null
    crane mutate --label more=yes "$REG/e2e/image:more" --tag "$REG/e2e/image:labelled" >/dev/null
    crane validate --remote "$REG/e2e/image:labelled"
    expect "hello.txt" "$(crane export "$REG/e2e/image:labelled" - | tar -xO hello.txt)" \
        "$(crane export "$REG/e2e/image:v1" - | tar -xO hello.txt)"
    crane delete "$REG/e2e/multi@${digest[multi]}"
    if crane digest "$REG/e2e/multi:v1" 2>/dev/null; then fail "deleted, and still there"; fi
}

say "plain HTTP"
serve
round_trip

push_at_once "$DIR/multi" "${digest[multi]}" crane push "$DIR/multi"

if room_for_big_layer; then
    say "a layer of 1 GiB"
    big=$(mkimage big "$DIR/big" --seed crane)
    time crane push "$DIR/big" "$REG/e2e/big:v1"
    expect_served e2e/big v1 "$big"
    time pull_back big :v1
    rm -rf "$DIR/big" "$DIR/back"
fi
stop

say "TLS and an account"
serve_tls
export SSL_CERT_FILE=$CA
refused crane push "$DIR/image" "$REG/e2e/image:v1"
crane auth login "$REG" --username "$USERNAME" --password wrong
refused crane push "$DIR/image" "$REG/e2e/image:v1"
crane auth login "$REG" --username "$USERNAME" --password "$PASSWORD"
round_trip
crane auth logout "$REG"
refused crane pull "$REG/e2e/image:v1" "$DIR/never"
stop
