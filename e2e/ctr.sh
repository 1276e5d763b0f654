#!/usr/bin/env bash
# ctr: a containerd of its own, on a private socket, imports, pushes, pulls, exports and runs images.
# shellcheck source=e2e/lib.sh
source "$(dirname "$0")/lib.sh"
need ctr containerd curl openssl python3
need_sandbox

engine=$DIR/containerd
mkdir "$engine"
cat >"$engine/config.toml" <<CONF
version = 2
root = "$engine/root"
state = "$engine/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$engine/socket"
[ttrpc]
address = "$engine/ttrpc"
CONF
containerd --config "$engine/config.toml" >"$DIR/containerd.log" 2>&1 &
containerd=$!
STARTED[$containerd]=containerd
ctr() { command ctr --address "$engine/socket" "$@"; }
for _ in {1..300}; do
    ctr version >/dev/null 2>&1 && break
    kill -0 "$containerd" 2>/dev/null || skip "containerd does not run here: $(tail -n 1 "$DIR/containerd.log")"
    sleep 0.1
done
ctr --version

declare -A digest=(
    [image]=$(mkimage image "$DIR/image" --seed ctr)
    [multi]=$(mkimage multi "$DIR/multi" --seed ctr)
)
load() {                                                    # load KIND REFERENCE
    tar -C "$DIR/$1" -cf "$DIR/$1.tar" .
    ctr images import --no-unpack --all-platforms --index-name "$2" "$DIR/$1.tar" >/dev/null
}
forget_all() {                                              # --sync: with all content, before it returns
    ctr images ls -q | xargs -r ctr_remove
}
