#!/usr/bin/env python3
"""install_test.py BUILD PREFIX SYSCONFDIR: what `meson install` leaves, in a folder of its own: programs that
run from there, a conf file and a unit that name what is installed, pages that tell every option,
completions that complete. Exit 0, or 1 with a sentence each.
"""

import os
import re
import subprocess
import sys
import tempfile

PROGRAMS = {"sbin/shuntd": "share/man/man8/shuntd.8", "sbin/shuntadm": "share/man/man8/shuntadm.8",
            "bin/shunt-replay": "share/man/man1/shunt-replay.1", "bin/shunt-exec": "share/man/man1/shunt-exec.1"}  # fmt: skip
COMPLETE = 'source "$1"; COMP_WORDS=("$2" "${@:3}"); COMP_CWORD=$(($# - 2)); "_${2//-/_}"; echo "${COMPREPLY[*]}"'


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def check_program(root, program, page):
    """Sentences about what is wrong."""
    path, name = os.path.join(root, program), os.path.basename(program)
    status, said, _ = run(path, "--help")
    options = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", said))
    if status != 0 or len(options) < (4 if name == "shunt-exec" else 10):
        yield f"{program} --help says little, and exits with {status}"
    told = read(os.path.join(root, page)).replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
    yield from (f"{page} does not tell about {o}" for o in options if not re.search(rf"{o}(?![\w-])", told))
    script = os.path.join(root, "share/bash-completion/completions", name)

    def complete(*words):
        return run("bash", "-c", COMPLETE, "-", script, name, *words)[1].split()

    if not options <= set(complete("--")):
        yield f"{name}'s completion lacks {' '.join(sorted(options - set(complete('--'))))}"
    first = sorted(options)[0]
    if complete(first) != [o for o in complete("--") if o.startswith(first)]:
        yield f"{name}'s completion of {first} is {complete(first)}"


def check(folder, root, etc):
    for program, page in PROGRAMS.items():
        yield from check_program(root, program, page)
    unit = read(os.path.join(root, "lib/systemd/system/shunt.service"))
    users = read(os.path.join(root, "lib/sysusers.d/shunt.conf"))
    user = re.search(r"^User=(.*)", unit, re.M)[1]
    if not re.search(rf"^u {user} ", users, re.M):
        yield f"nobody makes the unit's user {user}"
    conf = os.path.join(etc, "shunt.conf")
    at_home = conf.removeprefix(folder)
    for command in re.findall(r"^Exec\w+=(.*)", unit, re.M):
        program, *words = command.lstrip("-").split()
        if not os.path.exists(folder + program) or at_home not in words:
            yield f"the unit's {command} is not what is installed"
    for name in "shunt.conf", "services.rules":
        if not os.path.exists(os.path.join(etc, name)):
            yield f"there is no {name}"
    rules = os.path.join(etc, "services.rules")
    if f"rules = {rules.removeprefix(folder)}\n" not in read(conf):
        yield "the conf file names other rules than those installed"
    # As installed it names no port, and says so.
    status, _, said = run(os.path.join(root, "sbin/shuntd"), "--check", "--conf", conf, "--rules", rules)
    if status != 2 or "there is no port" not in said or said.count("\n") != 1:
        yield f"shuntd --check of the installed conf file says {said!r} and exits with {status}"
    status, said, _ = run(os.path.join(root, "sbin/shuntd"), "--check", "--conf", conf, "--rules", rules,
                          "--port", "p0 net_null0")  # fmt: skip
    if status != 0:
        yield f"shuntd --check with a port exits with {status}"


def main():
    build, prefix, sysconfdir = sys.argv[1:4]
    with tempfile.TemporaryDirectory(prefix="shunt-install-") as folder:
        status, said, wrong = run("meson", "install", "-C", build, "--no-rebuild", "--destdir", folder)
        if status != 0:
            sys.exit(f"meson install fails: {(wrong or said)[-500:]}")
        root = folder + prefix
        etc = os.path.join(folder + os.path.join(prefix, sysconfdir), "shunt")
        found = list(check(folder, root, etc))
    print("\n".join(found) if found else "all is there")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
