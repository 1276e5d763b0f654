#!/usr/bin/env bash
# v1: a push as a Docker of 2014 made it (examples/v1.py), a pull by the docker of today, its push under another tag, and a pull as then
# again: the same files every time. And a pull by others of today, if they are there.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need docker dockerd runc curl openssl python3
need_sandbox

start_dockerd
docker version --format 'client {{.Client.Version}}, server {{.Server.Version}}'

native=$(docker version --format '{{.Server.Arch}}')
top=$(mkimage legacy "$DIR/old" --seed v1 --name e2e:v1 --architecture "$native")
files() { python3 "$E2E/v1_files.py" "$@"; }
files "$DIR/old" >"$DIR/files"
grep -q '^hello.txt ' "$DIR/files" && ! grep -q '^data.bin ' "$DIR/files" || fail "the test image is not what it should be"
v1() { "$ROOT/examples/v1.py" "${V1[@]}" "$@"; }

same_files() {                                              # same_files WHAT FILE: the files are those that were pushed
    diff "$DIR/files" "$2" || fail "$1: other files"
    printf 'ok: %s: the same %d files\n' "$1" "$(wc -l <"$2")"
}

forget_all() { docker image prune --all --force >/dev/null; }

pull_by_docker() {                                          # pull_by_docker REFERENCE: by V2; it runs, and has these files
    forget_all
    docker pull --quiet "$1"
    local container
    container=$(docker create "$1")
    docker export --output "$DIR/exported.tar" "$container"
    docker rm "$container" >/dev/null
    files --exported "$DIR/exported.tar" >"$DIR/exported"
    same_files "docker pull $1" "$DIR/exported"
}

there_and_back() {                                          # there_and_back SCHEME: V1 has what v1.py needs to come in
    local digest name
    for name in old e2e/old; do
        say "$name: pushed by v1"
        v1 push "$1://$REG/$name:v1" "$DIR/old"
        digest=$(served "$name" v1)
        expect "docker search" "$(docker search --no-trunc --format '{{.Name}}' "$REG/$name" | head -n 1)" "$name"
        say "$name: pulled by docker, and pushed under another tag"
        pull_by_docker "$REG/$name:v1"
        docker tag "$REG/$name:v1" "$REG/$name:v2"
        docker push --quiet "$REG/$name:v2"
        say "$name: pulled by v1"
        rm -rf "$DIR/copy" "$DIR/again"
        v1 pull "$1://$REG/$name:v2" "$DIR/copy"
        files "$DIR/copy" >"$DIR/copied"
        same_files "what docker pushed, pulled by v1" "$DIR/copied"
        v1 pull "$1://$REG/$name:v1" "$DIR/again"
        diff -r "$DIR/old/$top" "$DIR/again/$top" || fail "v1 gives other bytes than it was given"
        say "$name: pushed again by v1, as it is and as docker made it"
        v1 push "$1://$REG/$name:v1" "$DIR/again"
        expect_served "$name" v1 "$digest"
        digest=$(served "$name" v2)
        v1 push "$1://$REG/$name:v3" "$DIR/copy"
        expect_served "$name" v3 "$digest"
    done
}

say "plain HTTP"
V1=()
serve
there_and_back http
if command -v skopeo >/dev/null; then
    say "pulled by skopeo, as OCI"
    skopeo copy --quiet --src-tls-verify=false "docker://$REG/e2e/old:v1" "oci:$DIR/oci:v1"
    expect "layers" "$(find "$DIR/oci/blobs/sha256" -type f | wc -l)" 6
fi
if command -v crane >/dev/null; then
    say "validated by crane"
    crane validate --insecure --remote "$REG/e2e/old:v1"
fi
stop

say "TLS and an account"
ADDRESS=10.99.0.1
serve_tls --set v1.enabled=true
mkdir -p "/etc/docker/certs.d/$REG"
cp "$CA" "/etc/docker/certs.d/$REG/ca.crt"
docker login --username "$USERNAME" --password-stdin "$REG" <<<"$PASSWORD"
V1=(--ca "$CA")
refused v1 pull "https://$REG/e2e/old:v1" "$DIR/nothing"
refused v1 push "https://$REG/e2e/old:v1" "$DIR/old"
V1=(--ca "$CA" --user "$USERNAME:wrong")
refused v1 push "https://$REG/e2e/old:v1" "$DIR/old"
V1=(--ca "$CA" --user "$USERNAME:$PASSWORD")
there_and_back https
stop
