#!/usr/bin/env python3
"""The main job, shown: scripts/demo calls this after building (its usage is there).

Real TCP connections from a client to three HTTP servers through shuntd, in network namespaces:
  1. NAT, the director between two networks: who answers, and that it is whom shunt-replay foretold,
     also after the sessions were flushed and after a restart; a server is removed and comes back
  2. NAT with masquerade, everything on one network
  3. direct routing, the VIP on the servers' loopback with ARP silenced
Every reply is judged; one wrong reply makes the status 1.
"""

import argparse
import sys
import tempfile
import time

import appliance
import client
import lab
from appliance import Appliance
from client import by_server
from lab import Failure, Lab

CONNECTIONS = 120  # of each part
FIRST_PORT = 20000  # of the client; below the kernel's own range


def say(text=""):
    print(text, flush=True)


def expect(true, sentence):
    if not true:
        raise Failure(sentence)


class Story:
    """One part: a network, the appliance on it, and the rules it is given."""

    def __init__(self, network, method, server_port, conf="", sees_client=True):
        self.network, self.method, self.server_port = network, method, server_port
        self.vip, self.sees_client = network.vip, sees_client
        self.names = {f"{address}:{server_port}": name for name, address in network.servers.items()}
        self.client_ports = range(FIRST_PORT, FIRST_PORT + CONNECTIONS)
        self.appliance = Appliance(network, conf)
        self.told = {}

    def service(self):
        return ["-A", "-t", f"{self.vip}:443", "-s", "mh", "-b", "mh-port"]

    def destinations(self):
        for end in self.names:
            yield ["-a", "-t", f"{self.vip}:443", "-r", end, self.method]

    def rules(self):
        return "".join(" ".join(words) + "\n" for words in [self.service(), *self.destinations()])

    def adm(self, *words, show=True):
        if show:
            say(f"  # shuntadm {' '.join(words)}")
        return self.appliance.adm(*words)

    def configure(self, show=True):
        for words in [self.service(), *self.destinations()]:
            self.adm(*words, show=show)

    def begin(self):
        appliance.start_servers(
            self.network, ports=[self.server_port],
            listen_on_vip=[443] if self.method == "-g" else [],
        )  # fmt: skip
        self.appliance.start()
        say("  shuntd is ready; the director's addresses are on its twins")
        self.configure()
        self.told = appliance.foretell(
            self.network.lab.directory, self.rules(), self.network.client, self.client_ports, self.vip, 443
        )

    def judge(self, replies):
        """Every reply is from the server that was foretold, which saw whom it has to see."""
        seen_as = self.network.client if self.sees_client else self.network.ports[0].addresses[0].split("/")[0]
        for reply in replies:
            place = f"the connection from client port {reply.port}"
            expect(reply.status == 200, f"{place}: status {reply.status}, {reply.why or 'no answer'}")
            told = self.names[self.told[reply.port]]
            expect(reply.server == told, f"{place}: {reply.server} answered, foretold was {told}")
            expect(reply.saw == seen_as, f"{place}: the server saw {reply.saw}, not {seen_as}")
            if self.sees_client:
                expect(reply.saw_port == reply.port, f"{place}: the server saw port {reply.saw_port}")

    def connect(self, what, ports=None):
        ports = list(ports or self.client_ports)
        begin = time.monotonic()
        replies = client.get(self.network, self.vip, 443, ports)
        took = time.monotonic() - begin
        self.judge(replies)
        shares = ", ".join(f"{name} {count}" for name, count in sorted(by_server(replies).items()))
        say(f"  {len(replies)} connections{what} in {took:.1f} s: {shares}; as foretold by shunt-replay")
        return len(replies)

    def show(self):
        for words in (["-L", "-n"], ["-L", "-n", "--stats"]):
            for line in self.adm(*words).splitlines():
                say(f"    {line}")


def same_server_again(story):
    """One client port reaches the same server, whatever happened to the sessions."""
    ports = story.client_ports[:6]
    story.adm("-C")
    story.configure(show=False)
    story.appliance.write("services.rules", story.rules())
    count = story.connect(" after -C and the same rules again", ports)
    story.appliance.restart()
    say("  shuntd was restarted (with --rules): no session is left, the twins kept their addresses")
    count += story.connect(" from the same client ports", story.client_ports)
    port = ports[0]
    say(f"  e.g. client port {port}: {story.names[story.told[port]]} each time")
    return count


