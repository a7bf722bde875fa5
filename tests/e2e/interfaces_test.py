#!/usr/bin/env python3
"""Interfaces that are deleted under shuntd: it says so within a second, goes on while a port remains,
and ends with status 1 when a twin is gone or the last port, so that a restart makes it whole."""

import errno
import socket
import sys
import time

import appliance
import lab
import tap
from appliance import Appliance
from lab import Lab
from tap import expect


def says(shuntd, *words, within=1.0):
    """Does a new line of the log have all the words, so soon?"""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if any(all(word in line for word in words) for line in shuntd.lab.log_of(shuntd.process).splitlines()):
            return True
        time.sleep(0.02)
    return False


def ends(shuntd, within=3.0):
    """The status with which it ends by itself."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and shuntd.alive():
        time.sleep(0.02)
    return shuntd.process.poll()


def linux_answers(network):
    """Does the director's Linux refuse a connection by its twin?"""
    with network.lab.inside("client"):
        end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with end:
        end.settimeout(4)
        return end.connect_ex(("10.1.0.1", 1)) == errno.ECONNREFUSED


def carrier(network, twin):
    return "NO-CARRIER" not in network.lab.ip("director", f"link show dev {twin}")


def ports(cases, network, shuntd):
    with cases.case("a twin that is set down, and up again, is noted, and shuntd goes on"):
        network.lab.ip("director", "link set front down")
        expect(says(shuntd, "front", "set down"), "no line for a twin that is down")
        network.lab.ip("director", "link set front up")
        expect(says(shuntd, "front", "up again"), "no line for a twin that is up again")
        expect(shuntd.alive(), "it ended")
        expect("interfaces_lost" in shuntd.say("show port stats all"), "it is not counted")
    with cases.case("a port whose interface is deleted is lost; the others go on"):
        network.lab.ip("director", "link del eth1")
        expect(says(shuntd, "port back", "deleted"), "no line for the port")
        lab.wait_until(lambda: not carrier(network, "back"), "its twin has a carrier still", within=2)
        expect(carrier(network, "front"), "the other twin has none")
        text = shuntd.say("show port stats all")
        expect("lost: its interface was deleted" in text, text)
        expect(not says(shuntd, "eth1", "set down", within=0.3), "two lines for one port")
        expect(linux_answers(network), "front is dead")
    with cases.case("without its last port shuntd ends with status 1 and says why"):
        network.lab.ip("director", "link del eth0")
        expect(says(shuntd, "the last one, was deleted", within=1.5), "no line")
        expect(ends(shuntd) == 1, f"it ended with {shuntd.process.poll()}")


def twins(cases, network, shuntd):
    with cases.case("without a twin shuntd ends with status 1 and says why"):
        network.lab.ip("director", "link del front")
        expect(says(shuntd, "the twin front", "deleted", within=1.5), "no line")
        expect(ends(shuntd) == 1, f"it ended with {shuntd.process.poll()}")
    with cases.case("and a restart makes it whole"):
        shuntd.start()
        expect(carrier(network, "front"), "the twin has no carrier")
        expect(linux_answers(network), "Linux does not answer by it")
        shuntd.stop()


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    for tag, check in (("ports", ports), ("twins", twins)):
        with Lab(tag) as here:
            network = lab.two_networks(here)
            shuntd = Appliance(network, console=True)
            shuntd.start()
            check(cases, network, shuntd)
            if cases.failed:
                print("# shuntd said:", *shuntd.log().splitlines()[:20], sep="\n# ")
    return cases.done()


sys.exit(main())
