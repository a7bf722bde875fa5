#!/usr/bin/env python3
"""Two appliances share a virtual address by VRRP: when the master goes, address and traffic move.

    client 10.3.0.2 --+-- lan --+-- [director:  shuntd, keepalived, priority 200] twin lan0 10.3.0.1
                      |         +-- [director2: shuntd, keepalived, priority 100] twin lan0 10.3.0.3
      s1, s2, s3 -----+
      10.3.0.11-13, direct routing             VIPs 10.3.0.100, 2001:db8:3::100

keepalived (Debian's, unmodified) speaks VRRP version 3 over the twins, once with the twin's own MAC
address and once with use_vmac, where the virtual address is one of a macvlan with VRRP's virtual
MAC address.
"""

import dataclasses
import errno
import os
import re
import socket
import sys
import time

import appliance
import client
import lab
import tap
from appliance import Appliance
from keepalived import Keepalived, why_no_keepalived
from lab import Lab
from tap import expect

PORT = 8443
VMAC4, VMAC6 = "00:00:5e:00:01:33", "00:00:5e:00:02:33"
# Adverts every 0.3 s; a backup waits for three of them.
MOVED = 6
NEXT_PORT = iter(range(20000, 30000, 4))


def instance(name, priority, address, more):
    return f"""vrrp_instance {name} {{
    state BACKUP
    interface lan0
    virtual_router_id 51
    priority {priority}
    advert_int 0.3
    {more}
    virtual_ipaddress {{
        {address}
    }}
}}
"""


def configuration(network, priority, use_vmac):
    vmac = "use_vmac {}\n    vmac_xmit_base" if use_vmac else ""
    text = "global_defs {\n    vrrp_version 3\n    vrrp_garp_master_delay 1\n}\n"
    text += instance("v4", priority, f"{network.vip}/32", vmac.format("vrrp4"))
    text += instance("v6", priority, f"fe80::100/64\n        {network.vip6}/128", vmac.format("vrrp6"))
    for vip, servers in ((network.vip, network.servers), (network.vip6, network.servers6)):
        text += f"virtual_server {vip} {PORT} {{\n    delay_loop 1\n    lvs_sched mh\n    lvs_method DR\n    protocol TCP\n"
        for address in servers.values():
            text += f"    real_server {address} {PORT} {{\n        TCP_CHECK {{\n            connect_timeout 1\n        }}\n    }}\n"
        text += "}\n"
    return text


class Side:
    """One of the two appliances, with its keepalived."""

    def __init__(self, network, priority):
        self.network, self.priority, self.was_killed = network, priority, False
        self.shuntd = Appliance(network, console=True)
        self.keepalived = Keepalived(self.shuntd)

    def start(self, use_vmac):
        self.keepalived.start(configuration(self.network, self.priority, use_vmac))

    def has(self, vip):
        return f" {vip}/" in self.network.lab.ip(self.network.director, "-o addr show")

    def is_master(self):
        return self.has(self.network.vip) and self.has(self.network.vip6)

    def has_servers(self):
        text = self.shuntd.adm("-L", "-n", check=False)
        return text.count("Route") == 6

    def balanced(self):
        """Packets that its services took."""
        text = self.shuntd.adm("-L", "-n", "--stats", "--exact")
        return sum(int(n) for n in re.findall(rf":{PORT} +\d+ +(\d+)", text))


def wait_for_master(new, old):
    """`old` may be without a shuntd to speak of: None."""
    lab.wait_until(lambda: new.is_master() and new.has_servers(), f"{new.network.director} is no master", 20)
    if old:
        lab.wait_until(lambda: not old.is_master(), f"{old.network.director} stays master, too", MOVED)


def seen_mac(network, vip):
    """The MAC address by which the client knows the VIP."""
    found = re.search(r"lladdr ([0-9a-f:]+)", network.lab.ip("client", f"neigh show {vip}"))
    return found[1] if found else ""


