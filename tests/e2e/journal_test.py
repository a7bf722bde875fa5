#!/usr/bin/env python3
"""Rules survive: shuntd is killed in the middle of changes by unmodified programs, stopped in order,
given damaged journals and a full disk, and started again.

    [ a network and mounts of its own: shuntd with DPDK's null port ] <- ipvsadm, by shunt-exec
                        |                                             <- shuntadm
                  state/journal

journal_test.py [ROUNDS]   of kills: 4
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

import appliance
import tap
from appliance import SHUNTADM, SHUNTD
from tap import expect
from transcripts import APART

SHUNT_EXEC = os.path.join(appliance.BUILD, "app/shunt-exec/shunt-exec")
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# ipvsadm line by line; `acknowledged` has those that ended with status 0.
STREAM = 'while read -r line; do ipvsadm $line || exit 1; echo "$line" >>"$1"; done'
TRANSACTION = 100  # services of one


class Shuntd:
    def __init__(self, folder, more="", before=""):
        self.folder, self.socket, self.state = folder, os.path.join(folder, "socket"), os.path.join(folder, "state")
        self.before, self.logs, self.process = before, 0, None
        self.write("conf", f"port = p0 net_null0,no-rx=1\ntwin = p0 journal0\nsocket = {self.socket}\nworkers = 1\nidle = sleep\n"
                   f"sessions = 1024\njournal = {self.state}\nrules = {self.path('rules')}\neal = --no-pci --no-huge --no-shconf "
                   f"--no-telemetry -m 256 --iova-mode=va --file-prefix=shunt-journal-{os.getpid()}\n{more}")  # fmt: skip
        self.write("rules", "-A -t 192.0.2.1:80 -s rr\n")

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode="w"):
        with open(self.path(name), mode, **({} if "b" in mode else {"encoding": "utf-8"})) as file:
            file.write(text)

    def read(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def log(self):
        return self.read(f"log{self.logs}")

    def start(self, *words):
        """Until it is ready; its status if it ends before."""
        self.logs += 1
        with open(self.path(f"log{self.logs}"), "wb") as log:
            self.process = subprocess.Popen([*APART, "sh", "-c", f'ip link set lo up && {self.before} exec "$@"', "-", SHUNTD,
                                             "--conf", self.path("conf"), *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # fmt: skip
        end = time.monotonic() + 60
        while "] ready" not in self.log():
            if self.process.poll() is not None:
                return self.process.returncode
            expect(time.monotonic() < end, f"shuntd is not ready: {self.log()}")
            time.sleep(0.02)
        return None

    def began(self, *words):
        expect(self.start(*words) is None, f"shuntd does not start: {self.log()}")
        return self.log()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        expect(self.process.wait(10) == 0, f"{self.process.returncode}: {self.log()}")

    def adm(self, *words, text=None):
        done = subprocess.run([SHUNTADM, "--socket", self.socket, *words], input=text, capture_output=True, text=True, timeout=60)
        expect(done.returncode == 0, f"{' '.join(words)}: {done.stderr}")
        return done.stdout

    def rules(self):
        return self.adm("-S", "-n")

    def revision(self):
        return int(re.findall(r"^# (?:stopped at )?revision (\d+),", self.read("state/journal"), re.M)[-1])


def carry_out(table, line):
    """What a line of the stream does to {mark: (scheduler, {server: weight})}."""
    words = line.split()
    mark = int(words[2])
    if words[0] == "-A":
        table[mark] = (words[4], {})
    elif words[0] == "-E":
        table[mark] = (words[4], table[mark][1])
    elif words[0] == "-D":
        del table[mark]
    elif words[0] == "-d":
        del table[mark][1][words[4]]
    else:
        table[mark][1][words[4]] = words[7]


def stream(rng, count=2000):
    """Lines that the kernel would all accept."""
    table, lines = {}, []
    for _ in range(count):
        choice, mark = rng.random(), rng.choice(list(table) or [0])
        servers = table[mark][1] if mark else {}
        if not table or (choice < 0.25 and len(table) < 50):
            line = f"-A -f {max(table, default=0) + 1} -s rr"
        elif choice < 0.6:
            new = f"10.1.{rng.randrange(4)}.{rng.randrange(1, 250)}:0"
            line = f"{'-e' if new in servers else '-a'} -f {mark} -r {new} -m -w {rng.randrange(9)}"
        elif choice < 0.75 and servers:
            line = f"-e -f {mark} -r {rng.choice(list(servers))} -m -w {rng.randrange(9)}"
        elif choice < 0.85 and servers:
            line = f"-d -f {mark} -r {rng.choice(list(servers))}"
        elif choice < 0.95:
            line = f"-E -f {mark} -s {rng.choice(['wlc', 'rr', 'wrr'])}"
        else:
            line = f"-D -f {mark}"
        carry_out(table, line)
        lines.append(line)
    return lines


def read_table(rules):
    table = {}
    for line in rules.splitlines():
        words = line.split()
        if words[1] == "-f" and int(words[2]) < 1000:
            carry_out(table, line)
    return table


def killed(cases, shuntd, rounds):
    rng = random.Random(7)
    shuntd.began()
    for number in range(rounds):
        with cases.case(f"killed in the middle of changes by ipvsadm ({number + 1}): what was acknowledged is there, nothing by half"):
            shuntd.adm("-C")
            lines = stream(rng)
            shuntd.write("acknowledged", "")
            shuntd.write("restored", "")
            shuntd.write("lines", "\n".join(lines) + "\n")
            with open(shuntd.path("lines"), "rb") as stdin:
                changes = subprocess.Popen([SHUNT_EXEC, "--socket", shuntd.path("ipvs.sock"), "sh", "-c", STREAM, "-", shuntd.path("acknowledged")],
                                       stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       env={**os.environ, "PATH": SYSTEM_PATH})  # fmt: skip
            restores = subprocess.Popen([sys.executable, __file__, "restore", shuntd.socket, shuntd.path("restored")], stdout=subprocess.DEVNULL)
            tap_wait(lambda: shuntd.read("acknowledged").count("\n") > 20 and shuntd.read("restored"), shuntd)
            time.sleep(rng.uniform(0, 1))
            shuntd.kill()
            changes.wait(60)
            restores.wait(60)
            acknowledged = shuntd.read("acknowledged").splitlines()
            shuntd.began()
            now, table = shuntd.rules(), {}
            for line in acknowledged:
                carry_out(table, line)
            found, as_far = read_table(now), [{m: (s, dict(d)) for m, (s, d) in table.items()}]
            if len(acknowledged) < len(lines):  # one more may have been accepted and not acknowledged
                carry_out(table, lines[len(acknowledged)])
                as_far.append(table)
            expect(found in as_far, f"{len(acknowledged)} acknowledged, then {found} is not {as_far[0]}")
            there = {}
            for mark in map(int, re.findall(r"^-A -f (\d{4,}) ", now, re.M)):
                there[mark // 1000] = there.get(mark // 1000, 0) + 1
            done = set(map(int, shuntd.read("restored").split()))
            expect(all(count == TRANSACTION for count in there.values()), f"a transaction by half: {there}")
            expect(done <= set(there), f"of the transactions {done} only {set(there)} are there")
            print(f"# {len(acknowledged)} changes and {len(done)} transactions, then killed")
    shuntd.kill()


def restore(socket, restored):
    """Transactions until shuntd is gone; `restored` has those that were acknowledged."""
    with open(restored, "w", encoding="ascii") as file:
        for number in range(1, 400):
            lines = "".join(f"-A -f {number * 1000 + i} -s rr\n" for i in range(TRANSACTION))
            if subprocess.run([SHUNTADM, "--socket", socket, "-R", "--atomic"], input=lines, capture_output=True, text=True).returncode:
                return
            file.write(f"{number}\n")
            file.flush()


def which_rules(cases, shuntd):
    shutil.rmtree(shuntd.state, ignore_errors=True)
    with cases.case("without a journal the rules file counts, and becomes revision 1"):
        log = shuntd.began()
        expect("journal" in log and "is empty" in log, log)
        expect("192.0.2.1:80" in shuntd.rules() and shuntd.revision() == 1, shuntd.rules())
        shown = json.loads(shuntd.adm("-L", "--json"))
        expect((shown["revision"], shown["on_disk"]) == (1, 1), f"{shown}")
        expect(os.stat(shuntd.state).st_mode & 0o777 == 0o700, "its mode")
    with cases.case("after a crash the journal counts, however new the rules file is, and be it wrong"):
        shuntd.adm("-A", "-t", "192.0.2.2:80", "-s", "wlc", "-p", "60")
        shuntd.adm("--set", "100", "0", "50")
        shuntd.adm("--sysctl", "drop_entry=1")
        shuntd.kill()
        time.sleep(0.05)
        shuntd.write("rules", "-A -t nonsense\n")
        log = shuntd.began()
        expect("rules: revision 4 of the journal" in log and "not stopped in order" in log and "would be refused" in log, log)
        expect("192.0.2.1:80" in shuntd.rules() and "192.0.2.2:80 -s wlc -p 60" in shuntd.rules(), shuntd.rules())
        expect("100 120 50" in shuntd.adm("-L", "--timeout") and "= 1" in shuntd.adm("--sysctl", "drop_entry"), "--set, --sysctl")
    with cases.case("after an orderly stop the journal counts if it was changed later"):
        shuntd.write("rules", "-A -t 192.0.2.9:80 -s rr\n")
        time.sleep(0.05)
        shuntd.adm("-D", "-t", "192.0.2.1:80")
        shuntd.stop()
        expect("# stopped at revision 5" in shuntd.read("state/journal"), shuntd.read("state/journal"))
        log = shuntd.began()
        expect("rules: revision 5 of the journal" in log and "the newer one" in log, log)
        expect("192.0.2.2:80" in shuntd.rules() and "192.0.2.9" not in shuntd.rules(), shuntd.rules())
    with cases.case("and the rules file if that was, also while shuntd ran; revisions go on"):
        shuntd.write("rules", "-A -t 192.0.2.9:80 -s rr\n")
        shuntd.stop()
        log = shuntd.began()
        expect(re.search(r"rules: \S+/rules, changed .*, which is the newer one", log), log)
        expect("192.0.2.9:80" in shuntd.rules() and "192.0.2.2" not in shuntd.rules(), shuntd.rules())
        expect(shuntd.revision() == 6 and "192.0.2.2:80" in shuntd.read("state/journal.replaced"), "revision")
    with cases.case("a second shuntd does not take the same journal"):
        second = subprocess.run([SHUNTD, "--conf", shuntd.path("conf"), "--socket", shuntd.path("other")], capture_output=True, text=True, timeout=60)
        expect(second.returncode == 1 and "another shuntd keeps its rules there" in second.stderr, second.stderr)


def check(cases, shuntd):
    def says(journal):
        done = subprocess.run([SHUNTD, "--check", "--conf", shuntd.path("conf"), "--journal", journal], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr

    with cases.case("--check tells what is wrong with the journal's directory, and makes nothing"):
        expect(says(shuntd.state)[0] == 0, f"{says(shuntd.state)}")
        expect(says("off")[0] == 0 and says(shuntd.path("new"))[0] == 0 and not os.path.exists(shuntd.path("new")), "off, new")
        os.makedirs(shuntd.path("open"), mode=0o755)
        os.chmod(shuntd.path("open"), 0o755)
        for journal, sentence in ((shuntd.path("open"), "chmod 0700"), (shuntd.path("conf"), "no directory"),
                                  (shuntd.path("no/such"), "cannot be made"), ("state", "absolute path")):  # fmt: skip
            status, said = says(journal)
            expect(status == 2 and sentence in said and said.count("\n") == 1, f"{journal}: {status} {said}")


def damaged(cases, shuntd):
    with cases.case("a change that was not written to its end is dropped"):
        shuntd.adm("-A", "-t", "192.0.2.3:80", "-s", "rr")
        shuntd.kill()
        shuntd.write("state/journal", "-A -t 192.0.2.4:80 -s rr\n-A -t 192.0.2.5", "a")
        log = shuntd.began()
        expect("was not written to its end" in log and "it is dropped" in log, log)
        expect("192.0.2.3" in shuntd.rules() and "192.0.2.4" not in shuntd.rules(), shuntd.rules())
    with cases.case("a damaged journal is kept beside it, and counts as far as it is whole"):
        shuntd.adm("-A", "-t", "192.0.2.6:80", "-s", "rr")
        shuntd.adm("-A", "-t", "192.0.2.7:80", "-s", "rr")
        shuntd.kill()
        text = shuntd.read("state/journal").replace("192.0.2.7:80", "192.0.2.8:80")
        shuntd.write("state/journal", text)
        log = shuntd.began()
        expect("is damaged behind byte" in log and "journal.damaged-1" in log, log)
        expect("192.0.2.6" in shuntd.rules() and "192.0.2.8" not in shuntd.rules(), shuntd.rules())
        expect(shuntd.read("state/journal.damaged-1") == text, "it is not what it was")
        shuntd.kill()
    with cases.case("one that is damaged from its beginning leaves the rules file"):
        shuntd.write("state/journal", b"\xff" * 5000, "wb")
        log = shuntd.began()
        expect("journal.damaged-2" in log and "192.0.2.9" in shuntd.rules(), log)
        shuntd.stop()


def full(cases, folder):
    state = os.path.join(folder, "state")
    os.makedirs(state, mode=0o700)
    shuntd = Shuntd(folder, before=f"mount -t tmpfs -o size=64k,mode=700 tmpfs {state} &&")
    shuntd.began()
    inside = f"/proc/{shuntd.process.pid}/root{state}"
    try:
        with cases.case("a full disk: changes are in force, the log says that they are not on it"):
            with open(f"{inside}/other", "wb", buffering=0) as other:
                try:
                    while other.write(b"x" * 1024) == 1024:
                        pass
                except OSError:
                    pass
            servers = "".join(f"-a -f 5 -r 10.0.{n}.1:0 -m -w 1\n" for n in range(200))
            shuntd.adm("-R", text="-A -f 5 -s rr\n" + servers)
            expect(shuntd.rules().count("-a -f 5") == 200, shuntd.rules())
            tap_wait(lambda: "No space left on device" in shuntd.log(), shuntd)
            expect("a crash would lose what was changed since revision 1" in shuntd.log(), shuntd.log())
        with cases.case("and are there as soon as there is room"):
            os.remove(f"{inside}/other")
            tap_wait(lambda: "on disk again" in shuntd.log(), shuntd)
            with open(f"{inside}/journal", encoding="ascii") as file:
                expect(file.read().count("-a -f 5") == 200, "they are not in it")
    finally:
        shuntd.kill()


def tap_wait(true, shuntd):
    end = time.monotonic() + 20
    while not true():
        expect(time.monotonic() < end, shuntd.log())
        time.sleep(0.05)


def main():
    if sys.argv[1:2] == ["restore"]:
        return restore(*sys.argv[2:])
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    if not os.path.exists(SHUNTD) or not os.path.exists(SHUNT_EXEC):
        tap.skip_all("shuntd or shunt-exec is not built")
    if not shutil.which("ipvsadm", path=SYSTEM_PATH):
        tap.skip_all("ipvsadm is not installed (scripts/setup does it)")
    if subprocess.run([*APART, "true"], capture_output=True).returncode != 0:
        tap.skip_all("namespaces of mounts and networks cannot be made here")
    cases = tap.Cases()
    with tempfile.TemporaryDirectory(prefix="shunt-journal-") as folder, tempfile.TemporaryDirectory(prefix="shunt-journal-") as small:
        shuntd = Shuntd(folder)
        try:
            killed(cases, shuntd, rounds)
            which_rules(cases, shuntd)
            check(cases, shuntd)
            damaged(cases, shuntd)
            full(cases, small)
        finally:
            shuntd.kill()
    return cases.done()


if __name__ == "__main__":
    sys.exit(main())
