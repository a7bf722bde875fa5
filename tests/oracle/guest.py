"""Boots the guest: a real Linux with IPVS, in user mode, that answers jobs until it is closed.

The guest's root is the host's, read-only; a folder of ours is its /srv, read and written. A job is
a file there; its name goes to the agent through a serial line and comes back when the answer, a
file beside it, is whole. Needs no privileges. Owner: scripts/oracle, one boot for a whole run.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile

import packages

HERE = os.path.dirname(os.path.abspath(__file__))
BOOT_PATIENCE = 60  # seconds
MEMORY = "512M"


class GuestError(Exception):
    """The guest does not boot, or does not answer."""


def _init_script(tree, work, agent):
    path = ":".join(tree.programs + ["/usr/sbin", "/usr/bin", "/sbin", "/bin"])
    return f"""#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs run /run; mount -t hostfs none /srv -o {work}
export PATH={path} LD_LIBRARY_PATH={":".join(tree.libraries)}
export HOME=/run TMPDIR=/run TERM=dumb LC_ALL=C PYTHONDONTWRITEBYTECODE=1
[ ! -d /srv/etc ] || mount --bind /srv/etc /etc
stty -F /dev/tty1 raw -echo
python3 {HERE}/{agent} {tree.modules()} </dev/tty1 >/dev/tty1 2>/srv/agent.log
sync; echo o >/proc/sysrq-trigger; sleep 5
"""


def write_folder(folder, files):
    os.mkdir(folder)
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(text)


class Guest:
    """`etc`: files of an /etc in place of the host's, by their names."""

    def __init__(self, build, agent="agent.py", etc=None):
        tree = packages.unpacked()
        self._preload = os.path.join(build, "tests", "oracle", "libwide_registers.so")
        if not os.path.exists(self._preload):
            raise GuestError(f"{self._preload} is not built")
        self._work = tempfile.mkdtemp(prefix="shunt-oracle-")
        self._process, self._jobs = None, 0
        try:
            self._boot(tree, agent, etc)
        except BaseException:
            self.close()
            raise

    def _boot(self, tree, agent, etc):
        if etc:
            write_folder(os.path.join(self._work, "etc"), etc)
        init = os.path.join(self._work, "init")
        with open(init, "w", encoding="ascii") as file:
            file.write(_init_script(tree, self._work, agent))
        os.chmod(init, 0o755)
        guest_in, self._to = os.pipe()
        self._from, guest_out = os.pipe()
        command = [
            tree.kernel, f"mem={MEMORY}", f"uml_dir={self._work}/uml", "rootfstype=hostfs",
            "rootflags=/", "ro", f"init={init}", "loglevel=3", "con=null", "con0=null,fd:1",
            f"con1=fd:{guest_in},fd:{guest_out}", "ssl=null",
        ]  # fmt: skip
        os.mkdir(os.path.join(self._work, "uml"))
        with open(os.path.join(self._work, "console"), "wb") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                pass_fds=(guest_in, guest_out), start_new_session=True,
                env={**os.environ, "LD_PRELOAD": self._preload},
            )  # fmt: skip
        os.close(guest_in)
        os.close(guest_out)
        self.kernel, self.ipvsadm = self._line(BOOT_PATIENCE).split("|", 1)

    def ask(self, scenarios, patience=600):
        """What the real IPVS makes of each scenario: a list of answers, as agent.py writes them."""
        self._jobs += 1
        name = f"job-{self._jobs}"
        path = os.path.join(self._work, name)
        with open(path, "w", encoding="ascii") as file:
            json.dump(scenarios, file)
        os.write(self._to, (name + "\n").encode())
        if self._line(patience) != name:
            raise GuestError("the agent answered another job" + self._said())
        with open(path + ".answer", encoding="ascii") as file:
            answers = json.load(file)
        os.remove(path)
        os.remove(path + ".answer")
        return answers

    def _line(self, patience):
        text = b""
        while not text.endswith(b"\n"):
            if not select.select([self._from], [], [], patience)[0]:
                raise GuestError(f"the guest said nothing for {patience} s" + self._said())
            byte = os.read(self._from, 1)
            if not byte:
                raise GuestError("the guest ended" + self._said())
            text += byte
        return text.decode().strip()

    def _said(self):
        out = ""
        for name in "agent.log", "console":
            path = os.path.join(self._work, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    out += f"\n---- {name}:\n" + file.read()[-3000:]
        return out

    def close(self):
        if self._process:
            os.close(self._to)
            os.close(self._from)
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()
            self._process = None
        shutil.rmtree(self._work, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
