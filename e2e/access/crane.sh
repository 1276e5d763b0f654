#!/usr/bin/env bash
# crane with accounts: see story.sh.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/../lib.sh"
need crane curl openssl python3
mkimage image "$DIR/image" --seed access
LOGIN_CHECKS='' CERTIFICATES='' WHY="crane has no option for one"

prepare() { export SSL_CERT_FILE=$CA; }
login() { crane auth login "$REG" --username "$1" --password "$2"; }
logout() { crane auth logout "$REG"; }
push() { crane push "$DIR/image" "$REG/$1:v1"; }
pull() {
    rm -rf "$DIR/back"
    crane pull --format oci "$REG/$1:v1" "$DIR/back" && same_blobs "$DIR/image" "$DIR/back"
}

source "$E2E/access/story.sh"
