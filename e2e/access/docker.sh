#!/usr/bin/env bash
# docker with accounts, with a dockerd of its own: see story.sh.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/../lib.sh"
need docker dockerd runc curl openssl python3
need_sandbox
start_dockerd
id=$(mkimage docker "$DIR/image.tar" --seed access --name access:v1)
ADDRESS=10.99.0.1                                           # it does not ask 127.0.0.1 for a certificate that it can trust

prepare() {
    certs=/etc/docker/certs.d/$REG                          # the sandbox's own /etc
    mkdir -p "$certs" && cp "$CA" "$certs/ca.crt"
}
login() { docker login --username "$1" --password-stdin "$REG" <<<"$2"; }
logout() { docker logout "$REG"; }
push() {
    docker load --quiet --input "$DIR/image.tar" && docker tag access:v1 "$REG/$1:v1" && docker push --quiet "$REG/$1:v1"
}
pull() {
    docker image prune --all --force >/dev/null
    docker pull --quiet "$REG/$1:v1" && expect "image id" "$(docker image inspect --format '{{.Id}}' "$REG/$1:v1")" "$id"
}
search() { docker search --no-trunc --format '{{.Name}}: {{.Description}}' "$REG/$1" | sed 's/ *$//'; }
show_certificate() { cp "$CLIENT_CERT" "$certs/client.cert" && cp "$CLIENT_KEY" "$certs/client.key"; }

source "$E2E/access/story.sh"
