#!/usr/bin/env python3
"""Real FTP (curl and pyftpdlib) through NAT: active and passive mode, the old commands and those of RFC
2428, both families, downloads and uploads, on one worker and on two."""

import hashlib
import os
import subprocess
import sys

import appliance
import lab
import tap
from appliance import Appliance
from lab import Lab
from tap import expect

TWO_WORKERS = "workers = 2\nsessions = 65536\n"
FILE_BYTES = 400_000
# curl's words for what it asks the server for, and whether IPv6 has it.
MODES = {
    "EPSV": ([], True),
    "PASV": (["--disable-epsv"], False),
    "EPRT": (["--ftp-port", "-"], True),
    "PORT": (["--ftp-port", "-", "--disable-eprt"], False),
}
SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ftp_server.py")
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's modules


def rules(network):
    lines = []
    for vip, servers in ((network.vip, network.servers), (f"[{network.vip6}]", network.servers6)):
        lines.append(f"-A -t {vip}:21 -s rr")
        for address in servers.values():
            brackets = f"[{address}]" if ":" in address else address
            lines.append(f"-a -t {vip}:21 -r {brackets}:21 -m")
    return "\n".join(lines) + "\n"


def start_server(network, name, data):
    """A server with a file that says whose it is, one to download and room for uploads."""
    root = os.path.join(network.lab.directory, name)
    os.makedirs(root)
    for file, content in (("who", name.encode()), ("file", data)):
        with open(os.path.join(root, file), "wb") as out:
            out.write(content)
    addresses = network.servers[name], network.servers6[name]
    process = network.lab.start(name, PYTHON, SERVER, root, *addresses)
    lab.wait_until(
        lambda: "ready" in network.lab.log_of(process),
        f"the server on {name} did not start ({network.lab.log_of(process)[-300:]})",
    )
    return root


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Transfers:
    def __init__(self, network, data):
        self.network, self.here = network, network.lab.directory
        self.uploads = {name: start_server(network, name, data) for name in network.servers}
        self.source = os.path.join(self.here, "source")
        with open(self.source, "wb") as file:
            file.write(data)
        self.number = 0

    def transfer(self, vip, options):
        """One control connection with two downloads, another with an upload; their servers."""
        self.number += 1
        url = f"ftp://[{vip}]" if ":" in vip else f"ftp://{vip}"
        who, file = (os.path.join(self.here, f"{part}{self.number}") for part in ("who", "file"))
        curl = ["curl", "-sS", "--max-time", "20", *options]
        self.network.lab.run("client", *curl, "-o", who, f"{url}/who", "-o", file, f"{url}/file")
        expect(digest(file) == digest(self.source), f"{os.path.getsize(file)} bytes came, and others")
        name = f"up{self.number}"
        self.network.lab.run("client", *curl, "-T", self.source, f"{url}/{name}")
        there = [s for s, path in self.uploads.items() if os.path.exists(f"{path}/{name}")]
        expect(len(there) == 1, f"{name} is at {there}")
        expect(digest(f"{self.uploads[there[0]]}/{name}") == digest(self.source), "the upload differs")
        with open(who, encoding="ascii") as answer:
            return {answer.read(), there[0]}


def part(cases, how, two_workers, data):
    with Lab("ftp") as here:
        network = lab.two_networks(here)
        transfers = Transfers(network, data)
        shuntd = Appliance(
            network, rules=rules(network), console=True, conf=TWO_WORKERS if two_workers else "",
            device=appliance.DEVICE + (",qpairs=2" if two_workers else ""),
        )  # fmt: skip
        shuntd.start()
        failed = cases.failed
        for mode, (options, in_six) in MODES.items():
            for vip in (network.vip, network.vip6) if in_six else (network.vip,):
                family = "IPv6" if ":" in vip else "IPv4"
                with cases.case(f"{how}, {family}, {mode}: files come and go whole, by every server"):
                    used = set()
                    for _ in range(3):
                        used |= transfers.transfer(vip, options)
                    expect(used == set(network.servers), f"{used}")
        with cases.case(f"{how}: nothing was dropped"):
            stats = shuntd.port_stats()
            expect(not stats.dropped, f"{stats.dropped}")
        if cases.failed > failed:
            print("#", "\n# ".join(shuntd.say("show port stats all").splitlines()))
            print("#", "\n# ".join(shuntd.adm("-L", "-n", "-c").splitlines()))
            print("# shuntd said:", *shuntd.log().splitlines()[:20], sep="\n# ")
        shuntd.stop()


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    if subprocess.run([PYTHON, "-c", "import pyftpdlib"], capture_output=True, check=False).returncode:
        tap.skip_all("python3-pyftpdlib is not installed")
    cases = tap.Cases()
    data = os.urandom(FILE_BYTES)
    part(cases, "one worker", False, data)
    part(cases, "two workers", True, data)
    return cases.done()


sys.exit(main())
