#!/usr/bin/env python3
"""Every keyword of docs/migrate-from-lvs.md's tables about keepalived, run as the page says it works.

    client -- front [director: shuntd, keepalived] back --+-- s1 10.2.0.11   answers until it is ended
              10.1.0.100, 10.1.0.150 later                +-- s2 10.2.0.12   answers
                                                          +-- s3 10.2.0.13   does not answer

The rows are read out of the page. Each has a case in keepalived_cases.py, and each case has a row;
the man page of the keepalived that is installed has no other keywords. One unmodified keepalived has
all cases' virtual servers, each with a port of its own, and shuntd's table is compared with
what each case says, at the start, when s1 has ended, and when it is back.
"""

import errno
import gzip
import hashlib
import os
import re
import shutil
import socket
import sys

import appliance
import checked_server
import keepalived_cases
import lab
import tap
from appliance import Appliance
from keepalived import Keepalived, why_no_keepalived
from keepalived_cases import CASES, LATER, MARK, SERVICE, SILENT
from lab import Lab
from tap import expect

PAGE = os.path.join(appliance.ROOT, "docs/migrate-from-lvs.md")
MAN = "/usr/share/man/man5/keepalived.conf.5.gz"
CHECKED_SERVER = os.path.join(appliance.ROOT, "tests/e2e/checked_server.py")
FIRST_PORT = 1001
GLOBAL = "Keywords of global_defs about virtual servers"
GLOBALS = {(GLOBAL, keyword) for keyword in
           ("lvs_flush", "lvs_flush_on_stop", "lvs_timeouts", "lvs_sync_daemon", "nftables_ipvs")}  # fmt: skip
# What a row says of a keyword that does not simply work.
SAID = {"snmp_name": "taken", "dynamic": "unknown", "lvs_sync_daemon": "refused", "nftables_ipvs": "makes"}
# What looks like a keyword in the man page and is none.
NO_KEYWORDS = {"CHECKER_TYPE", "SSL", "The", "or"}
# Checks are made every second, and some wait two for an answer.
WITHIN = 25
SCRIPTS = {
    "note.sh": 'touch "$1"',
    "slow.sh": "exec sleep 600",
    "script.sh": '[ ! -e "$(dirname "$0")/down" ] || exit 1; exit ${1:-0}',
    "am.sh": '[ ! -e "$(dirname "$0")/down" ] && [ "$(id -un)" = "$1" ]',
}


def rows_of_page():
    """(section, keyword) of every row of the page's tables of keywords, and what it says of them."""
    rows, section = [], ""
    with open(PAGE, encoding="utf-8") as page:
        for line in page:
            if heading := re.match(r"### (.*)", line):
                section = heading[1].strip()
            elif section in {GLOBAL, *(case.section for case in CASES)} and line.startswith("| `"):
                _, keywords, result, *_ = line.split("|")
                rows += [((section, keyword), result.strip()) for keyword in re.findall(r"`([^`]+)`", keywords)]
    return rows


def keywords_of_man():
    """The keywords of virtual_server and of what is inside, and of SSL, as the man page has them."""
    with gzip.open(MAN, "rt", encoding="utf-8", errors="replace") as page:
        text = page.read()
    start, end = text.index("The syntax for virtual_server is"), text.index(".SH ADVANCED CONFIGURATION")
    found = set()
    for line in text[start:end].splitlines():
        line = re.sub(r"\\f[A-Z]|\\&", "", line).replace("\\-", "-").strip()
        if match := re.match(r"([A-Za-z_]+(?:-[a-z0-9]+)?)\b", line):
            if not line.startswith(".") and "see above" not in match[1]:
                found.add(match[1])
    return found


