#!/usr/bin/env bash
# podman: with storage of its own, pushes, pulls and runs images, and makes and pushes manifest lists.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need podman curl openssl python3
need_sandbox

# What podman would ask of the machine by default (thousands of open files, systemd, a bridge) is not to be had everywhere.
mkdir "$DIR/podman"
cat >"$DIR/podman/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "$(basename "$(command -v runc || command -v crun)")"
tmp_dir = "$DIR/podman/tmp"
CONF
cat >"$DIR/podman/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$DIR/podman/root"
runroot = "$DIR/podman/run"
[storage.options]
pull_options = {enable_partial_images = "true"}
CONF
echo '{}' >"$DIR/auth.json"
export CONTAINERS_CONF=$DIR/podman/containers.conf CONTAINERS_STORAGE_CONF=$DIR/podman/storage.conf
export REGISTRY_AUTH_FILE=$DIR/auth.json
podman version --format 'podman {{.Client.Version}}'

cd "$DIR"                                                   # podman makes a name of the path: keep it short
mkimage image image --seed podman
mkimage multi multi --seed podman
id=$(podman pull --quiet oci:image:latest)
load() { podman pull --quiet oci:image:latest >/dev/null; podman tag "$id" localhost/e2e:v1; }
forget_all() { podman image rm --all --force >/dev/null; }

load
runs=yes
reason=$(podman run --rm localhost/e2e:v1 true 2>&1) || { runs=no; note "podman run left out: $reason"; }
content() {                                                 # content IMAGE: its two files
    local mounted
    mounted=$(podman image mount "$1")
    cat "$mounted/hello.txt" "$mounted/data.bin" | sha256sum
    podman image unmount "$1" >/dev/null
}
wanted=$(content localhost/e2e:v1)

pull() {                                                    # pull REFERENCE: from Gantry alone; it is what was pushed
    forget_all
    expect "image id" "$(podman pull --quiet "${at[@]}" "$1")" "$id"
    expect "content" "$(content "$1")" "$wanted"
    [[ $runs == yes ]] || return 0
    expect "podman run" "$(podman run --rm "$1" sh -c 'cat /hello.txt /data.bin | sha256sum')" "$wanted"
}

push() { podman push --quiet "${at[@]}" --digestfile "$DIR/digest" "$@"; }

round_trip() {
    say "push; pull by tag and by digest; run"
    load
    push localhost/e2e:v1 "$REG/e2e/image:v1"
    image=$(<"$DIR/digest")
    expect_served e2e/image v1 "$image"
    pull "$REG/e2e/image:v1"
    pull "$REG/e2e/image@$image"

    say "push in Docker's format to another repository"
    push --format v2s2 "$REG/e2e/image@$image" "$REG/another/image:v1"
    expect_served another/image v1 "$(<"$DIR/digest")"
    forget_all
    podman pull --quiet "${at[@]}" "$REG/another/image:v1"
    expect "content" "$(content "$REG/another/image:v1")" "$wanted"

    say "a list of two architectures; podman picks its own"
    podman manifest create list >/dev/null
    podman manifest add --all list oci:multi:latest >/dev/null
    podman manifest push --quiet --all "${at[@]}" --digestfile "$DIR/digest" list "docker://$REG/e2e/multi:v1"
    podman manifest rm list >/dev/null
    list=$(<"$DIR/digest")
    expect_served e2e/multi v1 "$list"
    pull "$REG/e2e/multi:v1"
    pull "$REG/e2e/multi@$list"
    forget_all
    podman pull --quiet "${at[@]}" --arch arm64 "$REG/e2e/multi:v1"
    expect "architecture" "$(podman image inspect --format '{{.Architecture}}' "$REG/e2e/multi:v1")" arm64
    forget_all
}

say "plain HTTP"
serve
at=(--tls-verify=false)
round_trip

say "two layers in zstd:chunked that share half of their files: of the second, the other half is pulled, in many ranges"
mkdir files
for layer in first second; do
    for number in {1..200}; do
        [[ $layer == second && $((number % 2)) == 0 ]] || head -c 20000 /dev/urandom >"files/$number"
    done
    tar -C files -cf files.tar .
    push --compression-format zstd:chunked "$(podman import --quiet files.tar)" "$REG/e2e/chunked:$layer"
done
forget_all
podman pull --quiet "${at[@]}" "$REG/e2e/chunked:first"
podman pull --quiet "${at[@]}" "$REG/e2e/chunked:second"
diff -r files "$(podman image mount "$REG/e2e/chunked:second")" || fail "the files differ"
grep -q 'method=GET.*e2e/chunked/blobs.*status=206' "$DIR/gantry$SERVERS.log" || note "podman pulled the layers whole"
podman image unmount --all >/dev/null

say "eight pushes of the same blobs at once: four to one repository, four to others"
load
push_copy() { podman push --quiet "${at[@]}" localhost/e2e:v1 "$REG/together/$(($1 <= 4 ? 0 : $1)):t$1"; }
together 8 push_copy
for number in {1..8}; do expect_served "together/$((number <= 4 ? 0 : number))" "t$number" "$image"; done
expect "tags" "$(podman search "${at[@]}" --list-tags "$REG/together/0" | awk 'NR > 1 { print $2 }' | xargs)" "t1 t2 t3 t4"

say "search, by name and by description"
search() { podman search --no-trunc --format '{{.Name}}: {{.Description}}' "$@"; }
described=$(podman build --quiet --file - <<<'FROM scratch
LABEL org.opencontainers.image.description="Built of nothing"')
push "$described" "$REG/e2e/described:v1"
expect "podman search" "$(search "${at[@]}" "$REG/DESCRIBED")" "$REG/e2e/described: Built of nothing"
expect "podman search" "$(search "${at[@]}" "$REG/of nothing")" "$REG/e2e/described: Built of nothing"
expect "podman search" "$(search "${at[@]}" "$REG/another" | xargs)" "$REG/another/image:"
expect "podman search" "$(search "${at[@]}" --limit 2 "$REG/e2e" | wc -l)" 2
expect "podman search" "$(search "${at[@]}" "$REG/nothing-of-the-kind")" ""
stop

say "TLS and an account"
serve_tls
mkdir "$DIR/certs" && cp "$CA" "$DIR/certs/"
mkdir -p "/etc/containers/certs.d/$REG" && cp "$CA" "/etc/containers/certs.d/$REG/ca.crt" # the sandbox's own: search has no --cert-dir
at=(--cert-dir "$DIR/certs")
refused push localhost/e2e:v1 "$REG/e2e/image:v1"
refused podman login "${at[@]}" --username "$USERNAME" --password wrong "$REG"
podman login "${at[@]}" --username "$USERNAME" --password-stdin "$REG" <<<"$PASSWORD"
round_trip
expect "podman search" "$(search "$REG/multi" | xargs)" "$REG/e2e/multi:" # first without the account, and then by the catalog
podman logout "$REG"
refused search "$REG/multi"
refused podman pull "${at[@]}" "$REG/e2e/image:v1"
stop
