#!/usr/bin/env bash
# ctr with accounts, on a containerd of its own: see story.sh. It has no login; each command says who.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/../lib.sh"
need ctr containerd curl openssl python3
need_sandbox
start_containerd
mkimage image "$DIR/image" --seed access
tar -C "$DIR/image" -cf "$DIR/image.tar" blobs index.json oci-layout
content=$engine/root/io.containerd.content.v1.content
LOGIN_CHECKS=''
as=()

prepare() {
    mkdir -p "$DIR/hosts/$REG"
    printf 'server = "%s"\n[host."%s"]\nca = "%s"\n' "$URL" "$URL" "$CA" >"$DIR/hosts/$REG/hosts.toml"
}
login() { as=(--user "$1:$2"); }
logout() { as=(); }
push() {
    ctr images import --no-unpack --all-platforms --base-name local/image "$DIR/image.tar" >/dev/null
    ctr images push --hosts-dir "$DIR/hosts" "${as[@]}" "$REG/$1:v1" local/image:latest
}
pull() {
    ctr images ls -q | xargs -r -n 1 ctr images rm --sync >/dev/null
    [[ -z $(ctr content ls -q) ]] || fail "containerd still has content"
    ctr images pull --all-platforms --hosts-dir "$DIR/hosts" "${as[@]}" "$REG/$1:v1" && same_blobs "$DIR/image" "$content"
}
show_certificate() { printf 'client = [["%s", "%s"]]\n' "$CLIENT_CERT" "$CLIENT_KEY" >>"$DIR/hosts/$REG/hosts.toml"; }

source "$E2E/access/story.sh"
