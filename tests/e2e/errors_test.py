#!/usr/bin/env python3
"""Wrong use of shuntd: one sentence that names the thing and the remedy, and the right status; and
a daemon that runs already is not disturbed by another that is refused."""

import os
import subprocess
import sys

import appliance
import client
import lab
import tap
from appliance import SHUNTD, Appliance
from lab import Lab
from tap import expect

NO_PORT = "port = p0 net_null0\ntwin = p0 nulltwin\n"
NO_HUGE = "eal = --no-pci --no-huge --no-shconf -m 256 --no-telemetry --iova-mode=va"


class Wrong:
    """Runs shuntd in a namespace with a configuration that is refused."""

    def __init__(self, here, namespace):
        self.lab, self.namespace, self.count = here, namespace, 0

    def run(self, conf, *arguments, user=()):
        self.count += 1
        path = os.path.join(self.lab.directory, f"wrong{self.count}.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(conf)
        os.chmod(self.lab.directory, 0o755)
        done = subprocess.run(
            ["ip", "netns", "exec", self.lab.netns(self.namespace), *user, SHUNTD, "--conf", path, *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        return path, done.returncode, done.stdout + done.stderr

    def refused(self, status, words, conf, *arguments, user=()):
        """The last line is shuntd's sentence: it has all the words."""
        path, got, said = self.run(conf, *arguments, user=user)
        lines = [line for line in said.splitlines() if line.startswith("shuntd: ")]
        expect(len(lines) == 1, f"not one sentence but {len(lines)}, status {got}:\n{said[-1500:]}")
        print(f"# {lines[0]}")
        expect(got == status, f"status {got}, not {status}: {lines[0]}")
        for word in words:
            word = word.replace("CONF", path)
            expect(word in lines[0], f"'{word}' is not in: {lines[0]}")


def configuration(cases, wrong, socket):
    refused = wrong.refused
    with cases.case("an unknown key names file and line"):
        refused(2, ["CONF:2: ", "'colour'"], "workers = 1\ncolour = blue\n")
    with cases.case("an unknown option names the remedy"):
        refused(2, ["--colour", "shuntd --help"], NO_PORT, "--colour=blue")
    with cases.case("a value that is no number"):
        refused(2, ["CONF:1: ", "workers = many"], "workers = many\n")
    with cases.case("a configuration file that is not there"):
        refused(2, ["/nowhere/shunt.conf", "No such file"], "", "--conf=/nowhere/shunt.conf")
    with cases.case("more workers than DPDK has threads for"):
        refused(2, ["CONF:1: ", "128", "127", "RTE_MAX_LCORE"], "workers = 128\n" + NO_PORT)
        refused(2, ["CONF:1: ", "127", "RTE_MAX_LCORE"], "workers = 128\n" + NO_PORT, "--check")
    with cases.case("more ports than DPDK has devices for, with their twins"):
        ports = "".join(f"port = p{n} net_null{n}\n" for n in range(17))
        refused(2, ["17 ports", "34 devices", "32", "RTE_MAX_ETHPORTS"], ports)
        refused(2, ["17 ports", "34 devices", "32", "RTE_MAX_ETHPORTS"], ports, "--check")
    with cases.case("no port"):
        refused(2, ["no port", "port = "], f"socket = {socket}\n")
    with cases.case("a rules file with a wrong line names the line and changes nothing"):
        rules = os.path.join(wrong.lab.directory, "wrong.rules")
        with open(rules, "w", encoding="utf-8") as file:
            file.write("-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.0.1:80 -s nonesuch\n")
        refused(2, [f"{rules}:2"], NO_PORT, f"--rules={rules}")
    with cases.case("--check refuses what a start would refuse"):
        refused(1, ["nosuch0", "ip link"], "port = p0 nosuch0\n", "--check")


def resources(cases, wrong, socket):
    refused, quiet = wrong.refused, f"socket = {socket}.other\nworkers = 1\n"
    with cases.case("an interface that is not there"):
        refused(1, ["nosuch0", "ip link"], f"{NO_HUGE}\n{quiet}port = p0 nosuch0\n")
    with cases.case("an interface with an address names the command that removes it"):
        wrong.lab.ip(wrong.namespace, "link add used0 type veth peer name used1")
        wrong.lab.address(wrong.namespace, "used0", "192.0.2.9/24")
        refused(1, ["used0", "ip addr flush dev used0"], f"{NO_HUGE}\n{quiet}port = p0 used0\n")
    with cases.case("a port that does not come up"):
        refused(1, ["p0", "net_nosuch0"], f"{NO_HUGE}\n{quiet}port = p0 net_nosuch0\n")
    with cases.case("a PCI device that is not there"):
        refused(1, ["0000:ff:1f.7"], f"{NO_HUGE}\n{quiet}port = p0 0000:ff:1f.7\n")
    with cases.case("a socket that something else is at"):
        refused(1, ["/dev/null", "no socket"], f"{NO_HUGE}\n{NO_PORT}socket = /dev/null\n")
    if appliance.free_huge_pages() == 0:
        with cases.case("no hugepages: the command that reserves them, and how to do without"):
            refused(1, ["hugepages", "vm.nr_hugepages=", "--no-huge"], f"{quiet}{NO_PORT}")
    with cases.case("without privilege"):
        refused(
            1, ["CAP_NET_ADMIN"], f"{NO_HUGE}\n{quiet}port = p0 spare0\n",
            user=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
        )  # fmt: skip


def second_daemon(cases, wrong, shuntd):
    network = shuntd.network
    with cases.case("a second shuntd at the same socket is refused, and the first goes on"):
        with open(shuntd.path("shunt.conf"), encoding="utf-8") as file:
            conf = file.read()
        wrong.refused(1, [shuntd.socket, "another daemon", "--socket"], conf)
        replies = client.get(network, network.vip, 443, range(20000, 20006))
        expect(all(reply.status == 200 for reply in replies), f"{replies}")
    with cases.case("a second shuntd on the same interfaces is refused, and the first goes on"):
        wrong.refused(1, ["eth", "another"], conf, f"--socket={shuntd.socket}.other")
        replies = client.get(network, network.vip, 443, range(20006, 20012))
        expect(all(reply.status == 200 for reply in replies), f"{replies}")


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    with Lab("wrong") as here:
        network = lab.two_networks(here)
        appliance.start_servers(network)
        rules = f"-A -t {network.vip}:443 -s rr\n"
        rules += "".join(f"-a -t {network.vip}:443 -r {a}:8443 -m\n" for a in network.servers.values())
        shuntd = Appliance(network, rules=rules)
        shuntd.start()
        here.ip("client", "link add spare0 type veth peer name spare1")
        wrong = Wrong(here, "client")
        configuration(cases, wrong, shuntd.socket)
        resources(cases, wrong, shuntd.socket)
        second_daemon(cases, Wrong(here, "director"), shuntd)
        shuntd.stop()
    return cases.done()


sys.exit(main())
