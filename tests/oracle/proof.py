"""The harness proves itself: bugs are planted in a copy of Shunt, one at a time, and must be found.

The real side answers the scenarios once; each bug is compared with these answers. The copy is built
in build/oracle-proof of the tree it is a copy of, and only shunt-replay is built.
"""

import os
import shutil
import subprocess

import bugs

FOLDERS = ("app", "lib", "conf", "docs", "scripts", "tests", "meson.build")
REPLAY = "app/shunt-replay/shunt-replay"


class Copy:
    """A copy of the tree's sources with a build directory in it."""

    def __init__(self, root, folder):
        self._tree = os.path.join(folder, "tree")
        self._build = os.path.join(folder, "build")
        shutil.rmtree(self._tree, ignore_errors=True)
        skip = shutil.ignore_patterns("__pycache__", "build*", ".*")
        for name in FOLDERS:
            source, target = os.path.join(root, name), os.path.join(self._tree, name)
            os.makedirs(self._tree, exist_ok=True)
            # As new files: what the build directory has may come from the bugs of another run.
            if os.path.isdir(source):
                shutil.copytree(source, target, ignore=skip, copy_function=shutil.copy)
            else:
                shutil.copy(source, target)
        if not os.path.exists(os.path.join(self._build, "build.ninja")):
            # Whether it is fast does not matter, whether it is built fast does.
            command = ["meson", "setup", self._build, self._tree, "--optimization=1", "-Dwerror=false"]
            self._call(command)

    @property
    def binary(self):
        return os.path.join(self._build, REPLAY)

    def build(self):
        self._call(["nice", "ninja", "-C", self._build, REPLAY])

    def _call(self, command):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-1000:]}")

    def plant(self, bug):
        """Writes the bug; False if its place is not there, or not once."""
        path = os.path.join(self._tree, bug.file)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if text.count(bug.before) != 1:
            return False
        self._before = path, text
        self._write(path, text.replace(bug.before, bug.after))
        return True

    def remove(self):
        self._write(*self._before)

    def _write(self, path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def find(run, copy, scenarios, answers):
    """(number of the first scenario that shows a difference, the difference), or None."""
    run.binary = copy.binary
    for scenario, answer in zip(scenarios, answers):
        [found] = run.differences([scenario], [answer])
        if found:
            return scenario["number"], found[0]
    return None


def prove(root, build, run, scenarios):
    """Plants every bug; how many were not found. Prints a line for each."""
    answers = run.answers(scenarios)
    copy = Copy(root, os.path.join(build, "oracle-proof"))
    copy.build()
    run.binary = copy.binary
    clean = [not found for found in run.differences(scenarios, answers)]
    if not all(clean):
        print(f"{clean.count(False)} scenarios differ without a bug and prove nothing: left out")
        scenarios = [s for s, same in zip(scenarios, clean) if same]
        answers = [a for a, same in zip(answers, clean) if same]
    missed = 0
    for bug in bugs.BUGS:
        planted = copy.plant(bug)
        if planted:
            copy.build()
            found = find(run, copy, scenarios, answers)
            copy.remove()
        if not planted:
            print(f"CANNOT BE PLANTED  {bug.name}: its place in {bug.file} is gone")
        elif found is None:
            print(f"NOT FOUND          {bug.name}")
        else:
            print(f"found              {bug.name}: scenario {found[0]}, {str(found[1])[:160]}")
        missed += not planted or found is None
        print(end="", flush=True)
    print(f"{len(bugs.BUGS) - missed} of {len(bugs.BUGS)} planted bugs found")
    return missed
