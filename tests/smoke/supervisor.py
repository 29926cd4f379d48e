"""The supervisor with shell scripts in place of the daemons."""
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import time

from support.case import scenario
from support.process import Process, eventually

DAEMON = """\
#!/bin/sh
echo "{name} up uid=$(id -u) limit=$(ulimit -n) config=$2" >>{directory}/said
trap 'echo "{name} down" >>{directory}/said; exit 0' TERM
{body}
"""
PATIENT = "while :; do sleep 0.05; done"


class Fake:
    """A directory of programs, a configuration, and what the programs said."""

    def __init__(self, case, **bodies):
        self.case, self.directory = case, case.directory
        self.run_dir = os.path.join(self.directory, "run")
        os.makedirs(os.path.join(self.directory, "bin"))
        self.said_path = os.path.join(self.directory, "said")
        open(self.said_path, "w").close()
        os.chmod(self.said_path, 0o666)
        for name in ("dataplane", "recorder", "control"):
            path = os.path.join(self.directory, "bin", "tandem-" + name)
            with open(path, "w") as file:
                file.write(DAEMON.format(name=name, directory=self.directory,
                                         body=bodies.get(name, PATIENT)))
            os.chmod(path, 0o755)
        self.config = os.path.join(self.directory, "tandem.yaml")
        with open(self.config, "w") as file:
            json.dump({"run_dir": self.run_dir, "data_dir": os.path.join(self.directory, "data"),
                       "user": "tandem"}, file)
        os.chmod(self.config, 0o644)
        self.program = os.path.join(case.build, "tools", "tandem-supervisor")

    def start(self):
        self.process = self.case.keep(Process(
            [self.program, "--config", self.config, "--programs",
             os.path.join(self.directory, "bin")], os.path.join(self.directory, "log")))
        eventually(lambda: len(self.said()) >= 3, 5, "the three are started",
                   fail_if=self.process.must_run)
        return self

    def said(self):
        with open(self.said_path) as file:
            return file.read().splitlines()

    def pid(self, name):
        with open(os.path.join(self.run_dir, name + ".pid")) as file:
            return int(file.read() or 0)


@scenario("starts three daemons, two of them without privileges, and stops them in order")
def starts_and_stops_in_order(case):
    fake = Fake(case).start()
    uid = pwd.getpwnam("tandem").pw_uid
    users = {line.split()[0]: line.split()[2] for line in fake.said()}
    assert users == {"dataplane": "uid=0", "recorder": "uid=%d" % uid, "control": "uid=%d" % uid}
    assert os.stat(fake.directory + "/data").st_uid == uid
    assert os.stat(fake.directory + "/data").st_mode & 0o7777 == 0o750
    assert os.stat(fake.run_dir).st_mode & 0o7777 == 0o1770
    started = time.monotonic()
    assert fake.process.stop() == 0
    assert time.monotonic() - started < 3
    assert fake.said()[3:] == ["control down", "dataplane down", "recorder down"], fake.said()


@scenario("starts the daemons from a tree that only root can walk, as a clone in a home is")
def starts_from_a_closed_home(case):
    fake = Fake(case)
    closed = os.path.join(fake.directory, "home")
    os.makedirs(os.path.join(closed, "bin"))
    # A program, not a script: an interpreter could not read its script by descriptor.
    for name in ("dataplane", "recorder", "control"):
        shutil.copy("/usr/bin/true", os.path.join(closed, "bin", "tandem-" + name))
    os.chmod(closed, 0o700)
    process = case.keep(Process([fake.program, "--config", fake.config, "--programs",
                                 os.path.join(closed, "bin")],
                                os.path.join(fake.directory, "log")))
    for name in ("recorder", "control"):
        eventually(lambda: re.search(r"daemon %s \(process \d+\) ended with status 0" % name,
                                     process.text()), 5, name + " ran")
    assert "not started" not in process.text(), process.text()
    process.stop()


@scenario("restarts a daemon that is killed, waiting longer each time")
def restarts_with_back_off(case):
    fake = Fake(case).start()
    for time_number in range(3):
        os.kill(fake.pid("recorder"), signal.SIGKILL)
        eventually(lambda: sum("recorder up" in line for line in fake.said()) == time_number + 2, 3,
                   "the recorder is started again")
    log = fake.process.text()
    for number, wait in enumerate((100, 200, 400), 1):
        assert "restart %d in %d ms" % (number, wait) in log, log
    assert sum("control up" in line for line in fake.said()) == 1


@scenario("keeps a daemon that cannot start from taking the machine, and stops all the same")
def broken_daemon_is_not_a_busy_loop(case):
    fake = Fake(case, control="exit 1").start()
    time.sleep(2)
    starts = sum("control up" in line for line in fake.said())
    assert 3 <= starts <= 7, starts
    assert fake.process.stop() == 0


@scenario("a daemon that does not listen is killed when its time is over; Ctrl-C twice is at once")
def stubborn_daemon_is_killed(case):
    fake = Fake(case, control="trap '' TERM\n" + PATIENT).start()
    os.kill(fake.process.pid, signal.SIGTERM)
    time.sleep(0.3)
    assert fake.process.running()
    started = time.monotonic()
    assert fake.process.stop() == 0
    assert time.monotonic() - started < 2


@scenario("a second supervisor in the same directory is refused; the first one's death frees it")
def one_per_directory(case):
    fake = Fake(case).start()
    argv = [fake.program, "--config", fake.config, "--programs", fake.directory + "/bin"]
    second = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert second.returncode == 3, second
    assert "in use by another supervisor (process %d)" % fake.process.pid in second.stderr
    pids = [fake.pid(name) for name in ("dataplane", "recorder", "control")]
    os.kill(fake.process.pid, signal.SIGKILL)
    fake.process.wait(2)
    # Its daemons go with it.
    eventually(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in pids), 5,
               "the daemons end after their supervisor was killed")
    open(fake.said_path, "w").close()
    fake.start()


@scenario("refuses bad usage, a bad configuration and an unknown user with clear words")
def refuses_clearly(case):
    fake = Fake(case)

    def refused(*words):
        result = subprocess.run([fake.program] + list(words), stdin=subprocess.DEVNULL,
                                capture_output=True, text=True)
        return result.returncode, result.stderr

    assert refused("--nonsense")[0] == 2
    status, text = refused("--config", "/nonexistent/tandem.yaml")
    assert status == 2 and "/nonexistent/tandem.yaml" in text, text
    bad = os.path.join(fake.directory, "bad.yaml")
    with open(bad, "w") as file:
        file.write("run_dir: /tmp/x\ndataplane:\n  workers: many\n")
    status, text = refused("--check", "--config", bad)
    assert status == 2 and "bad.yaml:3:" in text, text
    with open(bad, "w") as file:
        file.write("run_dir: %s/run2\ndata_dir: %s/data2\nuser: nobody-such\n" %
                   (fake.directory, fake.directory))
    status, text = refused("--config", bad, "--programs", fake.directory + "/bin")
    assert status == 1 and "nobody-such" in text, text
    result = subprocess.run([fake.program, "--help"], capture_output=True, text=True)
    assert result.returncode == 0 and "Usage" in result.stdout
