#!/usr/bin/env bash
# skopeo with accounts: see story.sh.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/../lib.sh"
need skopeo curl openssl python3
mkimage image "$DIR/image" --seed access
export REGISTRY_AUTH_FILE=$DIR/home/auth.json
certs=$DIR/certs

prepare() { mkdir "$certs" && cp "$CA" "$certs/"; }
login() { skopeo login --cert-dir "$certs" --username "$1" --password-stdin "$REG" <<<"$2"; }
logout() { skopeo logout "$REG"; }
push() { skopeo copy -q --preserve-digests --dest-cert-dir "$certs" "oci:$DIR/image:latest" "docker://$REG/$1:v1"; }
pull() {
    rm -rf "$DIR/back"
    skopeo copy -q --preserve-digests --src-cert-dir "$certs" "docker://$REG/$1:v1" "oci:$DIR/back:latest" &&
        same_blobs "$DIR/image" "$DIR/back"
}
show_certificate() { cp "$CLIENT_CERT" "$certs/client.cert" && cp "$CLIENT_KEY" "$certs/client.key"; }

source "$E2E/access/story.sh"
