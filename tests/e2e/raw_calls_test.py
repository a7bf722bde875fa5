#!/usr/bin/env python3
"""Programs that make their system calls themselves, against a running shuntd (shunt-exec by seccomp):
one in Go, linked statically, and others that need a library only, by this method too.

raw_calls_test.py [--recorded]   also every recorded session with ipvsadm, which takes half a minute
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import tap
from appliance import BUILD, ROOT, SHUNTD
from ipvsadm_test import OWN_TEXTS, SHUNT_EXEC, SYSTEM_PATH, Programs, files, killed, unprivileged
from lab import wait_until
from tap import expect
from transcripts import APART, LEFT_OUT, Operator, replay_all

IPVSADM = (f'#!/bin/sh\nPATH={SYSTEM_PATH} exec {SHUNT_EXEC} --method seccomp --socket {{folder}}/ipvs.sock ipvsadm "$@"\n')
PROBE = os.path.join(ROOT, "tests/e2e/netlink_probe.py")
# Of Linux 6.1.176 with its own IPVS, which besides has the older interface.
PROBED = """families True 16 ENOENT (0, 1)
names (0, 0) True 0 True
options True 1
connected None 20 0
a copy (0, 1)
a child (0, 1)
its parent (0, 1)
nothing []
ready 1 0
a time limit EAGAIN True
after a signal (0, 1)
a piece True 16 True (0, 0)
pieces 36 2 0 (0, 0)
interrupted {(0, 1)} []
the older interface ENOPROTOOPT
as root (0, 1)
as nobody ('EPERM', 0) True
"""


def build_go(folder):
    """The Go program, linked statically; its compiled libraries stay in the build directory."""
    program = os.path.join(folder, "ipvs_client")
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "CGO_ENABLED": "0",
                   "GOCACHE": os.path.join(BUILD, "go-cache")}  # fmt: skip
    done = subprocess.run(["go", "build", "-o", program, os.path.join(ROOT, "tests/e2e/go/ipvs_client.go")],
                          capture_output=True, text=True, env=environment)  # fmt: skip
    expect(done.returncode == 0, done.stderr)
    return program


def go_client(cases, operator, programs, client):
    operator.empty()

    def same_list():
        ours = programs.good(client, "list").splitlines()
        ipvsadms = re.sub(r" --tun-type ipip| -p 0", "", programs.good("ipvsadm", "-S", "-n"))
        expect(ours == sorted(line.rstrip() for line in ipvsadms.splitlines()), f"{ours}\nipvsadm: {ipvsadms}")
        return len(ours)

    with cases.case("a static Go program adds services and servers, and lists what ipvsadm lists"):
        programs.good(client, "add-service:tcp/10.0.0.1/80/rr", "add-server:tcp/10.0.0.1/80/10.1.0.1/8080/3",
                      "add-server:tcp/10.0.0.1/80/10.1.0.2/8080", "add-service:udp/2001:db8::1/53/wlc",
                      "add-server:udp/2001:db8::1/53/2001:db8:1::1/53/2")  # fmt: skip
        expect(same_list() == 5, "not five lines")
    with cases.case("what it may not do it is told as by the kernel"):
        status, _, err = programs.run(client, "add-service:tcp/10.0.0.1/80/rr")
        expect(status == 1 and "file exists" in err, f"{status} {err}")
        status, _, err = programs.run(client, "delete-server:tcp/10.0.0.1/80/10.1.0.9/8080")
        expect(status == 1 and "no such file" in err, f"{status} {err}")
        status, _, err = Programs(operator, "seccomp").run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", client, "list")
        expect(status == 2 and "operation not permitted" in err, f"{status} {err}")
    with cases.case("it deletes servers and services"):
        programs.good(client, "delete-server:tcp/10.0.0.1/80/10.1.0.2/8080", "delete-service:udp/2001:db8::1/53")
        expect(same_list() == 2, "not two lines")
        programs.good(client, "flush")
        expect(same_list() == 0, "something is left")


def before_the_daemon(cases, folder, client):
    """Starts programs by both methods; what is returned starts the daemon and waits for them."""
    socket = os.path.join(folder, "ipvs.sock")
    started = {p: subprocess.Popen([SHUNT_EXEC, "--socket", socket, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "PATH": SYSTEM_PATH})
               for p, words in (("static", [client, "list"]), ("dynamic", ["ipvsadm", "-S", "-n"]))}  # fmt: skip
    time.sleep(1.5)

    def finish():
        for name, waiting in started.items():
            with cases.case(f"a {name} program waits for the daemon, and says so"):
                out, err = waiting.communicate(timeout=30)
                said = f"shunt-exec: waiting for shuntd at {socket} (No such file or directory), 30 seconds at most\n"
                expect((waiting.returncode, out, err) == (0, "", said), f"{waiting.returncode} {out} {err}")

    return finish


def refusals(cases, programs):
    with cases.case("what is not possible is said in a sentence"):
        status, _, err = programs.run("true")
        expect(status == 0, err)
        few = subprocess.run(["prlimit", "--nofile=100:100", *programs.command("true")], capture_output=True, text=True)
        expect(few.returncode == 126 and "128 are the least" in few.stderr, f"{few}")
        status, _, err = programs.run(*programs.command("true"))
        expect(status == 126 and "another supervisor already" in err, f"{status} {err}")
        status, _, err = Programs(programs.operator, "none").run("true")
        expect(status == 2 and "none of auto, preload, seccomp" in err, f"{status} {err}")
    with cases.case("a program in a network namespace of its own is served there"):
        programs.good("unshare", "--net", "ipvsadm", "-Ln")
        programs.good("unshare", "--net", "--map-root-user", "ipvsadm", "-Ln")


def supervisors_of(programs):
    """The processes that supervise programs of this operator."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/comm", encoding="utf-8") as comm, open(f"/proc/{name}/cmdline", encoding="utf-8") as words:
                if comm.read() == "shunt-exec\n" and programs.socket in words.read().split("\0"):
                    found.append(int(name))
        except OSError:
            pass
    return found


