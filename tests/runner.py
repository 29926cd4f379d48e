"""Runs the tests that tools/test was asked for.

A test has a name AREA/WHAT and is a function that returns, raises AssertionError (or anything else)
with the reason for its failure, or raises Skipped with a reason. Areas in their order:

  checks    the source itself: includes, format, lengths, scripts
  build     gcc (release), gcc with sanitizers, clang
  unit      the unit tests of the release build
  sanitize  the unit tests and the replay of the fuzz corpora, address and undefined sanitizers
  smoke     supervisor, start script, commands
  e2e       calls between real programs in network namespaces
"""
import fnmatch
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from support import network  # noqa: E402
from support.case import Case, Skipped  # noqa: E402

BUILD = os.environ.get("TANDEM_BUILD") or os.path.join(ROOT, "build")


class Test:
    def __init__(self, name, function, title=""):
        self.name, self.function, self.title = name, function, title


def run_command(argv, timeout=300, **options):
    """Output of a command; AssertionError with the end of it when it fails."""
    result = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout,
                            cwd=options.pop("cwd", ROOT), **options)
    if result.returncode:
        raise AssertionError("%s: status %d\n%s" % (" ".join(argv), result.returncode,
                                                    result.stdout[-6000:]))
    return result.stdout


# ---- checks ---------------------------------------------------------------------------------

def tracked(*patterns):
    names = run_command(["git", "-c", "safe.directory=*", "ls-files"] + list(patterns)).split("\n")
    return [name for name in names if name and os.path.exists(os.path.join(ROOT, name))]


def check_format():
    run_command(["clang-format", "--dry-run", "-Werror"] + tracked("*.c", "*.h"))


def check_scripts():
    for name in tracked("tools/run", "tools/test", "tools/packages", "*.sh", ".ci/run"):
        run_command(["bash", "-n", name])
    for name in tracked("*.py"):
        with open(os.path.join(ROOT, name)) as file:
            compile(file.read(), name, "exec")


def check_packages():
    """What the build asks pkg-config for comes from a package of the list."""
    listed = set(run_command(["tools/packages", "build", "test"]).split())
    asked = set()
    for name in tracked("meson.build", "*/meson.build"):
        with open(os.path.join(ROOT, name)) as file:
            asked |= set(re.findall(r"\bdependency\('([^']+)'", file.read()))
    missing = []
    for name in sorted(asked - {"threads"}):
        folder = run_command(["pkg-config", "--variable=pcfiledir", name]).strip()
        owner = run_command(["dpkg-query", "-S", "%s/%s.pc" % (folder, name)]).split(":")[0]
        if owner not in listed:
            missing.append("%s (for %s)" % (owner, name))
    assert not missing, "not in tools/packages: " + ", ".join(missing)


def check_top_level():
    allowed = {"dataplane", "recorder", "control", "tools", "tests", ".ci", "docs"}
    found = {name.split("/")[0] for name in tracked() if "/" in name}
    assert found <= allowed, "folders outside the tree's layout: %s" % sorted(found - allowed)


CHECKS = [
    Test("checks/includes", lambda: run_command(["tools/check_includes.py"]),
         "who includes whom"),
    Test("checks/format", check_format, "clang-format agrees"),
    Test("checks/lengths", lambda: run_command(["tools/check_lengths.py"]),
         "files, functions and lines are short, no notes-to-self"),
    Test("checks/scripts", check_scripts, "scripts parse"),
    Test("checks/packages", check_packages, "what the build needs is in tools/packages"),
    Test("checks/layout", check_top_level, "the top level is as designed"),
]


# ---- builds ---------------------------------------------------------------------------------

