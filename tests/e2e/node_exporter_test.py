#!/usr/bin/env python3
"""Debian's node_exporter (a Go program, unmodified) sees the appliance as the kernel's IPVS: through
shunt-exec beside all its other metrics, and another one by the files that shuntd keeps.

    client 10.1.0.2 -- front [director: shuntd, node_exporter] back --+-- s1 10.2.0.11   NAT, port 8443
                                                                      +-- s2 10.2.0.12
                                                                      +-- s3 10.2.0.13
"""

import json
import os
import re
import shutil
import sys

import appliance
import client
import lab
import tap
from appliance import Appliance
from keepalived import SHUNT_EXEC
from lab import Lab
from tap import expect

PORT, NOTICED = 8443, 5
EXPORTER = "prometheus-node-exporter"
TOTALS = ("connections", "incoming_packets", "outgoing_packets", "incoming_bytes", "outgoing_bytes")
OURS = ("connections", "in_packets", "out_packets", "in_bytes", "out_bytes")
NAMES = {f"node_ipvs_{name}_total" for name in TOTALS} | {
    f"node_ipvs_backend_{name}" for name in ("connections_active", "connections_inactive", "weight")
}


class Exporter:
    """One that listens on the director's loopback."""

    def __init__(self, made, port, *words):
        self.made, self.port = made, port
        self.process = made.start("director", *words, f"--web.listen-address=127.0.0.1:{port}")
        lab.wait_until(lambda: self.metrics(False), f"{EXPORTER} does not answer: {made.log_of(self.process)[-500:]}")

    def metrics(self, check=True):
        """{name with labels: value}"""
        text = self.made.run("director", "curl", "-sS", f"http://127.0.0.1:{self.port}/metrics", check=check)
        found = re.findall(r"^([a-z][^ {]*(?:\{.*\})?) (\S+)$", text, re.M)
        return {name: float(value) for name, value in found}

    def ipvs(self):
        return {name: value for name, value in self.metrics().items() if name.startswith("node_ipvs_")}


def names(metrics):
    return {name.split("{")[0] for name in metrics}


def expected(shuntd, vip):
    """What the exporter has to show, from the daemon's own counters."""
    listing = json.loads(shuntd.adm("-L", "--json"))
    metrics = {f"node_ipvs_{theirs}_total": float(sum(s[ours] for s in listing["services"])) for theirs, ours in zip(TOTALS, OURS)}
    for server in listing["servers"]:
        labels = (f'{{local_address="{vip}",local_mark="",local_port="{PORT}",proto="TCP",'
                  f'remote_address="{server["address"]}",remote_port="{server["port"]}"}}')  # fmt: skip
        for theirs, ours in (("connections_active", "active"), ("connections_inactive", "inactive"), ("weight", "weight")):
            metrics[f"node_ipvs_backend_{theirs}{labels}"] = float(server[ours])
    return metrics


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    exporter = shutil.which(EXPORTER)
    if not exporter:
        tap.skip_all(f"{EXPORTER} is not installed (scripts/setup does it)")
    cases = tap.Cases()
    with Lab("exporter") as made:
        network = lab.two_networks(made)
        os.chmod(made.directory, 0o755)  # for a user of no name
        rules = f"-A -t {network.vip}:{PORT} -s rr\n" + "".join(
            f"-a -t {network.vip}:{PORT} -r {address}:{PORT} -m -w {weight}\n" for weight, address in enumerate(network.servers.values(), 1)
        )
        shuntd = Appliance(network, conf=f"proc-interval = 1\nipvs-socket = {made.directory}/run/programs.sock\n", rules=rules)
        shuntd.start()
        appliance.start_servers(network)
        through = Exporter(made, 9100, SHUNT_EXEC, "--socket", f"{made.directory}/run/programs.sock", exporter)
        bare = Exporter(made, 9101, exporter)
        by_files = Exporter(made, 9102, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", exporter,
                            "--collector.disable-defaults", "--collector.ipvs", f"--path.procfs={made.directory}/run/proc")  # fmt: skip
        replies = client.get(network, network.vip, PORT, range(20000, 20010))
        with cases.case("through shunt-exec it shows the eight metrics of IPVS beside all its others"):
            expect(all(r.status == 200 for r in replies), f"{replies}")
            more = names(through.metrics()) - names(bare.metrics())
            expect(more == NAMES, f"{more}")
            expect(names(through.metrics()) >= names(bare.metrics()), "metrics are missing")
        with cases.case("and they are the daemon's counters"):
            wanted = expected(shuntd, network.vip)
            expect(wanted["node_ipvs_connections_total"] == 10 and wanted["node_ipvs_incoming_bytes_total"] > 1000, f"{wanted}")
            expect(through.ipvs() == wanted, f"{through.ipvs()}\n{wanted}")
        with cases.case("so are those of another one, that reads the files beside the control socket"):
            lab.wait_until(lambda: by_files.ipvs() == wanted, f"{by_files.ipvs()}\n{wanted}", NOTICED)
            expect(names(m for m in by_files.metrics() if m.startswith("node_ipvs")) == NAMES, "not the eight")
        with cases.case("files are gone when shuntd has ended"):
            shuntd.stop()
            expect(not os.path.exists(f"{made.directory}/run/proc"), "they are there")
            expect(not os.path.exists(f"{made.directory}/run/programs.sock"), "the socket is there")
    return cases.done()


if __name__ == "__main__":
    sys.exit(main())