def started_by_others(cases, operator, client):
    """A static program that a dynamic one starts is supervised, however it is started."""
    operator.empty()
    operator.good("-A", "-t", "10.0.0.1:80")
    wanted = "-A -t 10.0.0.1:80 -s wlc\n"
    dynamic = Programs(operator, "preload")
    python = f"import os, subprocess, sys; words = [{client!r}, 'list']; sys.stdout.flush(); "
    for name, words in {
        "execve": ["sh", "-c", f"{client} list; true"],
        "execvp": ["env", client, "list"],
        "execvp with a search": ["env", f"PATH={os.path.dirname(client)}", "ipvs_client", "list"],
        "execv": [sys.executable, "-c", python + "os.execv(words[0], words)"],
        "posix_spawn": [sys.executable, "-c", python + "os.waitpid(os.posix_spawn(words[0], words, os.environ), 0)"],
        "vfork and execve": [sys.executable, "-c", python + "subprocess.run(words, check=True)"],
        "a shell's shell": ["sh", "-c", f"sh -c '{client} list | cat'; :"],
    }.items():
        with cases.case(f"a static program that a dynamic one starts: {name}"):
            expect(dynamic.good(*words) == wanted, "not the daemon's list")


def process(cases, programs):
    with cases.case("exit status, signals, streams and children are the program's own"):
        expect(programs.run("sh", "-c", "exit 7")[0] == 7, "not 7")
        expect(programs.run("sh", "-c", "kill -TERM $$")[0] == -signal.SIGTERM, "not by SIGTERM")
        expect(programs.run("cat", text="in and out")[1] == "in and out", "its streams")
        expect(programs.good("sh", "-c", "cat /proc/$$/task/$$/children").split()[1:] == [], "a child that it has not made")
        started = subprocess.Popen(programs.command("sh", "-c", "kill -STOP $$; echo on; sleep 60"), stdout=subprocess.PIPE, text=True)
        wait_until(lambda: os.waitid(os.P_PID, started.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT), "it did not stop")
        started.send_signal(signal.SIGCONT)
        expect(started.stdout.readline() == "on\n", "it did not go on")
        started.send_signal(signal.SIGINT)
        expect(started.wait(10) == -signal.SIGINT, f"{started.returncode}")
        wait_until(lambda: not supervisors_of(programs), "a supervisor is left")
    with cases.case("signals do not end the supervisor; without it, calls are refused with ENOSYS"):
        sh = subprocess.Popen(programs.command("sh", "-c", "echo on; while read file; do cat $file; done; :"), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        expect(sh.stdout.readline() == "on\n", "it does not begin")
        (supervisor,) = supervisors_of(programs)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(supervisor, number)
        sh.stdin.write("/proc/sys/net/ipv4/vs/drop_entry\n")
        sh.stdin.flush()
        expect(sh.stdout.readline() == "0\n", "no answer")
        os.kill(supervisor, signal.SIGKILL)
        _, err = sh.communicate("/etc/hostname\n", timeout=10)
        expect("not implemented" in err or "libc.so.6" in err, err)


def main():
    if not os.path.exists(SHUNTD) or not os.path.exists(SHUNT_EXEC):
        tap.skip_all("shuntd or shunt-exec is not built")
    if lacking := [p for p in ("ipvsadm", "go") if not shutil.which(p, path=SYSTEM_PATH)]:
        tap.skip_all(f"{lacking[0]} is not installed (scripts/setup does it)")
    if subprocess.run([*APART, "true"], capture_output=True).returncode != 0:
        tap.skip_all("namespaces of mounts and networks cannot be made here")
    cases = tap.Cases()
    with tempfile.TemporaryDirectory(prefix="shunt-raw-") as folder:
        os.chmod(folder, 0o755)  # for a user of no name
        client = build_go(folder)
        finish = before_the_daemon(cases, folder, client)
        operator = Operator(folder, IPVSADM)
        programs = Programs(operator, "seccomp")
        try:
            finish()
            go_client(cases, operator, Programs(operator), client)
            started_by_others(cases, operator, client)
            refusals(cases, programs)
            for method in ("seccomp", "preload"):
                with cases.case(f"a generic-netlink socket is as the kernel's ({method})"):
                    status, out, err = Programs(operator, method).run(sys.executable, PROBE)
                    expect((status, out) == (0, PROBED), f"{status} {out} {err}")
            if "--recorded" in sys.argv:
                replay_all(cases, operator, LEFT_OUT | OWN_TEXTS)
            files(cases, operator, programs)
            unprivileged(cases, programs)
            process(cases, programs)
            killed(cases, operator, programs)
        finally:
            operator.process.kill()
            operator.process.wait()
    return cases.done()


if __name__ == "__main__":
    sys.exit(main())