BUILDS = {
    "release": (BUILD, [], {}),
    "sanitize": (BUILD + "-sanitize",
                 # Under the sanitizers gcc's flow warnings see things that are not there.
                 ["--buildtype=debugoptimized", "-Doptimization=1", "-Dwerror=false",
                  "-Db_sanitize=address,undefined"], {}),
    # For its warnings.
    "clang": (BUILD + "-clang", ["--buildtype=debug", "-Doptimization=1"], {"CC": "clang"}),
}
built = {}


def build(which, compile=True):
    directory, options, environment = BUILDS[which]
    if which in built:
        assert built[which], "the %s build failed" % which
        return directory
    built[which] = False
    environment = dict({"CC": "gcc"}, **environment)
    if not os.path.exists(os.path.join(directory, "build.ninja")):
        shutil.rmtree(directory, ignore_errors=True)
        run_command(["meson", "setup", directory, ROOT] + options, timeout=300,
                    env=dict(os.environ, **environment))
    if not json.loads(run_command(["meson", "introspect", "--tests", directory])):
        # tools/run leaves them out.
        run_command(["meson", "configure", directory, "-Dtests=true"])
    if compile:
        run_command(["ninja", "--quiet", "-C", directory], timeout=1500)
    built[which] = True
    return directory


def build_tests():
    return [Test("build/" + which, lambda which=which: build(which), title) for which, title in
            [("release", "gcc, release"), ("sanitize", "gcc, address and undefined sanitizers"),
             ("clang", "clang compiles it without a warning")]]


