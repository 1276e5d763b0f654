#!/usr/bin/env bash
# skopeo: copies images, indexes and artifacts between a layout on disk and Gantry, keeping every digest.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need skopeo curl openssl python3

declare -A digest=(
    [image]=$(mkimage image "$DIR/image" --seed skopeo)
    [multi]=$(mkimage multi "$DIR/multi" --seed skopeo)
    [artifact]=$(mkimage artifact "$DIR/artifact" --seed skopeo)
)

# push KIND and pull KIND WHERE REFERENCE go between $DIR/KIND and the repository e2e/KIND.
push() { skopeo copy -q --all --preserve-digests "${to[@]}" "oci:$DIR/$1:latest" "docker://$REG/e2e/$1:v1"; }
pull() { skopeo copy -q --all --preserve-digests "${from[@]}" "docker://$REG/e2e/$1$3" "oci:$2:latest"; }

round_trip() {
    local kind
    for kind in image multi artifact; do
        say "push $kind; pull it by tag and by digest"
        push "$kind"
        expect_served "e2e/$kind" v1 "${digest[$kind]}"
        expect_blobs "e2e/$kind" "$DIR/$kind"
        rm -rf "$DIR/back" && mkdir "$DIR/back"
        pull "$kind" "$DIR/back/by-tag" :v1
        same_blobs "$DIR/$kind" "$DIR/back/by-tag"
        pull "$kind" "$DIR/back/by-digest" "@${digest[$kind]}"
        same_blobs "$DIR/$kind" "$DIR/back/by-digest"
    done
    say "inspect, list tags, copy within the registry, delete"
    expect "inspect" "$(skopeo inspect "${at[@]}" --format '{{.Digest}}' "docker://$REG/e2e/image:v1")" "${digest[image]}"
    skopeo copy -q --all --preserve-digests "${from[@]}" "${to[@]}" "docker://$REG/e2e/multi:v1" "docker://$REG/e2e/copy/multi:v2"
    expect_served e2e/copy/multi v2 "${digest[multi]}"
    skopeo copy -q --all --preserve-digests "${from[@]}" "${to[@]}" "docker://$REG/e2e/image:v1" "docker://$REG/e2e/image:v2"
    expect "tags" "$(skopeo list-tags "${at[@]}" "docker://$REG/e2e/image" | tr -d ' \n')" \
        "{\"Repository\":\"$REG/e2e/image\",\"Tags\":[\"v1\",\"v2\"]}"
    skopeo delete "${at[@]}" "docker://$REG/e2e/image:v1"
    if skopeo inspect "${at[@]}" "docker://$REG/e2e/image@${digest[image]}" 2>/dev/null; then fail "deleted, and still there"; fi
}

say "plain HTTP"
serve
at=(--tls-verify=false) from=(--src-tls-verify=false) to=(--dest-tls-verify=false)
round_trip

push_copy() { skopeo copy -q --all --preserve-digests "${to[@]}" "oci:$DIR/multi:latest" "docker://$1"; }
push_at_once "$DIR/multi" "${digest[multi]}" push_copy

if room_for_big_layer; then
    say "a layer of 1 GiB"
    big=$(mkimage big "$DIR/big" --seed skopeo)
    time push big
    expect_served e2e/big v1 "$big"
    time pull big "$DIR/big-back" :v1
    same_blobs "$DIR/big" "$DIR/big-back"
    rm -rf "$DIR/big" "$DIR/big-back"
fi
stop

say "TLS and an account"
serve_tls
mkdir "$DIR/certs" && cp "$CA" "$DIR/certs/"
at=(--cert-dir "$DIR/certs") from=(--src-cert-dir "$DIR/certs") to=(--dest-cert-dir "$DIR/certs")
export REGISTRY_AUTH_FILE=$DIR/home/auth.json
refused push image
refused skopeo login "${at[@]}" --username "$USERNAME" --password wrong "$REG"
skopeo login "${at[@]}" --username "$USERNAME" --password "$PASSWORD" "$REG"
round_trip
skopeo logout "$REG"
refused pull multi "$DIR/never" :v1
stop
