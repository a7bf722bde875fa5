#!/usr/bin/env python3
"""Runs scripts of command lines (language.py) through one program, until its input ends:

    words_agent.py --modules FOLDER     the real ipvsadm, in the guest
    words_agent.py --shuntadm PROGRAM   shuntadm; its daemon is $SHUNT_SOCKET

A job is a file with a list of scripts; the answer is a list with, for each script, a list with
[exit status, standard output, standard error] of each step. Both call their program ipvsadm, and
both have an /etc with the hosts and services of language.py, which is where the jobs are.
"""

import fcntl
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys

import director

EMPTY = (["-C"], ["--set", "900", "120", "300"])
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
PATIENCE = 60  # seconds


class Program:
    def __init__(self, path):
        self._path = path

    def run(self, words, text=""):
        done = subprocess.run(
            ["ipvsadm", *words], executable=self._path, input=text.encode(), capture_output=True, timeout=PATIENCE
        )
        return [done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")]

    def play(self, script):
        answers, before = [], ""
        for step in script:
            # What ipvsadm saves has no thresholds; ours shall restore the same.
            text = without_thresholds(before) if step["input"] == "@" else step["input"]
            answers.append(self.run(step["words"], text))
            before = answers[-1][1]
        return answers


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))


def without_thresholds(rules):
    return re.sub(r"^(-a .*?)(?: -x \d+)?(?: -y \d+)?( --tun.*)?$", r"\1\2", rules, flags=re.M)


class Ipvsadm(Program):
    """In a network namespace a script, which has a table of its own."""

    def __init__(self, modules):
        import agent

        agent.load_modules(modules)
        super().__init__(shutil.which("ipvsadm"))

    def play(self, script):
        director.libc.unshare(director.CLONE_NEWNET)
        raise_loopback()  # without any address Linux takes none for a unicast one
        answers = super().play(script)
        if any("--start-daemon" in step["words"] for step in script):
            for name in "master", "backup":
                self.run(["--stop-daemon", name])
        return answers


class Shuntadm(Program):
    def play(self, script):
        for words in EMPTY:
            if self.run(words)[0] != 0:
                raise SystemExit(f"shuntadm {' '.join(words)}: {self.run(words)[2]}")
        return super().play(script)


def main():
    kind, place = sys.argv[1:3]
    program = Ipvsadm(place) if kind == "--modules" else Shuntadm(place)
    folder = os.environ.get("JOBS", "/srv")
    print(f"{os.uname().release}|{program.run(['-v'])[1].split()[1]}", flush=True)
    for line in sys.stdin:
        name = line.strip()
        with open(f"{folder}/{name}", encoding="utf-8") as file:
            scripts = json.load(file)
        answers = [program.play(script) for script in scripts]
        with open(f"{folder}/{name}.answer", "w", encoding="utf-8") as file:
            json.dump(answers, file)
        print(name, flush=True)


if __name__ == "__main__":
    main()
