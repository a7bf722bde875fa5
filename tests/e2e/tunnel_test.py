#!/usr/bin/env python3
"""Real TCP through tunnels to a far end that decapsulates (decapsulate.py), in both families and
across them: bytes go up through the tunnel and must arrive as they were sent.

tunnel_test.py [MEGABYTES]    of each upload: 2; acceptance runs 1024
"""

import json
import os
import sys

import appliance
import lab
import tap
from appliance import Appliance
from lab import Lab
from tap import expect

HERE = os.path.dirname(os.path.abspath(__file__))
FAR_END, UPLOAD = os.path.join(HERE, "decapsulate.py"), os.path.join(HERE, "upload.py")
GUE = "--tun-type gue --tun-port 6080"
KINDS = [  # name, options, service of IPv6, far end of IPv6, what the far end counts it as
    ("ipip", "", False, False, "ipip v4"),
    ("gre", "--tun-type gre", False, False, "gre v4"),
    ("gre with a checksum", "--tun-type gre --tun-csum", False, False, "gre v4"),
    ("gue", GUE, False, False, "gue v4"),
    ("gue with a checksum", GUE + " --tun-csum", False, False, "gue v4"),
    ("ipip of IPv6", "", True, True, "ipip v6"),
    ("gue of IPv6", GUE, True, True, "gue v6"),
    ("IPv4 in IPv6", "", False, True, "ipip v6"),
    ("IPv6 in IPv4, gre", "--tun-type gre", True, False, "gre v4"),
]


def start_far_end(network):
    far = network.lab.start("s1", sys.executable, FAR_END, "6080", "inside")
    lab.wait_until(lambda: "ready" in network.lab.log_of(far), "the far end did not come up")
    network.lab.ip("s1", "link set inside up")
    for address in network.vip, network.vip6:
        server = network.lab.start("s1", sys.executable, UPLOAD, "serve", address, "80")
        lab.wait_until(lambda p=server: "ready" in network.lab.log_of(p), "a server did not come up")
    return far


def upload(cases, network, shuntd, kind, megabytes):
    name, options, six, six_behind, _ = kind
    vip = network.vip6 if six else network.vip
    service = f"[{vip}]:80" if six else f"{vip}:80"
    server = network.servers6["s1"] if six_behind else network.servers["s1"]
    server = f"[{server}]:80" if six_behind else f"{server}:80"
    with cases.case(f"{name}: {megabytes} MB arrive as they were sent"):
        shuntd.adm("-A", "-t", service, "-s", "rr")
        shuntd.adm("-a", "-t", service, "-r", server, "-i", *options.split())
        text = network.lab.run(
            "client", sys.executable, UPLOAD, "send", vip, "80", str(megabytes << 20),
            timeout=120 + megabytes,
        )  # fmt: skip
        print(f"# {name}: {text.strip()}")
        expect(json.loads(text)["same"], text)
        rows = shuntd.adm("-L", "-n", "-c")
        expect(server in rows, f"no connection to {server} is listed: {rows}")
        # The client learns from the virtual address what fits, packets of 1500 bytes do not.
        expect(shuntd.port_stats().generated > 0, "no packet was too big for the tunnel")
        shuntd.adm("-D", "-t", service)


def main():
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    with Lab("tunnel") as here:
        network = lab.one_network(here)
        network.vip_on_loopback()
        far = start_far_end(network)
        shuntd = Appliance(network, console=True)
        shuntd.start()
        for kind in KINDS:
            # What a client knows of the path's MTU it is to learn anew.
            for family in "-4", "-6":
                network.lab.ip("client", f"{family} route flush cache")
            upload(cases, network, shuntd, kind, megabytes)
        with cases.case("the far end got every kind, and nothing that the RFCs do not know"):
            here.end(far)
            told = json.loads(here.log_of(far).splitlines()[-1])
            print(f"# {told}")
            expect(told["bad"] == 0, told["why"])
            expect(set(told["packets"]) == {kind[4] for kind in KINDS}, f"{told['packets']}")
        if cases.failed:
            print("#", "\n# ".join(shuntd.say("show port stats all").splitlines()))
            print("# shuntd said:", *shuntd.log().splitlines()[:20], sep="\n# ")
        shuntd.stop()
    return cases.done()


sys.exit(main())
