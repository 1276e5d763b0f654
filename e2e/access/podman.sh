#!/usr/bin/env bash
# podman with accounts: see story.sh.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/../lib.sh"
need podman curl openssl python3
need_sandbox
mkdir "$DIR/podman"
printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\ntmp_dir = "%s"\n' "$DIR/podman/tmp" >"$DIR/podman/containers.conf"
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$DIR/podman/root" "$DIR/podman/run" >"$DIR/podman/storage.conf"
echo '{}' >"$DIR/auth.json"
export CONTAINERS_CONF=$DIR/podman/containers.conf CONTAINERS_STORAGE_CONF=$DIR/podman/storage.conf
export REGISTRY_AUTH_FILE=$DIR/auth.json
certs=$DIR/certs
cd "$DIR"                                                   # podman makes a name of the path: keep it short
mkimage image image --seed access
id=$(podman pull --quiet oci:image:latest)

prepare() {
    mkdir "$certs" && cp "$CA" "$certs/"
    mkdir -p "/etc/containers/certs.d/$REG" && cp "$CA" "/etc/containers/certs.d/$REG/"   # the sandbox's own /etc
}
login() { podman login --cert-dir "$certs" --username "$1" --password-stdin "$REG" <<<"$2"; }
logout() { podman logout "$REG"; }
push() {
    podman pull --quiet oci:image:latest >/dev/null
    podman push --quiet --cert-dir "$certs" "$id" "docker://$REG/$1:v1"
}
pull() {
    podman image rm --all --force >/dev/null
    local got
    got=$(podman pull --quiet --cert-dir "$certs" "$REG/$1:v1") && expect "image id" "$got" "$id"
}
# It has no --cert-dir, and asks as somebody only after it was refused as nobody.
search() { podman search --no-trunc --format '{{.Name}}: {{.Description}}' "$REG/$1" | sed "s,^$REG/,,; s/ *\$//"; }
SEARCHES_AS=nobody
show_certificate() { cp "$CLIENT_CERT" "$certs/client.cert" && cp "$CLIENT_KEY" "$certs/client.key"; }

source "$E2E/access/story.sh"
