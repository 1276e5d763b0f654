#!/usr/bin/env bash
# regctl with accounts: see story.sh.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/../lib.sh"
need regctl curl openssl python3
mkimage image "$DIR/image" --seed access

prepare() { regctl registry set --tls enabled --cacert "$(<"$CA")" --skip-check "$REG"; }
login() { regctl registry login "$REG" --user "$1" --pass-stdin <<<"$2"; }
logout() { regctl registry logout "$REG"; }
push() { regctl image copy "ocidir://$DIR/image:latest" "$REG/$1:v1"; }
pull() {
    rm -rf "$DIR/back"
    regctl image copy "$REG/$1:v1" "ocidir://$DIR/back:back" && same_blobs "$DIR/image" "$DIR/back"
}
show_certificate() { regctl registry set --client-cert "$(<"$CLIENT_CERT")" --client-key "$(<"$CLIENT_KEY")" --skip-check "$REG"; }

source "$E2E/access/story.sh"
