"""An operator's shell beside a running shuntd, and what the real ipvsadm said in one
(tests/golden/ipvsadm). shuntd has DPDK's null port and an /etc of its own."""

import glob
import os
import re
import subprocess
import time

from appliance import ROOT, SHUNTADM, SHUNTD
from tap import expect

GOLDEN = os.path.join(ROOT, "tests/golden/ipvsadm")
HOSTS = """127.0.0.1 localhost
10.7.7.7 an-extraordinarily-long-host-name.with.a-long.domain.example.org
10.7.7.8 server-of-thirty-chars.example
"""
SERVICES = """ssh 22/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\nhttps 443/tcp\nhttps 443/udp
sip 5060/tcp\nsip 5060/udp\nhttp-alt 8080/tcp\nhttp-alt 8080/udp\n"""
# That kernel had no twos; about the kernel's privileges; the guest's own files and loops.
LEFT_OUT = {"016-sched-twos", "076-no-root"}
UNORDERED = {"100-sort-services", "105-addresses", "077-many"}
THRESHOLDS = re.compile(r"^(-a .*?)(?: -x \d+)?(?: -y \d+)?( --tun.*)?$", re.M)
APART = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "--net"]
# By shuntadm; by ipvsadm, in the words of its C library.
REFUSED = ("--start-daemon is refused: connections are not synchronized yet\n", "Function not implemented\n")


class Operator:
    """shuntd, and a shell in which ipvsadm is shuntadm, or the script `ipvsadm`."""

    def __init__(self, folder, ipvsadm=None):
        self.folder, self.socket = folder, os.path.join(folder, "socket")
        self.write("conf", f"port = p0 net_null0,no-rx=1\ntwin = p0 operator0\nsocket = {self.socket}\nworkers = 1\nidle = sleep\nsessions = 1024\n"
                   "eal = --no-pci --no-huge --no-shconf --no-telemetry -m 256 --iova-mode=va "
                   f"--file-prefix=shunt-operator-{os.getpid()}\n")  # fmt: skip
        for name, text in {"etc/hosts": HOSTS, "etc/services": SERVICES, "rules": "",
                           "etc/nsswitch.conf": "hosts: files\nservices: files\n",
                           "bin/ipvsadm-save": '#!/bin/sh\nexec ipvsadm -S "$@"\n'}.items():  # fmt: skip
            self.write(name, text)
        os.chmod(self.path("bin/ipvsadm-save"), 0o755)
        if ipvsadm:
            self.write("bin/ipvsadm", ipvsadm.format(folder=folder))
            os.chmod(self.path("bin/ipvsadm"), 0o755)
        else:
            os.symlink(SHUNTADM, self.path("bin/ipvsadm"))
        os.mkdir(self.path("run"))
        self.environment = {**os.environ, "SHUNT_SOCKET": self.socket, "PATH": f"{self.path('bin')}:{os.environ['PATH']}"}
        with open(self.path("log"), "wb") as log:
            self.process = subprocess.Popen(
                [*APART, "sh", "-c", 'ip link set lo up && exec "$@"', "-", SHUNTD, "--conf", self.path("conf"),
                 "--rules", self.path("rules")], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        end = time.monotonic() + 60
        while not os.path.exists(self.socket):
            with open(self.path("log"), encoding="utf-8", errors="replace") as log:
                expect(self.process.poll() is None and time.monotonic() < end, f"shuntd does not start: {log.read()}")
            time.sleep(0.05)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def adm(self, *words, text=""):
        done = subprocess.run([SHUNTADM, *words], input=text, capture_output=True, text=True, env=self.environment)
        return done.returncode, done.stdout, done.stderr

    def good(self, *words, text=""):
        status, out, err = self.adm(*words, text=text)
        expect(status == 0 and not err, f"shuntadm {' '.join(words)}: {status} {err}")
        return out

    def empty(self):
        self.good("-C")
        self.good("--set", "900", "120", "300")

    def shell(self, lines):
        """(status, output, errors) of each line; what `tee` saves stays for the lines that follow."""
        script = [f"mount --bind {self.path('etc')} /etc; mount --bind {self.path('run')} /run"]
        for number, line in enumerate(lines):
            where = self.path(f"answer-{number}")
            script.append(f"{{ {line}\n}} >{where}.1 2>{where}.2 </dev/null; echo $? >{where}.0")
        subprocess.run([*APART, "bash", "-c", "\n".join(script)], env=self.environment, check=True)
        return [[open(self.path(f"answer-{n}.{part}"), encoding="utf-8").read() for part in range(3)] for n in range(len(lines))]

    def end(self):
        self.process.terminate()
        return self.process.wait(10)


def recorded(path):
    """[(line, status, output, errors)]"""
    steps = []
    with open(path, encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith("$ "):
                steps.append([line[2:], None, "", ""])
            elif line[:2] in ("1|", "2|"):
                steps[-1][2 if line[0] == "1" else 3] += line[2:] + "\n"
            elif line.startswith("="):
                steps[-1][1] = line[1:]
    return steps


def replay(operator, path):
    """None, or what is not built."""
    name = os.path.splitext(os.path.basename(path))[0]
    steps = recorded(path)
    daemon = next((n for n, s in enumerate(steps) if "--start-daemon" in s[0] and s[1] == "0"), len(steps))
    chosen = [s for n, s in enumerate(steps) if "ipvsadm" in s[0] and "/proc/" not in s[0]
              and not (n >= daemon and "daemon" in s[0])]  # fmt: skip
    operator.empty()
    for step, answer in zip(chosen, operator.shell([s[0].replace('\\\\"', '"') for s in chosen])):
        if answer[2] in REFUSED:
            continue  # docs/differences.md: start-daemon
        if "not built yet: " in answer[2]:
            return answer[2].strip()
        ours, theirs = [answer[0].strip(), THRESHOLDS.sub(r"\1\2", answer[1]), answer[2]], step[1:]
        if name in UNORDERED:
            ours, theirs = [[x[0], *(sorted(y.splitlines()) for y in x[1:])] for x in (ours, theirs)]
        expect(ours == theirs, f"{name}: {step[0]}\n  ipvsadm: {theirs}\n  Shunt:   {ours}")
    return None


def replay_all(cases, operator, left_out=LEFT_OUT):
    for path in sorted(glob.glob(os.path.join(GOLDEN, "*.txt"))):
        name = os.path.splitext(os.path.basename(path))[0]
        if name in left_out:
            continue
        with cases.case(f"{name} as recorded"):
            if lacking := replay(operator, path):
                print(f"# {name} ends early: {lacking}")
