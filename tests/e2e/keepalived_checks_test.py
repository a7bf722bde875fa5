#!/usr/bin/env python3
"""An unmodified keepalived drives the appliance: its health checks add, remove and quiesce servers.

    client 10.1.0.2 -- front [director: shuntd, keepalived] back --+-- s1 10.2.0.11   NAT, port 8443
                                                                   +-- s2 10.2.0.12
                                                                   +-- s3 10.2.0.13

keepalived (Debian's, started by shunt-exec) checks port 8443 of the servers over the director's
twin `back` and tells shuntd by netlink what Linux's IPVS would be told.

Servers that die at random, and a shuntd that does, are in keepalived_random_test.py.
"""

import re
import sys

import appliance
import client
import lab
import tap
from appliance import Appliance
from keepalived import Keepalived, why_no_keepalived
from lab import Lab
from tap import expect

PORT = 8443
# A check every second, one more try after a second: down within three seconds.
NOTICED = 6


def server_block(address, check, weight=1, more=""):
    return f"""    real_server {address} {PORT} {{
        weight {weight}
        {more}
{check}
    }}
"""


TCP_CHECK = """        TCP_CHECK {
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }"""
HTTP_GET = """        HTTP_GET {
            url {
                path /
                status_code 200
            }
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }"""


def configuration(network, weight=1, scheduler="rr"):
    s1, s2, s3 = network.servers.values()
    return f"""global_defs {{
    router_id shunt
    checker_log_all_failures
}}
virtual_server {network.vip} {PORT} {{
    delay_loop 1
    lb_algo {scheduler}
    lb_kind NAT
    protocol TCP
{server_block(s1, TCP_CHECK, weight)}{server_block(s2, HTTP_GET)}{server_block(s3, TCP_CHECK, 1, "inhibit_on_failure")}}}
virtual_server fwmark 9 {{
    delay_loop 1
    lb_algo wlc
    lb_kind TUN
    protocol TCP
    persistence_timeout 60
    real_server {s1} {{
        weight 1
        lvs_method TUN type gue port 6080
    }}
}}
"""


def table(shuntd):
    """Server address -> weight, of the service by address."""
    text = shuntd.adm("-L", "-n", "-t", f"{shuntd.network.vip}:{PORT}", check=False)
    return {m[1]: int(m[2]) for m in re.finditer(rf"-> ([0-9.]+):{PORT} +Masq +(\d+)", text)}


def usable(shuntd):
    return {address for address, weight in table(shuntd).items() if weight > 0}


def serve(network, name):
    """Starts a server and returns its process when it answers."""
    process = network.lab.start(name, appliance.SERVER, name, f"{network.servers[name]}:{PORT}")
    lab.wait_until(lambda: "ready" in network.lab.log_of(process), f"server {name} did not come up")
    return process


