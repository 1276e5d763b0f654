#!/bin/sh
# The registry API by hand: a tiny image is pushed, listed, pulled and deleted with nothing but curl.
#
#   examples/curl-walkthrough.sh [HOST:PORT]        default localhost:5000, plain HTTP
#
# It pushes to the repository examples/walkthrough and deletes there what it pushed. Each step is one request of
# docs/protocol.md; the comments name the endpoint.
set -eu

repository="http://${1:-localhost:5000}/v2/examples/walkthrough"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '\n== %s\n' "$*"; }
digest() { printf 'sha256:%s' "$(sha256sum "$1" | cut -d' ' -f1)"; }
size() { wc -c <"$1" | tr -d ' '; }
# curl that fails when the answer is an error, and shows that answer.
request() { curl --silent --show-error --fail-with-body "$@"; }

say "Is this a registry? (end-1)"
request "${repository%/examples/*}/"
echo

say "An image is a layer, a configuration that names the layer, and a manifest that names both"
mkdir "$work/files"
echo 'Hello from a layer' >"$work/files/hello.txt"
tar -C "$work/files" -cf "$work/layer.tar" hello.txt
cat >"$work/config.json" <<END
{
  "architecture": "amd64",
  "os": "linux",
  "config": {},
  "rootfs": { "type": "layers", "diff_ids": ["$(digest "$work/layer.tar")"] }
}
END
cat >"$work/manifest.json" <<END
{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": "$(digest "$work/config.json")",
    "size": $(size "$work/config.json")
  },
  "layers": [
    {
      "mediaType": "application/vnd.oci.image.layer.v1.tar",
      "digest": "$(digest "$work/layer.tar")",
      "size": $(size "$work/layer.tar")
    }
  ]
}
END
cat "$work/manifest.json"

say "Push the layer: open an upload session (end-4a), close it with the bytes and their digest (end-6)"
location=$(request --request POST --dump-header - "$repository/blobs/uploads/" |
    tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
echo "session: $location"
# Location is a path here; other registries may give a whole URL.
case $location in
    /*) session="${repository%/v2/*}$location" ;;
    *) session=$location ;;
esac
# The session may have parameters of its own, to which ours is added.
case $session in
    *\?*) session="$session&" ;;
    *) session="$session?" ;;
esac
request --request PUT --header 'Content-Type: application/octet-stream' --data-binary "@$work/layer.tar" \
    --write-out 'layer: %{http_code}\n' "${session}digest=$(digest "$work/layer.tar")"

say "Push the configuration in one request (end-4b)"
request --request POST --header 'Content-Type: application/octet-stream' --data-binary "@$work/config.json" \
    --write-out 'configuration: %{http_code}\n' "$repository/blobs/uploads/?digest=$(digest "$work/config.json")"

say "Push the manifest under the tag v1 (end-7a); from now on the image can be pulled"
request --request PUT --header 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
    --data-binary "@$work/manifest.json" --write-out 'manifest: %{http_code}\n' "$repository/manifests/v1"

say "List repositories and tags (end-8)"
request "${repository%/examples/*}/_catalog"
echo
request "$repository/tags/list"
echo

say "Pull: the manifest by its tag (end-3), and what it names by digest (end-2)"
request --output "$work/pulled.json" "$repository/manifests/v1"
cmp "$work/manifest.json" "$work/pulled.json" && echo 'the manifest is the same, byte for byte'
layer=$(sed -n 's/.*"digest": "\(sha256:[0-9a-f]*\)".*/\1/p' "$work/pulled.json" | tail -n 1)
request --output "$work/pulled.tar" "$repository/blobs/$layer"
test "$(digest "$work/pulled.tar")" = "$layer" && echo 'the layer has the digest that the manifest names'
tar -xOf "$work/pulled.tar" hello.txt

say "Only a part of the layer (Range)"
request --range 0-8 "$repository/blobs/$layer"
echo

say "Delete: the manifest takes its tag along (end-9), then the blobs (end-10)"
for path in "manifests/$(digest "$work/manifest.json")" "blobs/$layer" "blobs/$(digest "$work/config.json")"; do
    request --request DELETE --write-out "$path: %{http_code}\n" "$repository/$path"
done
request "$repository/tags/list"
echo
curl --silent --write-out ' %{http_code}\n' "$repository/manifests/v1"
