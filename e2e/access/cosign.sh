#!/usr/bin/env bash
# cosign with accounts: see story.sh. What it pushes is the signature of an image that crane pushed, what it pulls is that signature.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/../lib.sh"
need cosign crane curl openssl python3
image=$(mkimage image "$DIR/image" --seed access)
cd "$DIR"
export COSIGN_PASSWORD=secret
cosign generate-key-pair
cosign signing-config create --out "$DIR/signing.json"
LOGIN_CHECKS=''

prepare() { export SSL_CERT_FILE=$CA; at=(--registry-cacert "$CA"); }
login() { cosign login "$REG" --username "$1" --password "$2"; }
logout() { crane auth logout "$REG"; }
push() {
    if ((${#at[@]} == 2)); then crane push "$DIR/image" "$REG/$1:v1" || return; fi
    cosign sign --yes --key cosign.key --signing-config signing.json "${at[@]}" "$REG/$1@$image"
}
pull() { cosign verify --key cosign.pub --insecure-ignore-tlog "${at[@]}" "$REG/$1@$image"; }
show_certificate() {                                        # crane has no option for one, so the image is there before
    login bob "$BOB"
    admin grant add bob push team/certificate >/dev/null
    crane push "$DIR/image" "$REG/team/certificate:v1"
    logout
    at+=(--registry-client-cert "$CLIENT_CERT" --registry-client-key "$CLIENT_KEY")
}

source "$E2E/access/story.sh"
