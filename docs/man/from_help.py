#!/usr/bin/env python3
"""from_help.py page TEMPLATE VERSION PROGRAM > the man page
from_help.py completion PROGRAM             > bash's completion of it

What a program's --help says is said nowhere else: pages and completions are made from it by the
build, so they cannot fall behind.
"""

import os
import re
import subprocess
import sys

# Of shuntadm, whose help is ipvsadm's to the letter.
BESIDES = ["--socket", "--json", "--atomic", "--sysctl"]
FILES = {"--conf", "--rules", "--socket", "--read", "--write", "--write-kernel", "--at", "--journal"}


def help_of(program):
    return subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout


def options(text):
    """[(spellings, argument, description)] of Boost's table; descriptions go on below."""
    found = []
    for line in text.splitlines():
        option = re.match(r"  (?:(-\w) \[ )?(--[\w-]+)(?: \])?(?: (\S.*?))?(?:  +|$)(.*)", line)
        if option:
            short, long, argument, about = option.groups()
            found.append([[s for s in (short, long) if s], argument or "", about])
        elif found and line.startswith(" " * 10) and line.strip():
            found[-1][2] = found[-1][2].rstrip() + " " + line.strip()
    # An argument that fills its column is followed by one blank only.
    return [(s, *_split(a, d)) for s, a, d in found]


def _split(argument, about):
    words = argument.split(" ")
    if about or len(words) == 1:
        return argument, about
    return words[0], " ".join(words[1:])


def roff(text):
    return "\n".join(
        ("\\&" if line[:1] in (".", "'") else "") + line.replace("\\", "\\e").replace("-", "\\-")
        for line in text.split("\n")
    )


def bold(word):
    return "\\fB" + roff(word) + "\\fR"


def page(template, version, program):
    with open(template, encoding="utf-8") as file:
        text = file.read()
    said = help_of(program)
    rows = options(said) if "@OPTIONS@" in text else []
    listed = "\n".join(
        ".TP\n" + ", ".join(bold(s) for s in spellings) + (" \\fI" + roff(argument) + "\\fR" if argument else "")
        + "\n" + roff(about)
        for spellings, argument, about in rows
    )  # fmt: skip
    return text.replace("@VERSION@", version).replace("@HELP@", roff(said.rstrip())).replace("@OPTIONS@", listed)


def completion(program):
    name = os.path.basename(program)
    words = re.findall(r"(?<![\w-])--[a-z][\w-]*", help_of(program))
    words = list(dict.fromkeys(words + (BESIDES if name == "shuntadm" else [])))
    files = "|".join(word for word in words if word in FILES)
    function = "_" + name.replace("-", "_")
    return f"""# bash completion of {name}, made from its --help.
{function}() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
  case $before in
    {files}) COMPREPLY=($(compgen -f -- "$word")); return ;;{KNOBS if name == "shuntadm" else ""}
  esac
  COMPREPLY=($(compgen -W "{' '.join(words)}" -- "$word"))
}}
complete -o filenames -F {function} {name}
"""


# The running daemon knows which there are.
KNOBS = """
    --sysctl) COMPREPLY=($(compgen -W "$(shuntadm --sysctl 2>/dev/null | sed 's/^net.ipv4.vs.//;s/ .*//')" -- "$word")); return ;;"""

if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    sys.stdout.write(page(*rest) if kind == "page" else completion(*rest))
