#!/usr/bin/env python3
"""Records sessions with the real ipvsadm anew: record_ipvsadm.py OUTPUT FILE...

Takes the lines "$ COMMAND" of each file (of ipvsadm/, or a new one that has nothing else) and writes
a file of the same name to OUTPUT, with what the commands answered in between (ipvsadm/README.md has
the format). Needs root on a machine whose kernel has ip_vs, in a network namespace of its own.
"""

import os
import subprocess
import sys


def sh(command):
    return subprocess.run(command, shell=True, encoding="utf-8", capture_output=True, stdin=subprocess.DEVNULL)


def session(lines):
    """The lines of a file: its title, then commands and answers."""
    sh("ipvsadm -C; ipvsadm --set 900 120 300")
    out = []
    for line in lines:
        if line.startswith("#"):
            out.append(line)
        if not line.startswith("$ "):
            continue
        done = sh(line[2:])
        out.append(line)
        out += [f"1|{said}" for said in done.stdout.splitlines()]
        out += [f"2|{said}" for said in done.stderr.splitlines()]
        out.append(f"={done.returncode}")
    return out


def main():
    folder, *paths = sys.argv[1:]
    # A server's address must not be a broadcast address, which every address is to a host without any.
    sh("ip link set lo up; ip link add far type dummy; ip addr add 192.0.2.1/24 dev far; ip link set far up")
    for path in paths:
        with open(path, encoding="utf-8") as file:
            recorded = session(file.read().splitlines())
        with open(os.path.join(folder, os.path.basename(path)), "w", encoding="utf-8") as file:
            file.write("\n".join(recorded) + "\n")


if __name__ == "__main__":
    main()