class MesonTests:
    """The tests that meson knows in a build directory, run one by one."""

    def __init__(self, area, which, suites):
        self.area, self.which, self.suites = area, which, suites

    def find(self, listing):
        try:
            directory = build(self.which, compile=not listing)
        except AssertionError as error:
            def fail(error=error):
                raise error
            return [Test(self.area, fail, "the %s build" % self.which)]
        listed = json.loads(run_command(["meson", "introspect", "--tests", directory]))
        return [Test("%s/%s" % (self.area, test["name"].replace(" ", "-")),
                     lambda test=test: self.run(directory, test))
                for test in listed
                if any(suite.split(":")[-1] in self.suites for suite in test["suite"])]

    def run(self, directory, test):
        environment = dict(os.environ, ASAN_OPTIONS="abort_on_error=0:detect_leaks=1",
                           UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1", **(test["env"]))
        try:
            result = subprocess.run(test["cmd"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True, errors="replace",
                                    env=environment, cwd=test["workdir"] or directory,
                                    timeout=max(test["timeout"], 30) * 4)
        except subprocess.TimeoutExpired as error:
            raise AssertionError("still running after %d s\n%s" % (
                error.timeout, (error.stdout or b"").decode(errors="replace")[-4000:])) from None
        if result.returncode == 77:
            raise Skipped((result.stdout.strip().splitlines() or ["no reason given"])[-1])
        assert result.returncode == 0, "status %d\n%s" % (result.returncode, result.stdout[-8000:])


# ---- scenarios ------------------------------------------------------------------------------

def scenario_tests(area, keep):
    """Functions marked with @scenario in tests/AREA/*.py; each gets a Case of its own."""
    found = []
    folder = os.path.join(ROOT, "tests", area)
    if not os.path.isdir(folder):
        return found
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".py"):
            continue
        spec = importlib.util.spec_from_file_location("%s_%s" % (area, name[:-3]),
                                                      os.path.join(folder, name))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for function in vars(module).values():
            if hasattr(function, "scenario"):
                found.append(Test("%s/%s/%s" % (area, name[:-3], function.__name__),
                                  lambda function=function: run_scenario(function, keep),
                                  function.scenario))
    return found


def run_scenario(function, keep):
    case = Case(build("release"), ROOT, speech_directory())
    passed = False
    try:
        # What fails while it is being taken down (a daemon that had died) is a failure as well.
        try:
            function(case)
        except BaseException:
            try:
                case.close()
            except Exception as error:
                print(indent("and then: %s" % error))
            raise
        case.close()
        passed = True
    except (Skipped, KeyboardInterrupt):
        passed = True
        raise
    except AssertionError as error:
        raise AssertionError("%s\nfiles: %s" % (error, case.directory)) \
            .with_traceback(error.__traceback__) from None
    finally:
        if passed and not keep:
            case.remove_files()


speech = None


def speech_directory():
    global speech
    if not speech:
        speech = tempfile.mkdtemp(prefix="td-speech-")
        os.chmod(speech, 0o755)
    return speech


# ---- the run --------------------------------------------------------------------------------

def selected(name, patterns):
    return not patterns or any(name.startswith(pattern) or pattern in name or
                               fnmatch.fnmatch(name, pattern) for pattern in patterns)


def area_wanted(area, patterns):
    """Whether a pattern may select something inside the area (before its tests are known)."""
    return not patterns or any(pattern.split("/")[0] in (area, "") or "*" in pattern or
                               "/" not in pattern and pattern not in AREAS
                               for pattern in patterns)


AREAS = ("checks", "build", "unit", "sanitize", "smoke", "e2e")


def find_tests(patterns, keep, listing=False):
    for area in AREAS:
        if not area_wanted(area, patterns):
            continue
        if area == "checks":
            tests = CHECKS
        elif area == "build":
            tests = build_tests()
        elif area == "unit":
            tests = MesonTests("unit", "release", ("unit",)).find(listing)
        elif area == "sanitize":
            tests = MesonTests("sanitize", "sanitize", ("unit", "fuzz")).find(listing)
        else:
            tests = scenario_tests(area, keep)
        yield from (test for test in tests if selected(test.name, patterns))


def indent(text):
    return "\n".join("      | " + line for line in text.rstrip().splitlines())


def run_test(test, counts):
    started = time.monotonic()
    text = ""
    try:
        test.function()
        outcome = "passed"
    except Skipped as reason:
        outcome, text = "skipped", str(reason)
    except AssertionError as error:
        outcome = "failed"
        last = traceback.extract_tb(error.__traceback__)
        where = ["%s:%d: %s" % (os.path.relpath(frame.filename, ROOT), frame.lineno, frame.line)
                 for frame in last if "/tests/e2e/" in frame.filename
                 or "/tests/smoke/" in frame.filename]
        text = "\n".join(where + [str(error)])
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: B902  a broken test must not end the run
        outcome, text = "failed", traceback.format_exc()
    counts[outcome] += 1
    word = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}[outcome]
    print("%s  %s%s (%.1f s)%s" % (word, test.name, ": " + test.title if test.title else "",
                                   time.monotonic() - started,
                                   ": " + text if outcome == "skipped" else ""), flush=True)
    if outcome == "failed":
        print(indent(text), flush=True)


def interrupted(number, frame):
    raise KeyboardInterrupt


def main():
    words = sys.argv[1:]
    keep, listing = "--keep" in words, "--list" in words
    patterns = [word for word in words if not word.startswith("--")]
    unknown = [word for word in words if word.startswith("--") and word not in ("--keep", "--list")]
    if unknown:
        print("tools/test: unknown option %s (see --help)" % unknown[0], file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    # A run may be started in the background, where Ctrl-C is ignored by default.
    signal.signal(signal.SIGINT, interrupted)
    if listing:
        for test in find_tests(patterns, keep, True):
            print(test.name + (": " + test.title if test.title else ""))
        return 0
    network.sweep()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    started = time.monotonic()
    status = 0
    try:
        for test in find_tests(patterns, keep):
            run_test(test, counts)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        status = 130
    finally:
        if speech:
            shutil.rmtree(speech, ignore_errors=True)
    if not sum(counts.values()) and not status:
        print("tools/test: no test is called that (see --list)", file=sys.stderr)
        return 2
    print("%.0f s" % (time.monotonic() - started))
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts, flush=True)
    return status or (1 if counts["failed"] else 0)


sys.exit(main())
