#!/usr/bin/env python3
"""Every bug that scripts/oracle --prove plants has its place in the sources, once, and changes it."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bugs  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Bugs(unittest.TestCase):
    def test_can_be_planted(self):
        for bug in bugs.BUGS:
            with self.subTest(bug.name):
                with open(os.path.join(ROOT, bug.file), encoding="utf-8") as file:
                    self.assertEqual(file.read().count(bug.before), 1)
                self.assertNotEqual(bug.before, bug.after)

    def test_are_enough(self):
        self.assertGreaterEqual(len(bugs.BUGS), 20)


if __name__ == "__main__":
    unittest.main()
