#!/usr/bin/env python3
"""What a container would see: one line for each path of an image, out of a directory as `docker save` wrote it before 2016.

    v1_files.py DIR                  the image of the first tag in DIR/repositories
    v1_files.py --exported FILE      the same lines for a tar of `docker export`, without what docker itself puts into a container
"""

import argparse
import hashlib
import json
import os
import tarfile

# What docker makes in every container.
DOCKERS = {".dockerenv", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", "dev/console", "dev/pts", "dev/shm"}


def chain(directory):
    with open(os.path.join(directory, "repositories")) as file:
        image = next(iter(next(iter(json.load(file).values())).values()))
    layers = []
    while image:
        layers.insert(0, os.path.join(directory, image, "layer.tar"))
        with open(os.path.join(directory, image, "json")) as file:
            image = json.load(file).get("parent")
    return layers


def apply(path, files):
    """Puts a layer over what is there."""
    with tarfile.open(path) as tar:
        for member in tar:
            name = member.name.removeprefix("./").rstrip("/")
            above, _, last = name.rpartition("/")
            if last.startswith(".wh."):
                gone = f"{above}/{last[4:]}".lstrip("/")
                for known in [known for known in files if known == gone or known.startswith(gone + "/")]:
                    del files[known]
            elif member.islnk():
                files[name] = files[member.linkname.removeprefix("./")]
            elif member.issym():
                files[name] = f"-> {member.linkname}"
            elif member.isdir():
                files[name] = f"directory {member.mode & 0o7777:o}"
            elif member.isfile():
                content = tar.extractfile(member).read()
                files[name] = f"{member.mode & 0o7777:o} {len(content)} {hashlib.sha256(content).hexdigest()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exported", action="store_true")
    parser.add_argument("path")
    args = parser.parse_args()
    files = {}
    for layer in [args.path] if args.exported else chain(args.path):
        apply(layer, files)
    for name in sorted(files):
        if name not in DOCKERS:
            print(name, files[name])


if __name__ == "__main__":
    main()