class World:
    """The lab, shuntd, keepalived and the servers that it checks."""

    def __init__(self, made):
        self.lab, self.network = made, lab.two_networks(made)
        self.network.ports[1].addresses.append(f"{keepalived_cases.BOUND}/24")
        os.chmod(made.directory, 0o755)  # scripts run as others, too
        self.shuntd = Appliance(self.network, rules="-A -t 192.0.2.9:9 -s rr\n")
        self.keepalived = Keepalived(self.shuntd)
        self.servers = {}

    def path(self, name):
        return os.path.join(self.lab.directory, name)

    def prepare(self):
        checked_server.make_certificates(self.lab.directory)
        for name, line in SCRIPTS.items():
            with open(self.path(name), "w", encoding="ascii") as script:
                script.write(f"#!/bin/sh\n{line}\n")
            os.chmod(self.path(name), 0o755)
        for name in ("zero", "one"):
            self.shuntd.write(name, "0\n" if name == "zero" else "1\n")
        for name in ("s1", "s2"):
            self.start_server(name)
            self.lab.sysctl(name, "net/ipv4/icmp_ratelimit", 0)
            self.lab.run(
                name, "nft", f"add table inet t; add chain inet t c {{ type filter hook input priority 0; }};"
                f"add rule inet t c tcp dport {SILENT} drop",
            )  # fmt: skip
        self.shuntd.start()
        self.lab.ip("director", f"rule add fwmark {MARK} unreachable")
        # The other end of a session of BFD.
        self.shuntd.write("s1.conf", bfd("director", "10.2.0.11", "10.2.0.1"))
        self.peer = self.lab.start(
            "s1", shutil.which("keepalived"), "-n", "-l", "-f", self.path("s1.conf"), "-p", self.path("s1.pid"),
            "-b", self.path("s1.bfd.pid"), "-c", self.path("s1.checkers.pid"), "-r", self.path("s1.vrrp.pid"),
        )  # fmt: skip

    def start_server(self, name):
        self.servers[name] = self.lab.start(name, CHECKED_SERVER, self.lab.directory)
        lab.wait_until(lambda: "ready" in self.lab.log_of(self.servers[name]), f"{name} did not come up")

    def fill(self, text, port):
        values = {"vip": keepalived_cases.VIP, "p": port, "dir": self.lab.directory,
                  "digest": hashlib.md5(checked_server.BODY).hexdigest()}  # fmt: skip
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def configuration(self):
        directory = self.lab.directory
        text = (
            "global_defs {\nrouter_id shunt\nscript_user root\nenable_script_security\nlvs_flush\n"
            "lvs_timeouts tcp 700 tcpfin 70 udp 7\nsmtp_server 10.2.0.12 2525\nsmtp_connect_timeout 3\n"
            "notification_email {\nadmin@shunt.test\n}\nnotification_email_from keepalived@shunt.test\n}\n"
            f"SSL {{\npassword {checked_server.PASSWORD}\nca {directory}/ca.pem\n"
            f"certificate {directory}/client.pem\nkey {directory}/client.key\n}}\n"
        )
        for name in ("zero", "one"):
            text += f"track_file {name} {{\nfile {directory}/{name}\nweight 0\n}}\n"
        text += bfd("s1", "10.2.0.1", "10.2.0.11") + bfd("nobody", "10.2.0.1", keepalived_cases.NOBODY)
        for port, case in enumerate(CASES, FIRST_PORT):
            text += self.fill(case.conf, port)
        return text

    def table(self):
        """Port or mark of a virtual service -> the lines of `shuntadm -S -n` about it."""
        lines = {}
        for line in self.shuntd.adm("-S", "-n").splitlines():
            key = int(line.split()[2].rsplit(":", 1)[-1])
            lines.setdefault(key, []).append(line)
        return lines


def bfd(name, source, neighbour):
    return (
        f"bfd_instance {name} {{\nsource_ip {source}\nneighbor_ip {neighbour}\nmin_rx 200\nmin_tx 200\n"
        "multiplier 3\nidle_tx 300\n}\n"
    )


def wanted(world, case, port, moment):
    """The lines of the table that the case wants, or None if it says nothing."""
    lines = getattr(case, moment)
    if lines is None:
        lines = case.start if moment == "broken" else None
    if lines is None:
        return None
    if not any(line.startswith("-A") for line in lines):
        lines = [SERVICE, *lines]
    return sorted(world.fill(line, port) for line in lines)


def complaints(world, moment):
    """What is not as the cases say: port -> a sentence."""
    found, table = {}, world.table()
    for port, case in enumerate(CASES, FIRST_PORT):
        lines, has = wanted(world, case, port, moment), sorted(table.get(port, []))
        if lines is not None and lines != has:
            found[port] = f"{moment}: the table should have\n{lines}\nand has\n{has}"
        for name in case.files.get(moment, []):
            if not os.path.exists(world.path(f"{port}-{name}")):
                found[port] = f"{moment}: the script of {name} was not run"
    return found


class Story:
    """What becomes of each case, moment by moment."""

    def __init__(self, world):
        self.world, self.said = world, {}

    def look(self, moment, within=WITHIN):
        found = {}

        def is_good():
            nonlocal found
            found = complaints(self.world, moment)
            return not found

        try:
            lab.wait_until(is_good, moment, within)
        except lab.Failure:
            for port, sentence in found.items():
                self.said.setdefault(port, sentence)

    def look_at_words(self):
        """keepalived's log and its mails."""
        world, mails = self.world, ""
        if os.path.exists(world.path("mails")):
            with open(world.path("mails"), encoding="utf-8", errors="replace") as file:
                mails = file.read()
        for port, case in enumerate(CASES, FIRST_PORT):
            for pattern, text, what in ((case.log, world.keepalived.log(), "log"), (case.mail, mails, "mails")):
                if pattern and not re.search(self.world.fill(pattern, port), text):
                    self.said.setdefault(port, f"keepalived's {what} should have {self.world.fill(pattern, port)}")


