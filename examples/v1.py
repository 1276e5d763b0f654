#!/usr/bin/env python3
"""Pushes and pulls images by the Docker Registry API v1, as a Docker of 2014 did, with the standard library alone.

    examples/v1.py push localhost:5000/hello:latest ./hello
    examples/v1.py pull localhost:5000/hello:latest ./copy
    examples/v1.py --user alice:secret --ca ca.pem pull https://registry.example.com/team/app:v1 ./app

The directory is what `docker save` wrote then: for each image a directory by its id, with `VERSION`, `json` and `layer.tar`, and beside
them `repositories`, which says which image a tag points to: {"NAME": {"TAG": "ID"}}. A push takes the image of that file's first tag.
"""

import argparse
import gzip
import hashlib
import http.client
import json
import os
import ssl
import sys
import urllib.parse
import zlib
from base64 import b64encode

AGENT = "docker/1.6.2 go/go1.4.2 git-commit/7c8fca2 kernel/3.16.0 os/linux arch/amd64"


class Registry:
    """A host that is Index and Registry in one, and the token that it gave for a repository."""

    def __init__(self, url, user, ca):
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=ca)
            self.connection = http.client.HTTPSConnection(url.netloc, timeout=60, context=context)
        else:
            self.connection = http.client.HTTPConnection(url.netloc, timeout=60)
        self.basic = "Basic " + b64encode(user.encode()).decode() if user else None
        self.token = ""
        self.scheme = url.scheme
        ping = self.request("GET", "/v1/_ping", [200], {})
        ping.read()
        if not ping.getheader("X-Docker-Registry-Version"):
            raise SystemExit(f"{url.netloc} speaks no v1")

    def request(self, method, path, expected, headers, body=None, chunked=False):
        """An answer whose body has not been read yet; an exception if its status is none of the expected ones."""
        headers = {"User-Agent": AGENT, **headers}
        self.connection.request(method, path, body, headers, encode_chunked=chunked)
        answer = self.connection.getresponse()
        if answer.status in expected:
            return answer
        told = answer.read().decode(errors="replace")
        raise SystemExit(f"{method} {path}: {answer.status} {answer.reason}\n{told}")

    def index(self, method, path, expected, body=None, more={}):
        """A request to the Index: with the password, and its answer brings the token for all others."""
        headers = {"X-Docker-Token": "true", "Content-Type": "application/json", **more}
        if self.basic:
            headers["Authorization"] = self.basic
        answer = self.request(method, path, expected, headers, body)
        content = answer.read()
        self.token = answer.getheader("X-Docker-Token") or self.token
        self.endpoints = answer.getheader("X-Docker-Endpoints")
        return content

    def ask(self, method, path, expected, body=None, chunked=False, **more):
        """A request to the Registry: with the token, which says the repository that the path does not."""
        headers = {"Authorization": "Token " + self.token, **more}
        return self.request(method, path, expected, headers, body, chunked)


def push(registry, name, tag, directory):
    with open(os.path.join(directory, "repositories")) as file:
        top = next(iter(next(iter(json.load(file).values())).values()))
    chain = []
    while top:
        with open(os.path.join(directory, top, "json"), "rb") as file:
            chain.insert(0, (top, file.read()))
        top = json.loads(chain[0][1]).get("parent")
    top = chain[-1][0]
    listed = [{"id": image, **({"Tag": tag} if image == top else {})} for image, _ in chain]
    registry.index("PUT", f"/v1/repositories/{name}/", [200, 201], json.dumps(listed))
    for image, text in chain:
        path = f"/v1/images/{image}/"
        there = registry.ask("GET", path + "json", [200, 404])
        there.read()
        if there.status == 200:
            print(f"  there   {image}")
            continue
        registry.ask("PUT", path + "json", [200], text, **{"Content-Type": "application/json"}).read()
        checksum = hashlib.sha256(text + b"\n")
        layer = packed(os.path.join(directory, image, "layer.tar"), checksum)
        registry.ask("PUT", path + "layer", [200], layer, True, **{"Transfer-Encoding": "chunked"}).read()
        payload = {"X-Docker-Checksum-Payload": "sha256:" + checksum.hexdigest()}
        registry.ask("PUT", path + "checksum", [200], **payload).read()
        print(f"  pushed  {image}")
    path = f"/v1/repositories/{name}/tags/{tag}"
    registry.ask("PUT", path, [200, 201], json.dumps(top), **{"Content-Type": "application/json"}).read()
    endpoints = {"X-Docker-Endpoints": f"{registry.scheme}://{registry.endpoints}/v1/"}
    registry.index("PUT", f"/v1/repositories/{name}/images", [204], "[]", endpoints)
    print(f"  tagged  {top} as {tag}")


def packed(path, checksum):
    """A layer, packed while it goes; the checksum sees what is sent."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            if out := packer.compress(piece):
                checksum.update(out)
                yield out
    out = packer.flush()
    checksum.update(out)
    yield out


def pull(registry, name, tag, directory):
    registry.index("GET", f"/v1/repositories/{name}/images", [200])
    # Docker of then asked for the tags of `library/hello` with the token that it got for `hello`.
    full = name if "/" in name else "library/" + name
    tags = json.load(registry.ask("GET", f"/v1/repositories/{full}/tags", [200]))
    if tag not in tags:
        raise SystemExit(f"{name} has no tag {tag}")
    for image in json.load(registry.ask("GET", f"/v1/images/{tags[tag]}/ancestry", [200])):
        target = os.path.join(directory, image)
        os.makedirs(target)
        answer = registry.ask("GET", f"/v1/images/{image}/json", [200])
        write(target, "json", answer.read())
        answer = registry.ask("GET", f"/v1/images/{image}/layer", [200])
        with open(os.path.join(target, "layer"), "wb") as file:
            while piece := answer.read(1 << 20):
                file.write(piece)
        unpack(target)
        write(target, "VERSION", b"1.0")
        print(f"  pulled  {image}")
    write(directory, "repositories", json.dumps({name: {tag: tags[tag]}}).encode())


def unpack(target):
    """Layers come as they were pushed: packed by gzip, or not."""
    layer = os.path.join(target, "layer")
    with open(layer, "rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    if not is_packed:
        os.rename(layer, layer + ".tar")
        return
    with gzip.open(layer) as source, open(layer + ".tar", "wb") as file:
        while piece := source.read(1 << 20):
            file.write(piece)
    os.remove(layer)


def write(directory, name, content):
    with open(os.path.join(directory, name), "wb") as file:
        file.write(content)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["push", "pull"])
    parser.add_argument("reference", help="[https://]HOST[:PORT]/NAME[:TAG]")
    parser.add_argument("directory")
    parser.add_argument("--user", help="NAME:PASSWORD")
    parser.add_argument("--ca", help="the authority that signed the registry's certificate, PEM")
    args = parser.parse_args()
    reference = args.reference if "://" in args.reference else "http://" + args.reference
    url = urllib.parse.urlsplit(reference)
    name, _, tag = url.path.strip("/").partition(":")
    registry = Registry(url, args.user, args.ca)
    print(f"{args.what} {name}:{tag or 'latest'}")
    (push if args.what == "push" else pull)(registry, name, tag or "latest", args.directory)


if __name__ == "__main__":
    sys.exit(main())
