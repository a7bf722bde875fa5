#!/usr/bin/env python3
"""An unmodified ldirectord drives the appliance by calling ipvsadm: add, fail, recover, fallback.

    client 10.1.0.2 -- front [director: shuntd, ldirectord] back --+-- s1 10.2.0.11   NAT, port 8443
                                                                   +-- s2 10.2.0.12
                                                                   +-- s3 10.2.0.13   the fallback
"""

import os
import shutil
import sys

import appliance
import client
import lab
import tap
from appliance import Appliance
from keepalived import SHUNT_EXEC
from keepalived_checks_test import PORT, serve, usable
from lab import Lab
from tap import expect

NOTICED = 10


def configuration(network):
    s1, s2, s3 = network.servers.values()
    return f"""checktimeout=1
negotiatetimeout=1
checkinterval=1
checkcount=1
autoreload=no
quiescent=no
logfile="/dev/null"
supervised=yes
virtual={network.vip}:{PORT}
\treal={s1}:{PORT} masq
\treal={s2}:{PORT} masq
\tfallback={s3}:{PORT} masq
\tservice=http
\tscheduler=rr
\tprotocol=tcp
\tchecktype=connect
\tcheckport={PORT}
"""


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    if not shutil.which("ldirectord"):
        tap.skip_all("ldirectord is not installed (scripts/setup does it)")
    cases = tap.Cases()
    with Lab("ldirectord") as made:
        network = lab.two_networks(made)
        s1, s2, s3 = network.servers.values()
        shuntd = Appliance(network)
        shuntd.start()
        servers = {name: serve(network, name) for name in network.servers}
        conf = shuntd.write("ldirectord.cf", configuration(network))
        ldirectord = made.start("director", SHUNT_EXEC, "--socket", os.path.join(os.path.dirname(shuntd.socket), "ipvs.sock"),
                                shutil.which("ldirectord"), "-d", conf, "start")  # fmt: skip

        def becomes(wanted):
            lab.wait_until(lambda: usable(shuntd) == wanted, f"the servers are {usable(shuntd)}, not {wanted}; "
                           f"ldirectord: {made.log_of(ldirectord)[-800:]}", NOTICED)  # fmt: skip

        with cases.case("ldirectord makes the service and adds the servers that answer"):
            becomes({s1, s2})
            replies = client.get(network, network.vip, PORT, range(20000, 20004))
            expect({r.server for r in replies} == {"s1", "s2"}, f"{replies}")
        with cases.case("a server that fails is removed"):
            made.end(servers["s1"])
            becomes({s2})
        with cases.case("without any server the fallback serves"):
            made.end(servers["s2"])
            becomes({s3})
            replies = client.get(network, network.vip, PORT, range(20010, 20014))
            expect({r.server for r in replies} == {"s3"}, f"{replies}")
        with cases.case("servers that answer again are back, and the fallback goes"):
            for name in ("s1", "s2"):
                servers[name] = serve(network, name)
            becomes({s1, s2})
        with cases.case("and it ends as it is told"):
            made.end(ldirectord, within=10)
            expect(shuntd.alive(), shuntd.log())
    return cases.done()


if __name__ == "__main__":
    sys.exit(main())
