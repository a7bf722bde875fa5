"""Debian's user-mode-linux and ipvsadm, unpacked in a cache, never installed.

The cache is $XDG_CACHE_HOME/shunt/oracle, or ~/.cache/shunt/oracle; remove it to fetch again.
What cannot be fetched is an Unavailable with one sentence: callers skip.
"""

import os
import shutil
import subprocess
import tempfile

# ipvsadm's libraries are named, because nothing resolves dependencies here.
PACKAGES = ("user-mode-linux", "ipvsadm", "libnl-3-200", "libnl-genl-3-200", "libpopt0")


class Unavailable(Exception):
    """One sentence why there is no real IPVS to ask."""


def cache_folder():
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(home, "shunt", "oracle")


class Tree:
    """Where the unpacked packages are."""

    def __init__(self, root):
        self.root = root
        self.kernel = os.path.join(root, "usr/bin/linux.uml")
        self.programs = [os.path.join(root, d) for d in ("sbin", "usr/sbin", "bin", "usr/bin")]
        self.libraries = [os.path.join(root, d, "x86_64-linux-gnu") for d in ("usr/lib", "lib")]

    def modules(self):
        """The folder with modules.dep."""
        top = os.path.join(self.root, "usr/lib/uml/modules")
        return os.path.join(top, os.listdir(top)[0])


def unpacked():
    """The Tree, fetched if it is not in the cache."""
    if os.uname().machine != "x86_64":
        raise Unavailable(f"Debian has user-mode-linux for x86_64, not {os.uname().machine}")
    root = os.path.join(cache_folder(), "root")
    if not os.path.isdir(root):
        _fetch(root)
    return Tree(root)


def _fetch(root):
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise Unavailable("user-mode-linux comes with apt-get and dpkg, which are not here")
    os.makedirs(cache_folder(), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache_folder()) as folder:
        os.chmod(folder, 0o755)  # apt's own user writes here
        for name in PACKAGES:
            command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", name]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode != 0:
                said = done.stderr.strip().splitlines() or ["it gave no reason"]
                raise Unavailable(f"apt-get cannot download {name}: {said[-1]}")
        new = os.path.join(folder, "root")
        for package in sorted(n for n in os.listdir(folder) if n.endswith(".deb")):
            subprocess.run(["dpkg", "-x", os.path.join(folder, package), new], check=True)
        try:
            os.rename(new, root)
        except OSError:  # another run was first
            if not os.path.isdir(root):
                raise
