#!/usr/bin/python3
"""Checks how long lines, functions and files are, and that no note-to-self is left in them.

A .c file has at most 850 lines, a function at most 80 (120 in tests, which carry tables), a line at most 100 columns (tabs of 8; a
line that is one long word, such as a test vector, may be longer).
Usage: tools/check_lengths.py [ROOT]; prints FILE:LINE: what is wrong.
"""
import os
import re
import subprocess
import sys

FILE_MAX, FUNCTION_MAX, TABLE_FUNCTION_MAX, COLUMNS_MAX = 850, 80, 120, 100
# Spelled so that this file does not find itself.
MARKER = re.compile(r"\b(%s)\b" % "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")))
CODE = (".c", ".h")
TEXT = CODE + (".py", ".sh", ".build", ".md", ".xml", ".yml", ".yaml", ".in", ".service")
SCRIPTS = ("tools/run", "tools/test", "tools/packages", ".ci/run")


def files(root):
    """Tracked files and those about to be."""
    result = subprocess.run(["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-co",
                             "--exclude-standard"], capture_output=True, text=True, check=True)
    return [path for path in sorted(set(result.stdout.splitlines()))
            if os.path.isfile(os.path.join(root, path))]


def check_code(path, lines):
    if path.endswith(".c") and len(lines) > FILE_MAX:
        yield "%s:%d: %d lines, at most %d" % (path, len(lines), len(lines), FILE_MAX)
    most = TABLE_FUNCTION_MAX if path.startswith("tests/") else FUNCTION_MAX
    start = None
    for number, line in enumerate(lines, 1):
        columns = len(line.expandtabs(8))
        if columns > COLUMNS_MAX and len(line.split()) > 2:
            yield "%s:%d: %d columns, at most %d" % (path, number, columns, COLUMNS_MAX)
        if line == "{":
            start = number
        elif line.startswith("}") and start:
            if line == "}" and number - start - 1 > most:
                yield "%s:%d: a function of %d lines, at most %d" % (
                    path, start, number - start - 1, most)
            start = None


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else \
        os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    problems = []
    for path in files(root):
        if not (path.endswith(TEXT) or path in SCRIPTS):
            continue
        if path.startswith("tests/data/"):
            continue
        with open(os.path.join(root, path), errors="replace") as file:
            lines = file.read().splitlines()
        for number, line in enumerate(lines, 1):
            if MARKER.search(line):
                problems.append("%s:%d: a note-to-self: %s" % (path, number, line.strip()))
        if path.endswith(CODE):
            problems += check_code(path, lines)
            if not any(line.startswith(("/*", "//")) for line in lines[:3]):
                problems.append("%s:1: does not open with what it is for" % path)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


sys.exit(main())