def requests_go_to(side):
    """New connections to both virtual addresses are answered, and this appliance balances them."""
    before = side.balanced()
    for vip in (side.network.vip, side.network.vip6):
        first = next(NEXT_PORT)
        replies = client.get(side.network, vip, PORT, range(first, first + 4))
        expect(all(reply.status == 200 for reply in replies), f"{vip}: {replies}")
    expect(side.balanced() >= before + 2 * 4 * 3, f"{side.network.director} balanced {side.balanced() - before} packets")


def follow(side, vip, within):
    """Connects until it is answered; the seconds that took."""
    began = time.monotonic()
    while time.monotonic() < began + within:
        with side.network.lab.inside("client"):
            family = socket.AF_INET6 if ":" in vip else socket.AF_INET
            with socket.socket(family) as attempt:
                attempt.settimeout(0.5)
                if attempt.connect_ex((vip, PORT)) == 0:
                    return time.monotonic() - began
        time.sleep(0.05)
    raise lab.Failure(f"no connection to {vip} is answered within {within} s")


def moves(cases, what, act, new, old):
    with cases.case(f"{what}: the virtual addresses move, and new connections go on"):
        act()
        gaps = {vip: follow(new, vip, MOVED) for vip in (new.network.vip, new.network.vip6)}
        wait_for_master(new, old)
        print(f"# answered again after {max(gaps.values()):.1f} s")
        requests_go_to(new)


def share(cases, first, second, use_vmac):
    words = "with use_vmac" if use_vmac else "with the twin's MAC"
    network = first.network
    with cases.case(f"{words}: the one of higher priority is master, and balances"):
        for side in (second, first):
            side.start(use_vmac)
        wait_for_master(first, second)
        requests_go_to(first)
        macs = seen_mac(network, network.vip), seen_mac(network, network.vip6)
        own = "02:00:00:00:03:01"
        expect(macs == ((VMAC4, VMAC6) if use_vmac else (own, own)), f"the client knows {macs}")
    moves(cases, f"{words}: the master's keepalived is stopped", first.keepalived.stop, second, first)
    moves(cases, f"{words}: it is started again", lambda: first.start(use_vmac), first, second)
    if use_vmac:
        with cases.case("the client never heard of another MAC address than the virtual one"):
            macs = seen_mac(network, network.vip), seen_mac(network, network.vip6)
            expect(macs == (VMAC4, VMAC6), f"the client knows {macs}")
        with cases.case("what is not balanced is answered by Linux through the macvlan"):
            for vip in (network.vip, network.vip6):
                with network.lab.inside("client"):
                    family = socket.AF_INET6 if ":" in vip else socket.AF_INET
                    with socket.socket(family) as other:
                        other.settimeout(5)
                        answer = other.connect_ex((vip, PORT + 1))
                expect(answer == errno.ECONNREFUSED, f"{vip}: {os.strerror(answer)}")
        with cases.case("no frame to a virtual MAC address was dropped as foreign"):
            for side in (first, second):
                dropped = side.shuntd.port_stats().dropped
                expect(dropped.get("foreign_mac", 0) == 0, f"{side.network.director}: {dropped}")


def crash(cases, first, second):
    def kill():
        first.was_killed = True
        first.shuntd.process.kill()
        first.shuntd.process.wait()

    rules = first.shuntd.adm("-S", "-n")
    moves(cases, "the master's shuntd is killed", kill, second, None)
    # keepalived has lived on, and its macvlans are there when shuntd starts.
    first.shuntd.write("services.rules", rules)
    moves(cases, "it is started again", first.shuntd.start, first, second)


