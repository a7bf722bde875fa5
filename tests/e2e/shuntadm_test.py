#!/usr/bin/env python3
"""An operator's words through shuntadm and a running shuntd: every recorded session with ipvsadm
(tests/golden/ipvsadm) line by line in a shell, --json of every listing, every sysctl, and clients
of the control socket that misbehave. shuntd has DPDK's null port and an /etc of its own."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

import tap
from appliance import SHUNTADM, SHUNTD
from tap import expect
from transcripts import APART, Operator, replay_all

MOST_CLIENTS = 64


def flat(value):
    """Is it an object without objects in it, with names in snake_case?"""
    return all(re.fullmatch(r"[a-z][a-z0-9_]*", k) and not isinstance(v, (dict, list)) for k, v in value.items())


LISTINGS = [["-L"], ["-L", "-n"], *(["-L", o] for o in ("--stats", "--rate", "--thresholds", "--persistent-conn", "--tun-info",
            "--nosort", "--exact")), ["-S"], ["-S", "-n"], ["-L", "-t", "10.0.0.1:80"]]  # fmt: skip
COUNTED = {"connections", "in_packets", "out_packets", "in_bytes", "out_bytes"}
COUNTED |= {f"{name}_per_second" for name in COUNTED}
NUMBERS = COUNTED | {"fwmark", "port", "flags", "persistence_timeout", "netmask"}
SERVER_NUMBERS = COUNTED | {"fwmark", "virtual_port", "port", "weight", "upper_threshold", "lower_threshold", "active",
                            "inactive", "persistent"}  # fmt: skip


def objects(cases, operator):
    operator.empty()
    operator.good("-R", text="-A -t 10.0.0.1:80 -s mh -p 60 -b mh-port\n-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 7 -x 9 -y 3\n"
                  "-A -f 4294967295 -6 -s rr\n-a -f 4294967295 -6 -r [2001:db8::5]:80 -g\n")  # fmt: skip
    for words in LISTINGS:
        with cases.case(f"{' '.join(words)} --json"):
            out = operator.good(*words, "--json")
            expect(out.count("\n") == 1, "not one line")
            found = json.loads(out)
            expect(set(found) == {"services", "servers"}, f"{list(found)}")
            expect(len(found["services"]) == len(found["servers"]) == (1 if "-t" in words else 2), out)
            for row in found["services"] + found["servers"]:
                expect(flat(row), f"{row}")
            for row, names in [(r, NUMBERS) for r in found["services"]] + [(r, SERVER_NUMBERS) for r in found["servers"]]:
                numbers = {n for n, value in row.items() if type(value) is int}
                expect(numbers == names, f"numbers are {numbers}, not {names}")
    with cases.case("--json of sessions, timeouts, daemons and knobs"):
        expect(json.loads(operator.good("-L", "-c", "--json")) == {"sessions": []}, "sessions")
        expect(json.loads(operator.good("-L", "--timeout", "--json")) == {"tcp": 900, "tcpfin": 120, "udp": 300}, "timeouts")
        expect(json.loads(operator.good("-L", "--daemon", "--json")) == {"daemons": []}, "daemons")
        knobs = json.loads(operator.good("--sysctl", "--json"))
        expect(flat(knobs) and all(type(v) is int for v in knobs.values()), f"{knobs}")
    with cases.case("--json where nothing is listed is refused"):
        status, out, err = operator.adm("-C", "--json")
        expect((status, out) == (2, "") and err == "Illegal 'json' option with the 'flush' command\n", f"{status} {err}")


# Linux 6.1.176, /proc/sys/net/ipv4/vs, as a boot has them.
SYSCTLS = {
    "am_droprate": 10, "amemthresh": 1024, "backup_only": 0, "cache_bypass": 0, "conn_reuse_mode": 1, "conntrack": 0,
    "drop_entry": 0, "drop_packet": 0, "expire_nodest_conn": 0, "expire_quiescent_template": 0, "ignore_tunneled": 0,
    "lblc_expiration": 86400, "lblcr_expiration": 86400, "nat_icmp_send": 0, "pmtu_disc": 1, "run_estimation": 1,
    "schedule_icmp": 0, "secure_tcp": 0, "sloppy_sctp": 0, "sloppy_tcp": 0, "snat_reroute": 1, "sync_persist_mode": 0,
    "sync_ports": 1, "sync_qlen_max": None, "sync_refresh_period": 0, "sync_retries": 0, "sync_sock_size": None,
    "sync_threshold": None, "sync_version": 1,
}  # fmt: skip


def knobs(cases, operator):
    with cases.case("every sysctl has its default, or is refused with a reason"):
        for name, default in SYSCTLS.items():
            status, out, err = operator.adm("--sysctl", name)
            if status:
                expect(status == 255 and err.startswith(f"'{name}' means nothing here: ") and err.count("\n") == 1, f"{name}: {err}")
                status, out, err = operator.adm("--sysctl", f"{name}=1")
                expect(status == 255 and err.count("\n") == 1, f"{name}=1: {err}")
            else:
                expect(out == f"net.ipv4.vs.{name} = {default}\n", f"{name}: {out}")
    with cases.case("a sysctl stays as it is set, and out of range as it was"):
        operator.good("--sysctl", "net.ipv4.vs.drop_entry=3")
        status, _, err = operator.adm("--sysctl", "drop_entry=4")
        expect(status == 255 and "from 0 to 3" in err, err)
        expect(operator.good("--sysctl", "drop_entry") == "net.ipv4.vs.drop_entry = 3\n", "not 3")
        operator.good("--sysctl", "drop_entry=0")


def descriptors(operator):
    return len(os.listdir(f"/proc/{operator.process.pid}/fd"))


def settled(operator):
    """Its descriptors when it has noticed that all clients are gone."""
    time.sleep(1)
    return descriptors(operator)


def connect(operator):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(operator.socket)
    return client


def clients(cases, operator):
    operator.empty()
    operator.good("-A", "-t", "10.0.0.1:80", "-s", "rr")
    rules, before = operator.good("-S", "-n"), settled(operator)

    def unharmed():
        expect(operator.process.poll() is None, "shuntd has ended")
        expect(operator.good("-S", "-n") == rules, "rules have changed")
        end = time.monotonic() + 20
        while descriptors(operator) > before and time.monotonic() < end:
            time.sleep(0.05)
        expect(descriptors(operator) <= before, f"{descriptors(operator)} descriptors, {before} before")

    with cases.case("garbage is answered with a sentence each"):
        for line in (b"\0\1\2", b"GET / HTTP/1.1", b"{", b"[" * 100_000, b'{"commands":7}', b"\xff" * 1000, b""):
            with connect(operator) as client:
                client.sendall(line + b"\n")
                answer = client.makefile().readline()
                expect("malformed request" in answer and json.loads(answer)["errors"][0]["status"] == 2, f"{line[:20]}: {answer}")
        unharmed()
    with cases.case("half a command changes nothing"):
        for length in (1, 20, 60):
            with connect(operator) as client:
                client.sendall(b'{"commands": [["-C"], ["-A", "-t", "10.0.0.2:80", "-s", "rr"]]}'[:length])
        unharmed()
    with cases.case("a line without end is refused at the bound"):
        with connect(operator) as client:
            try:
                while True:
                    client.sendall(b"x" * (1 << 20))
            except (BrokenPipeError, ConnectionResetError):
                pass
        unharmed()
    with cases.case("two hundred clients at once, most of them silent"):
        silent = [connect(operator) for _ in range(2 * MOST_CLIENTS)]
        many = [subprocess.Popen([SHUNTADM, "-S", "-n"], env=operator.environment, stdout=subprocess.PIPE, text=True) for _ in range(72)]
        answers = [process.communicate()[0] for process in many]
        expect(all(answer in (rules, "") for answer in answers) and answers.count(rules) > 36, f"{answers.count(rules)} of 72 answered")
        for client in silent:
            client.close()
        unharmed()
    with cases.case("clients that are killed in a restore leave whole commands, in an atomic one none"):
        lines = "".join(f"-A -t 10.{n // 250}.1.{n % 250 + 1}:80 -s rr\n" for n in range(20000))
        for words in (["-R", "--atomic"], ["-R"]):
            killed = subprocess.Popen([SHUNTADM, *words], env=operator.environment, stdin=subprocess.PIPE, text=True)
            killed.stdin.write(lines[: len(lines) // 2])
            killed.kill()
            killed.wait()
            left = operator.good("-S", "-n").splitlines()
            expect(words == ["-R"] or left == rules.splitlines(), f"{len(left)} services after a killed {words}")
            expect(all(re.fullmatch(r"-A -t [0-9.]+:80 -s rr", line) for line in left), "not whole")
        operator.good("-C")
        operator.good("-R", text=rules)
        unharmed()
    with cases.case("one that does not take its answers holds up nobody"):
        with connect(operator) as client:
            client.setblocking(False)
            try:
                while True:
                    client.send(b'{"commands":[["-L","--stats"]]}\n' * 1000)
            except BlockingIOError:
                pass
            began = time.monotonic()
            expect(operator.good("-S", "-n") == rules, "rules")
            expect(time.monotonic() - began < 10, "others wait")
        unharmed()


def main():
    if not os.path.exists(SHUNTD) or not os.path.exists(SHUNTADM):
        tap.skip_all("shuntd is not built")
    if subprocess.run([*APART, "true"], capture_output=True).returncode != 0:
        tap.skip_all("namespaces of mounts and networks cannot be made here")
    cases = tap.Cases()
    with tempfile.TemporaryDirectory(prefix="shunt-operator-") as folder:
        operator = Operator(folder)
        try:
            replay_all(cases, operator)
            objects(cases, operator)
            knobs(cases, operator)
            clients(cases, operator)
        finally:
            status = operator.end()
        with cases.case("and shuntd ends as it is told"):
            expect(status == 0, f"status {status}")
    return cases.done()


sys.exit(main())
