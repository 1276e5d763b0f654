#!/usr/bin/env python3
"""Make test images without a network: OCI layouts and archives for `docker load`.

    mkimage.py image    DIR    an image for this machine's architecture
    mkimage.py multi    DIR    an index of two images (amd64, arm64)
    mkimage.py artifact DIR    an artifact: artifactType, empty config, one text blob
    mkimage.py big      DIR    an image with one uncompressed layer of --size bytes that do not compress
    mkimage.py docker   FILE   the image as an archive for `docker load`, tagged --name
    mkimage.py legacy   DIR    the image and two layers more, as `docker save` wrote it before 2016, tagged --name

The first four write an OCI image layout whose index.json names one manifest, with the tag `latest`, and print that
manifest's digest; `docker` and `legacy` print the image's id. Everything follows from --seed: the same seed gives the same bytes.
Images hold a static busybox (--busybox, by default the one of Debian's busybox-static), /hello.txt with a line that
names seed and architecture, and /data.bin with 3 MiB of noise.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import random
import shutil
import tarfile
import tempfile

MIB = 1 << 20
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
COMMANDS = ["sh", "cat", "echo", "ls", "sha256sum", "sleep", "true", "uname"]
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Layout:
    """An OCI image layout directory that is being filled."""

    def __init__(self, directory):
        self.directory = directory
        self.blobs = os.path.join(directory, "blobs", "sha256")
        os.makedirs(self.blobs)

    def add(self, media_type, content, **more):
        """Stores bytes and returns their descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        with open(os.path.join(self.blobs, digest), "wb") as file:
            file.write(content)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(content), **more}

    def add_json(self, media_type, document, **more):
        return self.add(media_type, json.dumps(document, indent=1).encode(), **more)

    def add_file(self, media_type, path):
        """Moves a file of any size in and returns its descriptor."""
        digest, size = file_digest(path), os.path.getsize(path)
        shutil.move(path, os.path.join(self.blobs, digest))
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": size}

    def finish(self, manifest):
        """Writes what makes the directory a layout, with `manifest` tagged `latest`."""
        tagged = {**manifest, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
        with open(os.path.join(self.directory, "oci-layout"), "w") as file:
            json.dump({"imageLayoutVersion": "1.0.0"}, file)
        with open(os.path.join(self.directory, "index.json"), "w") as file:
            json.dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": [tagged]}, file)


def file_digest(path):
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            hasher.update(piece)
    return hasher.hexdigest()


def noise(seed, size):
    """`size` bytes that do not compress, in pieces of at most 1 MiB; the same for the same seed."""
    source = random.Random(seed)
    while size > 0:
        piece = source.randbytes(min(size, MIB))
        size -= len(piece)
        yield piece


def entry(name, size=0, mode=0o644, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname = size, mode, kind, target
    return info


def program_layer(busybox):
    """A tar with busybox and the commands that the tests use."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for directory in ["bin", "tmp", "proc", "sys", "dev", "etc"]:
            tar.addfile(entry(directory, mode=0o755, kind=tarfile.DIRTYPE))
        if busybox:
            with open(busybox, "rb") as file:
                tar.addfile(entry("bin/busybox", os.path.getsize(busybox), 0o755), file)
            for command in COMMANDS:
                tar.addfile(entry("bin/" + command, kind=tarfile.SYMTYPE, target="busybox"))
    return buffer.getvalue()


def data_layer(seed, architecture):
    """A tar with the two files that tell one image from another."""
    hello = f"hello from {seed} on {architecture}\n".encode()
    data = b"".join(noise(seed + architecture, 3 * MIB))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(entry("hello.txt", len(hello)), io.BytesIO(hello))
        tar.addfile(entry("data.bin", len(data)), io.BytesIO(data))
    return buffer.getvalue()


def config(seed, architecture, diff_ids):
    return {
        "created": "2001-02-03T04:05:06Z",
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["/bin/cat", "/hello.txt"], "Env": ["PATH=/bin"], "Labels": {"seed": seed}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": "2001-02-03T04:05:06Z", "created_by": "mkimage.py"} for _ in diff_ids],
    }


def add_image(layout, args, architecture):
    """One image with two gzip layers; returns the descriptor of its manifest."""
    tars = [program_layer(args.busybox), data_layer(args.seed, architecture)]
    diff_ids = ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": layout.add_json(CONFIG, config(args.seed, architecture, diff_ids)),
        "layers": [layout.add(LAYER + "+gzip", gzip.compress(tar, 6, mtime=0)) for tar in tars],
    }
    return layout.add_json(IMAGE, manifest)


def make_image(layout, args):
    return add_image(layout, args, args.architecture)


def make_multi(layout, args):
    manifests = []
    for architecture in ["amd64", "arm64"]:
        manifest = add_image(layout, args, architecture)
        manifests.append({**manifest, "platform": {"architecture": architecture, "os": "linux"}})
    return layout.add_json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


def make_artifact(layout, args):
    text = layout.add("text/plain", f"an artifact from {args.seed}\n".encode(), annotations={"org.opencontainers.image.title": "artifact.txt"})
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "artifactType": "application/vnd.example.test",
        "config": layout.add(EMPTY, b"{}"),
        "layers": [text],
    }
    return layout.add_json(IMAGE, manifest, artifactType="application/vnd.example.test")


def make_big(layout, args):
    with tempfile.NamedTemporaryFile(dir=layout.directory, delete=False) as file:
        file.write(entry("big.bin", args.size).tobuf(tarfile.GNU_FORMAT))
        for piece in noise(args.seed, args.size):
            file.write(piece)
        file.write(bytes(-args.size % 512 + 1024))  # pad to a block, and the two empty blocks at a tar's end
    layer = layout.add_file(LAYER, file.name)
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": layout.add_json(CONFIG, config(args.seed, args.architecture, [layer["digest"]])),
        "layers": [layer],
    }
    return layout.add_json(IMAGE, manifest)


def make_docker_archive(args):
    """Writes the archive that `docker load` reads, and returns the image's id."""
    tars = [program_layer(args.busybox), data_layer(args.seed, args.architecture)]
    diff_ids = ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]
    document = json.dumps(config(args.seed, args.architecture, diff_ids)).encode()
    image_id = hashlib.sha256(document).hexdigest()
    names = [f"layer{number}.tar" for number in range(len(tars))]
    listing = [{"Config": image_id + ".json", "RepoTags": [args.name], "Layers": names}]
    files = [("manifest.json", json.dumps(listing).encode()), (image_id + ".json", document), *zip(names, tars)]
    with tarfile.open(args.target, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files:
            tar.addfile(entry(name, len(content)), io.BytesIO(content))
    return "sha256:" + image_id


def change_layer():
    """A tar that replaces a file, removes another, and has what tars have: a hard link, a long name, a name in UTF-8."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(entry("hello.txt", 8), io.BytesIO(b"changed\n"))
        tar.addfile(entry(".wh.data.bin"))
        tar.addfile(entry("deep", mode=0o700, kind=tarfile.DIRTYPE))
        tar.addfile(entry("deep/" + "long" * 40, 4), io.BytesIO(b"long"))
        tar.addfile(entry("deep/gr\u00fc\u00dfe", 5), io.BytesIO(b"hello"))
        tar.addfile(entry("deep/same", kind=tarfile.LNKTYPE, target="hello.txt"))
    return buffer.getvalue()


def empty_layer():
    """What ENV and CMD pushed."""
    return bytes(1024)


def make_legacy(args):
    """Writes the directory, and returns the id of the image on top. Ids are anything then; here they follow from the seed."""
    tars = [program_layer(args.busybox), data_layer(args.seed, args.architecture), change_layer(), empty_layer()]
    parent = None
    for number, tar in enumerate(tars):
        image = hashlib.sha256(f"{args.seed} {args.architecture} {number}".encode()).hexdigest()
        document = {"id": image, "created": f"2014-05-13T16:53:2{number}Z", "docker_version": "1.0.0", "os": "linux",
                    "architecture": args.architecture, "container_config": {"Cmd": ["/bin/sh", "-c", f"step {number}"]},
                    "config": {"Cmd": ["/bin/cat", "/hello.txt"], "Env": ["PATH=/bin"]}, "Size": len(tar)}
        if parent:
            document["parent"] = parent
        os.makedirs(os.path.join(args.target, image))
        for name, content in [("VERSION", b"1.0"), ("json", json.dumps(document).encode() + b"\n"), ("layer.tar", tar)]:
            with open(os.path.join(args.target, image, name), "wb") as file:
                file.write(content)
        parent = image
    name, _, tag = args.name.partition(":")
    with open(os.path.join(args.target, "repositories"), "w") as file:
        json.dump({name: {tag: parent}}, file)
    return parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["image", "multi", "artifact", "big", "docker", "legacy"])
    parser.add_argument("target", help="the directory (docker: the file) to write")
    parser.add_argument("--seed", default="seed")
    parser.add_argument("--name", default="e2e:latest", help="docker, legacy: the tag")
    parser.add_argument("--size", type=int, default=1 << 30, help="big: bytes in the layer's file (default 1 GiB)")
    parser.add_argument("--architecture", default=ARCHITECTURES.get(platform.machine(), platform.machine()))
    parser.add_argument("--busybox", default="/bin/busybox" if os.path.exists("/bin/busybox") else None)
    args = parser.parse_args()
    if args.kind == "docker":
        print(make_docker_archive(args))
        return
    if args.kind == "legacy":
        print(make_legacy(args))
        return
    layout = Layout(args.target)
    make = {"image": make_image, "multi": make_multi, "artifact": make_artifact, "big": make_big}[args.kind]
    manifest = make(layout, args)
    layout.finish(manifest)
    print(manifest["digest"])


if __name__ == "__main__":
    main()
