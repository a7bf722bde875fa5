"""The machine that is measured: what it is, and its hugepages while they are needed."""

import os
import platform
import re
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGES = "/proc/sys/vm/nr_hugepages"


class Trouble(Exception):
    pass


def read(path, otherwise=""):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return otherwise


def load():
    return [round(x, 2) for x in os.getloadavg()]


def about():
    cpu = re.search(r"^model name\s*: (.*)", read("/proc/cpuinfo"), re.M)
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"],
                            capture_output=True, text=True).stdout.strip()
    return {"cpu": cpu[1] if cpu else platform.machine(), "cpus": os.cpu_count(),
            "kernel": platform.release(), "commit": commit or "unknown", "load": load(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


class Hugepages:
    """2 MB pages, reserved while it lasts if that is allowed, and given back at the end."""

    def __enter__(self):
        self.added = 0
        return self

    @staticmethod
    def free():
        return int(re.search(r"HugePages_Free: +(\d+)|$", read("/proc/meminfo"))[1] or 0)

    def there(self, megabytes):
        """Are so many MB free, if need be after having reserved them?"""
        missing = megabytes // 2 + 1 - self.free()
        if missing <= 0:
            return True
        if os.access(PAGES, os.W_OK):
            before = int(read(PAGES, "0"))
            self._write(before + missing)
            self.added += int(read(PAGES, "0")) - before
        return self.free() >= megabytes // 2

    @staticmethod
    def _write(pages):
        try:
            with open(PAGES, "w") as file:
                file.write(str(pages))
        except OSError:
            pass

    def __exit__(self, *_):
        if self.added > 0:
            self._write(max(int(read(PAGES, "0")) - self.added, 0))
