#!/usr/bin/env bash
# buildah with accounts: see story.sh.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/../lib.sh"
need buildah curl openssl python3
need_sandbox
echo '{}' >"$DIR/auth.json"
export REGISTRY_AUTH_FILE=$DIR/auth.json BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$DIR/buildah/root" --runroot "$DIR/buildah/run" "$@"; }
certs=$DIR/certs
cd "$DIR"                                                   # buildah makes names of paths: keep them short
mkimage image image --seed access
id=$(buildah pull --quiet oci:image:latest)

prepare() { mkdir "$certs" && cp "$CA" "$certs/"; }
login() { buildah login --cert-dir "$certs" --username "$1" --password-stdin "$REG" <<<"$2"; }
logout() { buildah logout "$REG"; }
push() {
    buildah pull --quiet oci:image:latest >/dev/null
    buildah push --quiet --cert-dir "$certs" "$id" "docker://$REG/$1:v1"
}
pull() {
    buildah rmi --all --force >/dev/null
    local got
    got=$(buildah pull --quiet --cert-dir "$certs" "$REG/$1:v1") && expect "image id" "$got" "$id"
}
show_certificate() { cp "$CLIENT_CERT" "$certs/client.cert" && cp "$CLIENT_KEY" "$certs/client.key"; }

source "$E2E/access/story.sh"
