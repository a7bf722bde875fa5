#!/usr/bin/env python3
"""Debian's ipvsadm, unmodified, against a running shuntd (shunt-exec): every recorded session, the
files of /proc, and what a program does whose daemon goes away."""

import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

import appliance
import tap
from appliance import SHUNTD
from tap import expect
from transcripts import APART, LEFT_OUT, Operator, replay_all

SHUNT_EXEC = os.path.join(appliance.BUILD, "app/shunt-exec/shunt-exec")
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
IPVSADM = f'#!/bin/sh\nPATH={SYSTEM_PATH} exec {SHUNT_EXEC} --socket {{folder}}/ipvs.sock ipvsadm "$@"\n'
# Debian's prints its own texts for -h and -v.
OWN_TEXTS = {"001-version-help"}
MOST_CLIENTS = 256


class Programs:
    """Programs that shunt-exec starts beside an operator's shuntd."""

    def __init__(self, operator, method="auto"):
        self.operator, self.socket, self.method = operator, operator.path("ipvs.sock"), method

    def command(self, *words, wait=5):
        return [SHUNT_EXEC, "--socket", self.socket, "--method", self.method, "--wait", str(wait), *words]

    def run(self, *words, wait=5, text=None):
        done = subprocess.run(self.command(*words, wait=wait), capture_output=True, text=True, input=text,
                              env={**os.environ, "PATH": SYSTEM_PATH}, timeout=60)  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def good(self, *words):
        status, out, err = self.run(*words)
        expect(status == 0 and not err, f"{' '.join(words)}: {status} {err}")
        return out


def files(cases, operator, programs):
    operator.empty()
    operator.good("-R", text="-A -t 10.0.0.1:80 -s wlc -p 60\n-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 3\n-A -f 9 -s rr\n"
                  "-A -t [2001:db8::1]:80 -s mh\n-a -t [2001:db8::1]:80 -r [2001:db8:1::1]:80 -i\n")  # fmt: skip
    with cases.case("/proc/net/ip_vs is Linux's"):
        # Recorded from Linux 6.1.176; the order of services there is a hash's.
        expected = [
            "TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050 mh ",
            "  -> [2001:0db8:0001:0000:0000:0000:0000:0001]:0050      Tunnel  1      0          0         ",
            "TCP  0A000001:0050 wlc  persistent 6000 FFFFFFFF",
            "  -> 0A010001:1F90      Masq    3      0          0         ",
            "FWM  00000009 rr ",
        ]
        lines = programs.good("cat", "/proc/net/ip_vs").splitlines()
        expect(lines[0] == "IP Virtual Server version 1.2.1 (size=4096)", lines[0])
        expect(sorted(lines[3:]) == sorted(expected), f"{lines}")
    with cases.case("sysctls are read and written as files"):
        name = "/proc/sys/net/ipv4/vs/conn_reuse_mode"
        expect(programs.good("cat", name) == "1\n", "not 1")
        programs.good("sh", "-c", f"echo 0 >{name}")
        expect(programs.good("cat", name) == "0\n", "not 0")
        programs.good("bash", "-c", f"echo 1 >{name}")
        expect(programs.good("cat", name) == "1\n", "not 1 again")
        expect(programs.good("cat", "/proc/sys/net/ipv4/vs/sync_threshold") == "3\t50\n", "sync_threshold")
        expect(programs.run("cat", "/proc/sys/net/ipv4/vs/no_such")[0] == 1, "there is a sysctl no_such")
    with cases.case("all else that a program reads and asks of netlink is the kernel's"):
        expect("lo:" in programs.good("ip", "link", "show", "lo"), "ip link")
        expect(programs.good("cat", "/proc/net/dev") != "", "/proc/net/dev")


def unprivileged(cases, programs):
    with cases.case("who may not use the socket hears what the kernel says to all but root"):
        status, _, err = programs.run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "ipvsadm", "-Ln")
        expect(status == 2 and "Permission denied (you must be root)" in err, f"{status} {err}")


def connect(programs):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(20)
    client.connect(programs.socket)
    return client


def unfriendly(cases, operator, programs):
    operator.good("-C")
    operator.good("-R", text="".join(f"-A -t 10.3.{n // 250}.{n % 250}:80 -s rr\n" for n in range(2000)))
    get_info = struct.pack("=IHHIIBBH", 20, 1023, 5, 1, 1, 15, 1, 0)
    dump = struct.pack("=IHHIIBBH", 20, 1023, 0x305, 1, 1, 4, 1, 0)

    def unharmed():
        expect(len(programs.good("ipvsadm", "-Ln").splitlines()) == 2003, "services have changed")

    with cases.case("one that asks for listings and reads none holds up nobody"):
        silent = [connect(programs) for _ in range(20)]
        for client in silent:
            client.setblocking(False)
            try:
                for _ in range(1000):
                    client.send(dump)
            except BlockingIOError:
                pass
        began = time.monotonic()
        unharmed()
        expect(time.monotonic() - began < 20, "others wait")
        for client in silent:
            client.close()
    with cases.case("half a frame, no frame and too long a frame"):
        for frame in (get_info[:10], b"", b"\0" * 3, b"\xff" * 200_000, get_info[:19]):
            with connect(programs) as client:
                try:
                    client.send(frame)
                except OSError:
                    pass
        unharmed()
    with cases.case("a thousand connections"):
        many = [connect(programs) for _ in range(1000)]
        unharmed()
        for client in many:
            client.close()
        unharmed()


def killed(cases, operator, programs):
    with cases.case("a daemon that is killed leaves no request without an answer"):
        loop = subprocess.Popen(programs.command("sh", "-c", "while ipvsadm -Ln; do :; done"),
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "PATH": SYSTEM_PATH})  # fmt: skip
        time.sleep(1)
        operator.process.kill()
        operator.process.wait()
        _, err = loop.communicate(timeout=30)
        expect(err.strip() != "", "it said nothing")
    with cases.case("without a daemon shunt-exec says what it waits for, and gives up"):
        status, _, err = programs.run("ipvsadm", "-Ln", wait=2)
        expect(status == 126 and "waiting for shuntd at" in err and "is shuntd running?" in err, f"{status} {err}")


def main():
    if not os.path.exists(SHUNTD) or not os.path.exists(SHUNT_EXEC):
        tap.skip_all("shuntd or shunt-exec is not built")
    if not shutil.which("ipvsadm", path=SYSTEM_PATH):
        tap.skip_all("ipvsadm is not installed (scripts/setup does it)")
    if subprocess.run([*APART, "true"], capture_output=True).returncode != 0:
        tap.skip_all("namespaces of mounts and networks cannot be made here")
    cases = tap.Cases()
    with tempfile.TemporaryDirectory(prefix="shunt-ipvsadm-") as folder:
        operator = Operator(folder, IPVSADM)
        programs = Programs(operator)
        try:
            replay_all(cases, operator, LEFT_OUT | OWN_TEXTS)
            files(cases, operator, programs)
            unprivileged(cases, programs)
            unfriendly(cases, operator, programs)
            killed(cases, operator, programs)
        finally:
            operator.process.kill()
            operator.process.wait()
    return cases.done()


if __name__ == "__main__":
    sys.exit(main())