def removed_server(story):
    """What established connections see when their server goes away, and comes back."""
    end, name = next(iter(story.names.items()))
    ports = range(FIRST_PORT + 1000, FIRST_PORT + 1012)
    kept = [client.Kept(story.network, story.vip, 443, port) for port in ports]
    where = {}
    for connection in kept:
        connection.ask()
        where[connection.port] = connection.answer()
        expect(where[connection.port], f"no answer to client port {connection.port}")
    mine = [c for c in kept if where[c.port] == name]
    others = [c for c in kept if where[c.port] != name]
    expect(mine and others, f"all of {len(kept)} connections went to the same side: {where}")
    say(f"  {len(kept)} connections stay open, {len(mine)} of them to {name}")

    story.adm("-d", "-t", f"{story.vip}:443", "-r", end)
    for connection in kept:
        connection.ask()
    for connection in others:
        expect(connection.answer() == where[connection.port], f"{connection.port} changed its server")
    for connection in mine:
        expect(connection.answer(0.3) is None, f"{name} was removed, but still answered")
    say(f"  {name} removed: its {len(mine)} connections hang (no reset), the other {len(others)} go on")
    new = client.get(story.network, story.vip, 443, [p + 100 for p in ports])
    expect(set(by_server(new)) == set(story.names.values()) - {name}, f"new ones: {by_server(new)}")
    say(f"  {len(new)} new connections: {', '.join(sorted(by_server(new)))}")

    story.adm("-a", "-t", f"{story.vip}:443", "-r", end, story.method)
    for connection in mine:
        expect(connection.answer(20) == name, f"{connection.port} did not resume")
        connection.close()
    say(f"  {name} added again: its {len(mine)} connections resumed and were answered")
    return len(kept) + len(new)


def nat(here):
    say("1. NAT: client 10.1.0.2, director 10.1.0.1 and 10.2.0.1, servers 10.2.0.11 to .13")
    story = Story(lab.two_networks(here), "-m", 8443)
    story.begin()
    count = story.connect("")
    story.show()
    count += same_server_again(story)
    count += removed_server(story)
    return story, count


def masquerade(here):
    say("2. NAT with masquerade: everyone on 10.3.0.0/24, servers see the director 10.3.0.1")
    network = lab.one_network(here)
    conf = f"masquerade = {network.ports[0].twin}"
    story = Story(network, "-m", 8443, conf=conf, sees_client=False)
    story.begin()
    count = story.connect("")
    story.show()
    return story, count


def direct(here):
    say("3. Direct routing: the VIP on the servers' loopback, arp_ignore=1 arp_announce=2")
    network = lab.one_network(here)
    network.vip_on_loopback()
    story = Story(network, "-g", 443)
    story.begin()
    count = story.connect("")
    story.show()
    return story, count


def how_to_reach(story):
    here = story.network.lab
    say("It is left up (--keep):")
    say(f"  ip netns exec {here.netns('client')} curl http://{story.vip}:443/")
    say(f"  {appliance.SHUNTADM} --socket {story.appliance.socket} -L -n")
    say("  scripts/demo --clean     takes it down")


def replay_instead():
    """Without namespaces: the same rules and clients, as a capture through the same stages."""
    vip, names = "10.1.0.100", {f"10.2.0.{10 + n}:8443": f"s{n}" for n in (1, 2, 3)}
    rules = f"-A -t {vip}:443 -s mh -b mh-port\n"
    rules += "".join(f"-a -t {vip}:443 -r {end} -m\n" for end in names)
    ports = range(FIRST_PORT, FIRST_PORT + 3 * CONNECTIONS)
    with tempfile.TemporaryDirectory(prefix="shunt-demo-") as directory:
        told = [appliance.foretell(directory, rules, "10.1.0.2", ports, vip, 443) for _ in range(2)]
    expect(told[0] == told[1], "two replays differ")
    expect(set(told[0].values()) == set(names), f"not every server was chosen: {set(told[0].values())}")
    for end, name in names.items():
        say(f"  {name} {end}: {sum(1 for chosen in told[0].values() if chosen == end)} connections")
    return len(ports)


def all_parts(keep):
    begin, count, kept = time.monotonic(), 0, None
    try:
        for tag, part in (("nat", nat), ("masq", masquerade), ("dr", direct)):
            with Lab(tag, keep=keep and tag == "nat") as here:
                story, done = part(here)
                count += done
                expect(story.appliance.alive(), "shuntd is gone")
                if here.keep:
                    kept = story
                else:
                    story.appliance.stop()
    except BaseException:
        if kept:
            kept.network.lab.close()
        raise
    seconds = time.monotonic() - begin
    say(f"All {count} connections were answered by the right server, in {seconds:.0f} s.")
    if kept:
        how_to_reach(kept)


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo", allow_abbrev=False)
    parser.add_argument("--keep", action="store_true", help="leave the NAT part up")
    parser.add_argument("--clean", action="store_true", help="take down what --keep left")
    options = parser.parse_args()
    if options.clean:
        for netns in lab.remove_left_over():
            say(f"removed {netns}")
        return 0
    try:
        if reason := lab.why_impossible():
            say(f"No network namespaces here ({reason}); a capture is replayed instead.")
            say(f"All {replay_instead()} connections have a server, the same in every replay.")
        else:
            all_parts(options.keep)
    except KeyboardInterrupt:
        say("\ninterrupted; everything is taken down")
        return 130
    except Failure as failure:
        say(f"FAILED: {failure}")
        return 1
    return 0


sys.exit(main())
