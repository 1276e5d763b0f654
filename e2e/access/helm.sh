#!/usr/bin/env bash
# helm with accounts: see story.sh.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/../lib.sh"
need helm curl openssl python3
mkdir "$DIR/chart"
printf 'apiVersion: v2\nname: e2e\nversion: 1.0.0\n' >"$DIR/chart/Chart.yaml"
helm package "$DIR/chart" --destination "$DIR"

prepare() { at=(--ca-file "$CA"); }
login() { helm registry login "${at[@]}" --username "$1" --password-stdin "$REG" <<<"$2"; }
logout() { helm registry logout "$REG"; }
push() { helm push "${at[@]}" "$DIR/e2e-1.0.0.tgz" "oci://$REG/$1"; }
pull() {
    rm -rf "$DIR/back" && mkdir "$DIR/back"
    helm pull "${at[@]}" --destination "$DIR/back" "oci://$REG/$1/e2e" --version 1.0.0 && cmp "$DIR/back/e2e-1.0.0.tgz" "$DIR/e2e-1.0.0.tgz"
}
show_certificate() { at+=(--cert-file "$CLIENT_CERT" --key-file "$CLIENT_KEY"); }

source "$E2E/access/story.sh"