def fill(cases, side):
    """Macvlans beyond those that a port has room for."""
    director, room = side.network.director, 64
    with cases.case(f"of more than {room} macvlans the first ones count, and the log tells of the others"):
        lines = "".join(
            f"link add m{i} link lan0 address 02:00:00:01:00:{i:02x} type macvlan\nlink set m{i} up\n"
            for i in range(room + 2)
        )
        side.network.lab.run(director, "ip", "-batch", "-", stdin=lines)
        lab.wait_until(lambda: "macs_full begins" in side.shuntd.log(), side.shuntd.log()[-500:])
        counted = side.shuntd.say("show port stats all")
        expect(re.search(r"counted macs_full +2 ", counted), counted)
        side.network.lab.run(director, "ip", "-batch", "-", stdin="".join(f"link del m{i}\n" for i in range(2, room + 2)))
        # Those that had no room have it when others go.
        lab.wait_until(lambda: len(takes(side)) == 2, f"{takes(side)}")
        side.network.lab.run(director, "ip", "-batch", "-", stdin="link del m0\nlink del m1\n")
        lab.wait_until(lambda: not takes(side), f"{takes(side)}")


def takes(side):
    """The MAC addresses that the port takes frames to, as the log tells."""
    has = set()
    for line in side.network.lab.log_of(side.shuntd.process).splitlines():
        if found := re.search(r"takes (no )?frames to (\S+?),? ", line):
            (has.discard if found[1] else has.add)(found[2])
    return has


def end(cases, sides, use_vmac):
    with cases.case("stopped, keepalived takes its services and its macvlans with it"):
        for side in sides:
            status = side.keepalived.stop()
            expect(status == 0, f"status {status}: {side.keepalived.log()[-1000:]}")
            links = side.network.lab.ip(side.network.director, "-o link show")
            expect("vrrp4" not in links, links)
            # In the gap of a shuntd that was killed keepalived may have failed to tell it something.
            expect(side.was_killed or not side.keepalived.errors(), "\n".join(side.keepalived.errors()[:5]))
            if use_vmac:
                for mac in (VMAC4, VMAC6):
                    expect(f"takes no frames to {mac}" in side.shuntd.log(), side.shuntd.log())


def two_directors(made):
    network = lab.one_network(made)
    network.vip_on_loopback()
    made.add("director2")
    made.plug("director2", "eth0", "lan")
    for name, mac in (("director", "02:00:00:00:03:01"), ("director2", "02:00:00:00:03:03")):
        made.ip(name, f"link set eth0 address {mac}")
    ports = [
        [lab.Port("eth0", "lan0", [f"10.3.0.{number}/24", f"2001:db8:3::{number}/64"])] for number in (1, 3)
    ]
    return [
        dataclasses.replace(network, ports=ports[0]),
        dataclasses.replace(network, ports=ports[1], director="director2"),
    ]


def why_no_macvlan(made):
    made.add("probe")
    made.ip("probe", "link add p0 type veth peer name p1")
    try:
        made.ip("probe", "link add p2 link p0 type macvlan")
    except lab.Failure as failure:
        return str(failure)
    return None


def main():
    if reason := lab.why_impossible() or appliance.why_not_built() or why_no_keepalived():
        tap.skip_all(reason)
    cases = tap.Cases()
    with Lab("vrrp") as made:
        networks = two_directors(made)
        first, second = sides = [Side(network, priority) for network, priority in zip(networks, (200, 100))]
        for side in sides:
            side.shuntd.start()
        appliance.start_servers(networks[0], ports=(PORT,), listen_on_vip=(PORT,))
        no_macvlan = why_no_macvlan(made)
        try:
            for use_vmac in (False, True):
                if use_vmac and no_macvlan:
                    cases.skip("with use_vmac", f"this kernel makes no macvlan ({no_macvlan})")
                    break
                share(cases, first, second, use_vmac)
                if not use_vmac:
                    end(cases, sides, use_vmac)
            crash(cases, first, second)
            end(cases, sides, not no_macvlan)
            if not no_macvlan:
                fill(cases, second)
        finally:
            for side in sides:
                log = side.keepalived.log() if side.keepalived.process else ""
                print("\n".join(f"# {side.network.director}: {line}" for line in log.splitlines()[-5:]))
    return cases.done()


if __name__ == "__main__":
    sys.exit(main())
