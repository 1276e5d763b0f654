#!/usr/bin/env bash
# docker: a dockerd of its own, on a private socket, pushes, pulls and runs images; `docker manifest` makes an index.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need docker dockerd runc curl openssl python3
need_sandbox

start_dockerd
docker version --format 'client {{.Client.Version}}, server {{.Server.Version}}'

declare -A id=(
    [amd64]=$(mkimage docker "$DIR/amd64.tar" --seed docker --name e2e:amd64 --architecture amd64)
    [arm64]=$(mkimage docker "$DIR/arm64.tar" --seed docker --name e2e:arm64 --architecture arm64)
)
native=$(docker version --format '{{.Server.Arch}}')
load() { docker load --quiet --input "$DIR/amd64.tar"; docker load --quiet --input "$DIR/arm64.tar"; }
forget_all() {
    docker image prune --all --force >/dev/null
    [[ -z $(docker image ls --quiet) ]] || fail "docker still has images"
}

load
run() { docker run --rm --network none "$@"; }
runs=yes
reason=$(run "e2e:$native" true 2>&1) || { runs=no; note "docker run left out: $reason"; }
data=$(tar -xOf "$DIR/$native.tar" layer1.tar | tar -xO data.bin | sha256sum)

push() {                                                    # push ARCHITECTURE REPOSITORY: sets $pushed, the digest
    docker tag "e2e:$1" "$REG/$2:$1"
    docker push "$REG/$2:$1" | tee "$DIR/push.out"
    pushed=$(sed -n 's/^.*: digest: \(sha256:[0-9a-f]*\) .*/\1/p' "$DIR/push.out")
    expect_served "$2" "$1" "$pushed"
}

pull() {                                                    # pull REFERENCE: from Gantry alone; it is what was pushed
    forget_all
    docker pull --quiet "$1"
    expect "image id" "$(docker image inspect --format '{{.Id}}' "$1")" "${id[$native]}"
    [[ $runs == yes ]] || return 0
    expect "docker run" "$(run "$1")" "hello from docker on $native"
    expect "data.bin" "$(run "$1" sh -c 'sha256sum </data.bin')" "$data"
}

round_trip() {
    say "push; pull by tag and by digest; run"
    load
    push "$native" e2e/image
    image=$pushed
    say "push to another repository: the layers are mounted"
    push "$native" another/image
    pull "$REG/e2e/image:$native"
    pull "$REG/e2e/image@$image"

    say "an index of two architectures; docker picks its own"
    load
    push amd64 e2e/multi
    push arm64 e2e/multi
    docker manifest create "$@" "$REG/e2e/multi:v1" "$REG/e2e/multi:amd64" "$REG/e2e/multi:arm64"
    index=$(docker manifest push --purge "$@" "$REG/e2e/multi:v1" | tail -n 1)
    expect_served e2e/multi v1 "$index"
    pull "$REG/e2e/multi:v1"
    pull "$REG/e2e/multi@$index"
}

say "plain HTTP"
serve
round_trip --insecure

say "build on what was pushed, and push that"
build() { DOCKER_BUILDKIT=0 docker build --quiet --tag "$1" "$2"; }
mkdir "$DIR/small" && cp "$DIR/amd64.tar" "$DIR/small/more"
printf 'FROM %s/e2e/multi:v1\nCOPY more /\nLABEL org.opencontainers.image.description="Built on another"\n' "$REG" \
    >"$DIR/small/Dockerfile"
build e2e:built "$DIR/small"
push built e2e/built

say "search, by name and by description"
search() { docker search --no-trunc --format '{{.Name}}: {{.Description}}' "$@"; }
expect "docker search" "$(search "$REG/BUILT")" "e2e/built: Built on another"
expect "docker search" "$(search "$REG/on another")" "e2e/built: Built on another"
expect "docker search" "$(search "$REG/e2e/i" | xargs)" "e2e/image:"
expect "docker search" "$(search "$REG/multi" | xargs)" "e2e/multi:"
expect "docker search" "$(search --limit 1 "$REG/e2e" | wc -l)" 1
expect "docker search" "$(search "$REG/nothing of the kind")" ""

say "eight pushes of the same blobs at once: four to one repository, four to others"
load
push_copy() {
    local target=$REG/together/$(($1 <= 4 ? 0 : $1)):t$1
    docker tag "e2e:$native" "$target"
    docker push --quiet "$target"
}
together 8 push_copy
for number in {1..8}; do expect_served "together/$((number <= 4 ? 0 : number))" "t$number" "$image"; done

if room_for_big_layer; then
    say "a layer of 1 GiB"
    mkdir "$DIR/big"
    printf 'FROM scratch\nCOPY big.bin /\n' >"$DIR/big/Dockerfile"
    head -c 1G /dev/urandom >"$DIR/big/big.bin"
    build e2e:big "$DIR/big"
    rm -rf "$DIR/big"
    big=$(docker image inspect --format '{{.Id}}' e2e:big)
    time push big e2e/big
    forget_all
    time docker pull --quiet "$REG/e2e/big:big"
    expect "image id" "$(docker image inspect --format '{{.Id}}' "$REG/e2e/big:big")" "$big"
    forget_all
fi
stop

# docker does not ask 127.0.0.1 for a certificate that it can trust; any other address it does.
say "TLS and an account"
ADDRESS=10.99.0.1
serve_tls --set v1.enabled=true
load
docker tag "e2e:$native" "$REG/e2e/image:$native"
if docker push "$REG/e2e/image:$native" >"$DIR/push.out" 2>&1; then fail "an unknown CA was trusted"; fi
grep 'unknown authority' "$DIR/push.out"
mkdir -p "/etc/docker/certs.d/$REG"                         # the sandbox's own /etc
cp "$CA" "/etc/docker/certs.d/$REG/ca.crt"
refused docker push "$REG/e2e/image:$native"
refused search "$REG/image"
refused docker login --username "$USERNAME" --password wrong "$REG"
docker login --username "$USERNAME" --password-stdin "$REG" <<<"$PASSWORD"
round_trip
tokens() { grep -c 'method=POST path="/v2/token"' "$DIR/gantry$SERVERS.log"; }
before=$(tokens)
search "$REG/multi" | grep '^e2e/multi: '
(($(tokens) > before)) || note "docker searched without a token for registry:catalog:search"
docker logout "$REG"
refused search "$REG/image"
forget_all
refused docker pull "$REG/e2e/image:$native"
stop