def follow(cases, network, shuntd, keepalived, servers):
    s1, s2, s3 = network.servers.values()
    every = {s1, s2, s3}
    with cases.case("keepalived finds IPVS and makes its services"):
        lab.wait_until(lambda: usable(shuntd) == every, f"the servers are {table(shuntd)}", 20)
        text = shuntd.adm("-L", "-n", "--tun-info")
        expect("FWM  9 wlc persistent 60" in text, text)
        expect(f"-> {s1}:0" in text and "gue" in text, text)
    with cases.case("requests reach every server"):
        replies = client.get(network, network.vip, PORT, range(20000, 20006))
        expect({r.server for r in replies} == {"s1", "s2", "s3"}, f"{replies}")
    with cases.case("a server that fails is removed, and one with inhibit_on_failure gets weight 0"):
        for name in ("s1", "s3"):
            network.lab.end(servers[name])
        lab.wait_until(lambda: usable(shuntd) == {s2}, f"the servers are {table(shuntd)}", NOTICED)
        expect(table(shuntd) == {s2: 1, s3: 0}, f"{table(shuntd)}")
        replies = client.get(network, network.vip, PORT, range(20010, 20016))
        expect({r.server for r in replies} == {"s2"}, f"{replies}")
    with cases.case("servers that answer again are back"):
        for name in ("s1", "s3"):
            servers[name] = serve(network, name)
        lab.wait_until(lambda: usable(shuntd) == every, f"the servers are {table(shuntd)}", NOTICED)
    with cases.case("SIGHUP changes only what changed"):
        before = shuntd.adm("-L", "-n", "--stats", "--exact")
        keepalived.reload(configuration(network, weight=7, scheduler="wrr"))
        lab.wait_until(lambda: table(shuntd).get(s1) == 7, f"the servers are {table(shuntd)}", NOTICED)
        after = shuntd.adm("-L", "-n", "--stats", "--exact")
        expect(f"TCP  {network.vip}:{PORT}" in after, after)
        # Counters go on: the service and its servers were edited, not made anew.
        counts = [re.findall(r"-> [0-9.]+:8443 +(\d+)", text) for text in (before, after)]
        expect(counts[0] == counts[1] and sum(map(int, counts[0])) > 0, f"{counts}")


def crash(cases, network, shuntd, keepalived, servers):
    every = set(network.servers.values())
    with cases.case("shuntd is killed and started again: keepalived's rules are there when it is ready"):
        lab.wait_until(lambda: usable(shuntd) == every, f"the servers are {table(shuntd)}", NOTICED)
        rules, errors = shuntd.adm("-S", "-n"), keepalived.errors()
        shuntd.process.kill()
        shuntd.process.wait()
        shuntd.start()
        expect(shuntd.adm("-S", "-n") == rules and usable(shuntd) == every, shuntd.adm("-S", "-n"))
        replies = client.get(network, network.vip, PORT, range(23000, 23006))
        expect({r.server for r in replies} == {"s1", "s2", "s3"}, f"{replies}")
        bad = keepalived.errors()[len(errors):]
        expect(not bad, "\n".join(bad[:5]))
    with cases.case("keepalived lives on, and goes on driving it"):
        network.lab.end(servers["s1"])
        lab.wait_until(lambda: usable(shuntd) == every - {network.servers["s1"]}, f"the servers are {table(shuntd)}", NOTICED)
        servers["s1"] = serve(network, "s1")
        lab.wait_until(lambda: usable(shuntd) == every, f"the servers are {table(shuntd)}", 2 * NOTICED)
        expect(keepalived.process.poll() is None, keepalived.log()[-1000:])


def quiet(cases, keepalived):
    with cases.case("keepalived's log has no error of IPVS"):
        bad = keepalived.errors()
        expect(not bad, "\n".join(bad[:5]))


def stop(cases, network, shuntd, keepalived):
    with cases.case("stopped, keepalived takes its services with it"):
        expect(network.lab.end(keepalived.process, within=10) == 0, keepalived.log()[-1000:])
        expect("->" not in "".join(shuntd.adm("-L", "-n").splitlines()[3:]), shuntd.adm("-L", "-n"))


def main():
    if reason := lab.why_impossible() or appliance.why_not_built() or why_no_keepalived():
        tap.skip_all(reason)
    cases = tap.Cases()
    with Lab("keepalived") as made:
        network = lab.two_networks(made)
        shuntd = Appliance(network, conf=f"journal = {made.directory}/state")
        shuntd.start()
        servers = {name: serve(network, name) for name in network.servers}
        keepalived = Keepalived(shuntd)
        keepalived.start(configuration(network), "-C")
        try:
            follow(cases, network, shuntd, keepalived, servers)
            quiet(cases, keepalived)
            crash(cases, network, shuntd, keepalived, servers)
            stop(cases, network, shuntd, keepalived)
        finally:
            print("\n".join(f"# keepalived: {line}" for line in keepalived.log().splitlines()[-5:]))
    return cases.done()


if __name__ == "__main__":
    sys.exit(main())
