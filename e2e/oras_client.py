#!/usr/bin/env python3
"""What oras.sh does with the Python package oras, one command at a time.

    oras_client.py push    REFERENCE FILE...         an artifact with these files, the usual way
    oras_client.py chunked REFERENCE FILE...         the same, in chunks of 1 MiB
    oras_client.py attach  REFERENCE SUBJECT FILE    an artifact whose subject is the manifest tagged SUBJECT
    oras_client.py layout  REFERENCE DIRECTORY       what an OCI layout holds, manifests as they are
    oras_client.py pull    REFERENCE DIRECTORY       an artifact's files
    oras_client.py tags    REFERENCE                 the tags of its repository
    oras_client.py delete  REFERENCE                 the manifest that its tag names
    oras_client.py login   HOST USERNAME PASSWORD    kept in $HOME/.docker/config.json

$ORAS_CA names the CA of a registry that speaks TLS and wants accounts; without it, plain HTTP and none. $ORAS_AUTH is `token` to get
bearer tokens, as the package does by default, and not Basic. $ORAS_CERT and $ORAS_KEY are a client certificate.
"""

import json
import os
import sys
import time

import oras.oci
import oras.provider

CHUNK = 1 << 20
time.sleep = lambda seconds: None  # the package repeats what was refused, for two minutes


def manifests_below(directory, descriptor):
    """The manifests of a layout, children before their parents, each with its bytes."""
    with open(os.path.join(directory, "blobs", *descriptor["digest"].split(":")), "rb") as file:
        content = file.read()
    for child in json.loads(content).get("manifests", []):
        yield from manifests_below(directory, child)
    yield descriptor, content


def put_manifest(registry, reference, media_type, content):
    url = f"{registry.prefix}://{registry.get_container(reference).manifest_url()}"
    answer = registry.do_request(url, "PUT", data=content, headers={"Content-Type": media_type})
    answer.raise_for_status()


def push_layout(registry, reference, directory):
    repository = reference.rsplit(":", 1)[0]
    with open(os.path.join(directory, "index.json")) as file:
        root = json.load(file)["manifests"][0]
    for descriptor, content in manifests_below(directory, root):
        document = json.loads(content)
        for blob in [document["config"], *document["layers"]] if "layers" in document else []:
            path = os.path.join(directory, "blobs", *blob["digest"].split(":"))
            registry.upload_blob(path, reference, blob).raise_for_status()
        target = reference if descriptor is root else f"{repository}@{descriptor['digest']}"
        put_manifest(registry, target, descriptor["mediaType"], content)


def subject_of(registry, reference):
    """The subject descriptor of the manifest that `reference` names."""
    manifest = f"{registry.prefix}://{registry.get_container(reference).manifest_url()}"
    answer = registry.do_request(manifest, "HEAD", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    answer.raise_for_status()
    headers = answer.headers
    return oras.oci.Subject(headers["Content-Type"], headers["Docker-Content-Digest"], int(headers["Content-Length"]))


def main(command, reference, *rest):
    ca = os.environ.get("ORAS_CA")
    backend = os.environ.get("ORAS_AUTH", "basic")
    registry = oras.provider.Registry(insecure=ca is None, tls_verify=ca or False, auth_backend=backend)
    if "ORAS_CERT" in os.environ:
        registry.session.cert = (os.environ["ORAS_CERT"], os.environ["ORAS_KEY"])
    registry.auth.set_basic_auth("", "")  # until a login is found; without any, the package fails before it asks
    if command == "login":
        registry.login(rest[0], rest[1], hostname=reference)
        return
    registry.auth.load_configs(registry.get_container(reference))
    if command == "push":
        registry.push(reference, files=rest, disable_path_validation=True)
    elif command == "chunked":
        registry.push(reference, files=rest, disable_path_validation=True, do_chunked=True, chunk_size=CHUNK)
    elif command == "attach":
        subject = subject_of(registry, reference.rsplit(":", 1)[0] + ":" + rest[0])
        registry.push(reference, files=rest[1:], disable_path_validation=True, subject=subject)
    elif command == "layout":
        push_layout(registry, reference, rest[0])
    elif command == "pull":
        registry.pull(reference, outdir=rest[0])
    elif command == "tags":
        print(*registry.get_tags(reference))
    elif command == "delete":
        container = registry.get_container(reference)
        if not registry.delete_tag(reference, container.tag):
            raise SystemExit(f"{reference} is not there")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
