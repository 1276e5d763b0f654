#!/usr/bin/env bash
# buildah: builds an image on one that it pulls from Gantry, pushes it, pulls it back, and pushes manifest lists.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need buildah curl openssl python3
need_sandbox

echo '{}' >"$DIR/auth.json"
export REGISTRY_AUTH_FILE=$DIR/auth.json BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$DIR/buildah/root" --runroot "$DIR/buildah/run" "$@"; }
buildah --version

cd "$DIR"                                                   # buildah makes names of paths: keep them short
mkimage image image --seed buildah
mkimage multi multi --seed buildah
forget_all() { buildah rmi --all --force >/dev/null; }
push() { buildah push --quiet "${at[@]}" --digestfile digest "$@"; }

content() {                                                 # content IMAGE: the files that tell it from others
    local container mounted
    container=$(buildah from --pull-never "$1")
    mounted=$(buildah mount "$container")
    cat "$mounted/hello.txt" "$mounted/data.bin" "$mounted/built.txt" | sha256sum
    buildah rm "$container" >/dev/null
}

pull() {                                                    # pull REFERENCE: from Gantry alone; it is what was pushed
    forget_all
    expect "image id" "$(buildah pull --quiet "${at[@]}" "$1")" "$id"
    expect "content" "$(content "$1")" "$wanted"
}

round_trip() {
    say "push a base"
    forget_all
    push "$(buildah pull --quiet oci:image:latest)" "docker://$REG/e2e/base:v1"
    expect_served e2e/base v1 "$(<digest)"
    forget_all

    say "build on it; push; pull by tag and by digest"
    printf 'FROM %s/e2e/base:v1\nRUN cat /hello.txt >/built.txt && echo built >>/built.txt\n' "$REG" >Containerfile
    buildah build --quiet "${at[@]}" --file Containerfile --tag localhost/built
    id=$(buildah inspect --type image --format '{{.FromImageID}}' localhost/built)
    wanted=$(content localhost/built)
    push localhost/built "docker://$REG/e2e/built:v1"
    built=$(<digest)
    expect_served e2e/built v1 "$built"
    pull "$REG/e2e/built:v1"
    pull "$REG/e2e/built@$built"

    say "a list of three architectures, one of them what was built; buildah picks by architecture"
    buildah manifest create list >/dev/null
    buildah manifest add --all list oci:multi:latest >/dev/null
    buildah manifest add --os linux --arch riscv64 list "$REG/e2e/built@$built" >/dev/null
    buildah manifest push --quiet --all "${at[@]}" --digestfile digest list "docker://$REG/e2e/multi:v1"
    buildah manifest rm list >/dev/null
    expect_served e2e/multi v1 "$(<digest)"
    for architecture in amd64 arm64; do
        forget_all
        buildah pull --quiet "${at[@]}" --arch "$architecture" "$REG/e2e/multi:v1"
        expect "architecture" "$(buildah inspect --type image --format '{{.OCIv1.Architecture}}' "$REG/e2e/multi:v1")" "$architecture"
    done
}

say "plain HTTP"
serve
at=(--tls-verify=false)
round_trip
stop

say "TLS and an account"
serve_tls
mkdir certs && cp "$CA" certs/
at=(--cert-dir certs)
refused push "$(buildah pull --quiet oci:image:latest)" "docker://$REG/e2e/image:v1"
refused buildah login "${at[@]}" --username "$USERNAME" --password wrong "$REG"
buildah login "${at[@]}" --username "$USERNAME" --password-stdin "$REG" <<<"$PASSWORD"
round_trip
buildah logout "$REG"
refused buildah pull "${at[@]}" "$REG/e2e/built:v1"
stop
