"""What the check-* scripts share: walking the tree, reporting, and proving themselves.

A check is a function check(root) -> list of findings, one sentence each, "place: what is wrong".
Its proof is a list of plants: violations written into a temporary copy of the tree, each of which
the check must report (and nothing must be reported that is not in the tree already).
"""

import os
import re
import shutil
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def is_not_ours(name):
    """Is a folder of that name made by git, meson or python?"""
    return name in (".git", "__pycache__") or re.fullmatch(r"build(-.*)?", name) is not None


def files(root, folders=None, suffixes=None):
    """Paths relative to root, sorted; hidden files, builds and caches are not part of the tree."""
    found = []
    for top in folders or ["."]:
        for where, names, leaves in os.walk(os.path.join(root, top)):
            names[:] = [n for n in names if not n.startswith(".") and not is_not_ours(n)]
            for leaf in leaves:
                if not leaf.startswith(".") and (not suffixes or leaf.endswith(tuple(suffixes))):
                    found.append(os.path.relpath(os.path.join(where, leaf), root))
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


class Plant:
    """A violation: `text` appended to `path` (made if it is not there) must be reported with
    `expect` in the sentence."""

    def __init__(self, path, text, expect):
        self.path, self.text, self.expect = path, text, expect

    def put(self, root):
        path = os.path.join(root, self.path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(self.text)


def copy_of_tree(where):
    copy = os.path.join(where, "tree")
    shutil.copytree(ROOT, copy, ignore=lambda _, names: [n for n in names if is_not_ours(n)])
    return copy


def self_test(check, plants):
    failures = 0
    for plant in plants:
        with tempfile.TemporaryDirectory(prefix="shunt-check-") as where:
            root = copy_of_tree(where)
            before = set(check(root))
            plant.put(root)
            new = [finding for finding in check(root) if finding not in before]
            if any(plant.expect in finding for finding in new):
                print(f"found, as it must be: {[f for f in new if plant.expect in f][0]}")
            else:
                print(f"NOT FOUND: {plant.text.strip()!r} in {plant.path} (new findings: {new})")
                failures += 1
    return 1 if failures or not plants else 0


def main(check, plants):
    """Runs the check, or with --self-test proves it; returns the exit status."""
    if sys.argv[1:] == ["--self-test"]:
        return self_test(check, plants)
    if sys.argv[1:]:
        print(f"usage: {os.path.basename(sys.argv[0])} [--self-test]", file=sys.stderr)
        return 2
    findings = check(ROOT)
    for finding in findings:
        print(finding)
    return 1 if findings else 0
