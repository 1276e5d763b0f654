#!/usr/bin/env python3
"""Pulls an image from one repository and pushes it to another under a tag, with the standard library alone.

    examples/pull_tag_push.py localhost:5000/hello:latest localhost:5000/copies/hello:v1

Both may be on the same registry or on two, over plain HTTP and without accounts. An image for many platforms is copied
with all of them. Blobs that the target has already are not sent again. Everything is checked against its digest, and
manifests travel as the exact bytes that they are, so the copy has the digest of the original.
"""

import hashlib
import http.client
import json
import sys
import tempfile
import urllib.parse

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


class Repository:
    """A repository of a registry, and one connection to it."""

    def __init__(self, host, name):
        self.host, self.name = host, name
        self.connection = http.client.HTTPConnection(host, timeout=60)

    def request(self, method, path, expected, body=None, headers={}):
        """An answer whose body has not been read yet; an exception if its status is none of the expected ones."""
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        if answer.status in expected:
            return answer
        told = answer.read().decode(errors="replace")
        raise SystemExit(f"{method} {self.host}{path}: {answer.status} {answer.reason}\n{told}")

    def path(self, kind, reference):
        return f"/v2/{self.name}/{kind}/{reference}"

    def manifest(self, reference):
        """Media type, digest and bytes of a manifest."""
        accept = {"Accept": ", ".join(INDEXES + MANIFESTS)}
        answer = self.request("GET", self.path("manifests", reference), [200], headers=accept)
        content = answer.read()
        digest = reference if ":" in reference else answer.getheader("Docker-Content-Digest")
        check(digest, hashlib.new(digest.partition(":")[0], content))
        return answer.getheader("Content-Type"), digest, content

    def put_manifest(self, reference, media_type, content):
        headers = {"Content-Type": media_type}
        self.request("PUT", self.path("manifests", reference), [201], content, headers).read()

    def has_blob(self, digest):
        answer = self.request("HEAD", self.path("blobs", digest), [200, 404])
        answer.read()
        return answer.status == 200

    def blob(self, digest, file):
        """Writes a blob to a file, as it comes."""
        answer = self.request("GET", self.path("blobs", digest), [200])
        hasher = hashlib.new(digest.partition(":")[0])
        while piece := answer.read(1 << 20):
            hasher.update(piece)
            file.write(piece)
        check(digest, hasher)

    def put_blob(self, digest, file, size):
        """POST for a session, PUT for everything else."""
        answer = self.request("POST", self.path("blobs", "uploads/"), [202], headers={"Content-Length": "0"})
        answer.read()
        # An absolute path or a whole URL, possibly with parameters of its own.
        session = urllib.parse.urlsplit(answer.getheader("Location"))
        query = urllib.parse.parse_qsl(session.query) + [("digest", digest)]
        target = f"{session.path}?{urllib.parse.urlencode(query)}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self.request("PUT", target, [201], file, headers).read()


def check(digest, hasher):
    if digest != f"{hasher.name}:{hasher.hexdigest()}":
        raise SystemExit(f"the content of {digest} has the digest {hasher.name}:{hasher.hexdigest()}")


def copy(source, target, reference, tag=None):
    """Copies a manifest after all that it names; it gets the tag, if there is one."""
    media_type, digest, content = source.manifest(reference)
    document = json.loads(content)
    for child in document.get("manifests", []):
        copy(source, target, child["digest"])
    blobs = [document["config"], *document["layers"]] if "config" in document else []
    for blob in {blob["digest"]: blob for blob in blobs}.values():
        if blob.get("urls"):
            print(f"  elsewhere {blob['digest']}")  # to be had at other addresses, and not kept by registries
        elif target.has_blob(blob["digest"]):
            print(f"  there     {blob['digest']}")
        else:
            with tempfile.TemporaryFile() as file:
                source.blob(blob["digest"], file)
                size = file.tell()
                file.seek(0)
                target.put_blob(blob["digest"], file, size)
            print(f"  copied    {blob['digest']} ({size} bytes)")
    if tag and digest.startswith("sha256:"):
        target.put_manifest(tag, media_type, content)
    else:
        # A push by tag makes the digest sha256; under another one the tag goes along as a parameter (end-7b).
        target.put_manifest(f"{digest}?tag={tag}" if tag else digest, media_type, content)
    print(f"  manifest  {digest}" + (f" as {tag}" if tag else ""))
    return digest


def parse(reference):
    """`host/name:tag` or `host/name@digest`."""
    host, _, rest = reference.partition("/")
    name, at, digest = rest.partition("@")
    if at:
        return Repository(host, name), digest
    name, _, tag = name.partition(":")
    return Repository(host, name), tag or "latest"


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__.strip())
    (source, reference), (target, tag) = parse(sys.argv[1]), parse(sys.argv[2])
    if ":" in tag:
        raise SystemExit("the target needs a tag, not a digest")
    print(f"{sys.argv[1]} -> {sys.argv[2]}")
    digest = copy(source, target, reference, tag)
    # What the target says now is the last word.
    if target.manifest(tag)[1] != digest:
        raise SystemExit(f"{sys.argv[2]} is not {digest}")


if __name__ == "__main__":
    main()
