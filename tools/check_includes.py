#!/usr/bin/python3
"""Checks who includes whom, from the #include lines of the tree.

Each folder of the product names the folders of ours that it may include and the outside libraries
that only some may touch.  Usage: tools/check_includes.py [ROOT]; prints FILE:LINE: what is wrong.
"""
import os
import re
import sys

# folder: what it may include of ours, besides itself. The longest prefix of a file's path counts.
SHARED = ("dataplane/base", "dataplane/api", "dataplane/media")
MAY_INCLUDE = {
    "dataplane/base": (),
    "dataplane/api": ("dataplane/base",),
    "dataplane/media": ("dataplane/base",),
    "dataplane/session": SHARED,
    # Of the slow path the packet path knows only what is published to it.
    "dataplane/node": SHARED + ("dataplane/session/flow.h", "dataplane/session/flow_worker.h"),
    "dataplane/main": SHARED + ("dataplane/session", "dataplane/node"),
    "recorder": SHARED + ("recorder",),
    "recorder/log": ("dataplane/base",),
    "control": SHARED + ("recorder/log", "control"),
    "control/sip": SHARED,
    "control/pbx": SHARED + ("recorder/log", "control/b2bua", "control/tiers"),
    "tools": ("",),
    "tests": ("",),
}
# outside headers: the folders that may include them.
ONLY_IN = [
    (re.compile(r"rte_\w+\.h$"), ("dataplane/session", "dataplane/node", "dataplane/main",
                                  "tests/unit", "tests/fuzz", "tests/bench")),
    (re.compile(r"liburing(/|\.h$)"), ("recorder/log", "recorder/intake")),
    (re.compile(r"srtp2?/"), ("dataplane/media", "dataplane/session", "tests", "tools")),
    (re.compile(r"(libpq-fe|sqlite3|hiredis/.*)\.h$"), ("control/tiers", "tests", "tools")),
]
INCLUDE = re.compile(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')


def inside(path, folder):
    return not folder or path == folder or path.startswith(folder.rstrip("/") + "/")


def rule_of(path):
    found = [folder for folder in MAY_INCLUDE if inside(path, folder)]
    return max(found, key=len) if found else None


def source_files(root):
    for top in ("dataplane", "recorder", "control", "tools", "tests"):
        for directory, _, names in sorted(os.walk(os.path.join(root, top))):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(directory, name), root)


def check_file(root, path):
    own = path[:-2] + ".h"
    rule = rule_of(path)
    outside_seen = False
    ours_seen = 0
    with open(os.path.join(root, path), errors="replace") as file:
        lines = file.read().splitlines()
    is_bpf = path.endswith(".bpf.c")
    for number, line in enumerate(lines, 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        ours, outside = found.groups()
        at = "%s:%d: " % (path, number)
        if outside:
            outside_seen = True
            for pattern, folders in ONLY_IN:
                if pattern.match(outside) and not any(inside(path, one) for one in folders):
                    yield at + "<%s> belongs to %s" % (outside, ", ".join(folders))
            continue
        if ours.endswith("_bpf.h"):
            continue  # generated from a kernel program
        if is_bpf and "/" not in ours:
            continue  # built by clang -target bpf, which is given no root
        if not os.path.exists(os.path.join(root, ours)):
            yield at + '"%s" is not a path from the repository root' % ours
            continue
        if outside_seen and not is_bpf:
            yield at + "ours come before <...>"
        ours_seen += 1
        if path.endswith(".c") and os.path.exists(os.path.join(root, own)) and ours_seen == 1 \
                and ours != own and not (os.path.dirname(ours) == os.path.dirname(path)
                                         and ours.endswith("internal.h")):
            yield at + 'own header "%s" comes first' % own
        if rule is None:
            continue
        allowed = MAY_INCLUDE[rule] + (rule,)
        if rule == "recorder":
            # recorder/X includes its siblings, but nobody is above main.
            if inside(ours, "recorder/main") and not inside(path, "recorder/main"):
                yield at + "nobody includes recorder/main"
        if rule == "control" and inside(ours, "control/main") and not inside(path, "control/main"):
            yield at + "nobody includes control/main"
        if not any(inside(ours, folder) for folder in allowed):
            yield at + '%s may not include "%s" (only %s)' % (rule, ours, ", ".join(allowed))


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else \
        os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    problems = [problem for path in source_files(root) for problem in check_file(root, path)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


sys.exit(main())
