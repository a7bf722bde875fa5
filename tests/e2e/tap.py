"""The Test Anything Protocol, which meson reads case by case: with tap.case("name"): ..."""

import contextlib
import sys
import traceback

from lab import Failure


class Cases:
    def __init__(self):
        self.count = 0
        self.failed = 0

    @contextlib.contextmanager
    def case(self, name):
        """A case passes when its block ends without a Failure or a failed assertion."""
        self.count += 1
        try:
            yield
        except Exception as error:  # pylint: disable=broad-except
            self.failed += 1
            print(f"not ok {self.count} - {name}")
            for line in str(error).splitlines():
                print(f"# {line}")
            if not isinstance(error, Failure):
                for line in traceback.format_exc().splitlines():
                    print(f"# {line}")
        else:
            print(f"ok {self.count} - {name}")
        sys.stdout.flush()

    def skip(self, name, reason):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}")

    def done(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0


def expect(true, sentence):
    if not true:
        raise Failure(sentence)


def skip_all(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)