def run(story, world, cases):
    world.keepalived.start(world.configuration())
    story.look("start")
    with cases.case(f"{GLOBAL}: lvs_flush"):
        expect("192.0.2.9" not in world.shuntd.adm("-S", "-n"), "the service that was there is not gone")
    with cases.case(f"{GLOBAL}: lvs_timeouts"):
        text = world.shuntd.adm("-L", "--timeout")
        expect("700 70 7" in text, text)
    world.lab.end(world.servers["s1"])
    world.lab.end(world.peer)
    world.shuntd.write("down", "")
    world.lab.address("director", "front", f"{LATER}/32")
    story.look("broken")
    os.remove(world.path("down"))
    world.start_server("s1")
    story.look("healed")
    story.look_at_words()
    with cases.case("keepalived understood every line"):
        bad = [line for line in world.keepalived.log().splitlines() if re.search(r"unknown keyword|invalid|missing", line, re.I)]
        bad = [line for line in bad if "Unknown keyword 'dynamic'" not in line]
        expect(not bad, "\n".join(bad[:10]))
    with cases.case("keepalived's log has no error of IPVS"):
        expect(not world.keepalived.errors(), "\n".join(world.keepalived.errors()[:5]))
    with cases.case("stopped, keepalived takes its services with it"):
        status = world.keepalived.stop(20)
        expect(status == 0, f"status {status}")
        expect(not world.table(), world.shuntd.adm("-S", "-n"))
        for port, case in enumerate(CASES, FIRST_PORT):
            for name in case.files.get("stopped", []):
                if not os.path.exists(world.path(f"{port}-{name}")):
                    story.said.setdefault(port, f"stopped: the script of {name} was not run")


def second_configuration():
    """The keywords of global_defs that would disturb the others."""
    return f"""global_defs {{
    lvs_sync_daemon back VI id 7
    lvs_flush_on_stop
    nftables_ipvs shunt_test
}}
vrrp_instance VI {{
    interface back
    virtual_router_id 7
    priority 100
    advert_int 1
    virtual_ipaddress {{
        10.2.0.77/32
    }}
}}
virtual_server_group together {{
    {keepalived_cases.VIP} 2001
}}
virtual_server group together {{
    lvs_sched rr
    lvs_method NAT
    protocol TCP
    real_server {keepalived_cases.S2} {keepalived_cases.HTTP} {{
    }}
}}
"""


def run_second(world, cases):
    world.keepalived.start(second_configuration())
    with cases.case(f"{GLOBAL}: lvs_sync_daemon"):
        lab.wait_until(lambda: any("STARTDAEMON" in line for line in world.keepalived.errors()),
                       "keepalived's log has no error about it")  # fmt: skip
    with cases.case(f"{GLOBAL}: nftables_ipvs"):
        lab.wait_until(lambda: "-A -f 1000" in world.shuntd.adm("-S", "-n"), "there is no service by mark")
        expect("shunt_test" in world.lab.run("director", "nft", "list", "tables"), "there is no table of nftables")
        expect(f"{keepalived_cases.VIP}:2001" not in world.shuntd.adm("-S", "-n"), world.shuntd.adm("-S", "-n"))
        with world.lab.inside("client"), socket.socket() as attempt:
            attempt.settimeout(2)
            answer = attempt.connect_ex((keepalived_cases.VIP, 2001))
        expect(answer == errno.ECONNREFUSED, f"a connection gave {os.strerror(answer)}")
    with cases.case(f"{GLOBAL}: lvs_flush_on_stop"):
        world.shuntd.adm("-A", "-t", "192.0.2.9:9", "-s", "rr")
        world.keepalived.stop(20)
        expect(not world.table(), world.shuntd.adm("-S", "-n"))


def main():
    if reason := lab.why_impossible() or appliance.why_not_built() or why_no_keepalived():
        tap.skip_all(reason)
    if not shutil.which("openssl"):
        tap.skip_all("openssl is not installed (scripts/setup does it)")
    cases = tap.Cases()
    said = rows_of_page()
    rows, known = [row for row, _ in said], {(case.section, case.keyword) for case in CASES} | GLOBALS
    with cases.case("every row of the page has a run, and every run a row"):
        expect(len(rows) == len(set(rows)), f"twice: {sorted(row for row in set(rows) if rows.count(row) > 1)}")
        expect(set(rows) == known, f"without a run: {set(rows) - known}; without a row: {known - set(rows)}")
    with cases.case("every row says what its run shows"):
        wrong = [row for row, result in said if not result.startswith(SAID.get(row[1], "work"))]
        expect(not wrong, f"{wrong}")
    if os.path.exists(MAN):
        with cases.case("the page has every keyword of keepalived.conf(5)"):
            have = {keyword.split()[0] for _, keyword in known}
            missing = keywords_of_man() - have - NO_KEYWORDS
            expect(not missing, f"not in the page: {sorted(missing)}")
    else:
        cases.skip("the page has every keyword of keepalived.conf(5)", "the man page is not installed")
    with Lab("keywords") as made:
        world = World(made)
        story = Story(world)
        try:
            world.prepare()
            run(story, world, cases)
            run_second(world, cases)
        finally:
            if world.keepalived.process:
                print("\n".join(f"# keepalived: {line}" for line in world.keepalived.log().splitlines()[-5:]))
                if os.environ.get("SHUNT_KEEP_LOG"):
                    shutil.copy(world.keepalived.process.log, os.environ["SHUNT_KEEP_LOG"])
    for port, case in enumerate(CASES, FIRST_PORT):
        with cases.case(f"{case.section}: {case.keyword}"):
            expect(port not in story.said, story.said.get(port, ""))
    return cases.done()


if __name__ == "__main__":
    sys.exit(main())
