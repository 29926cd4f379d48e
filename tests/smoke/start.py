"""tools/run in a namespace, from nothing: what it prints, what it leaves, how it ends."""
import os
import re
import signal
import stat
import subprocess
import time

from support.case import scenario
from support.network import Lan, Namespace
from support.process import Process, eventually


class Run:
    """One directory for everything that tools/run keeps."""

    def __init__(self, case, namespace):
        self.case, self.namespace = case, namespace
        self.etc, self.data, self.run = (os.path.join(case.directory, name)
                                         for name in ("etc", "data", "run"))
        self.config = os.path.join(self.etc, "tandem.yaml")
        self.environment = dict(os.environ, TANDEM_ETC=self.etc, TANDEM_DATA=self.data,
                                TANDEM_RUN=self.run, TANDEM_BUILD=case.build)
        self.starts = 0

    def argv(self, *words):
        return [os.path.join(self.case.repository, "tools", "run")] + list(words)

    def start(self, seconds=30):
        self.starts += 1
        log = os.path.join(self.case.directory, "out%d" % self.starts)
        began = time.monotonic()
        process = self.case.keep(Process(self.argv(), log, namespace=self.namespace,
                                         stop_signal=signal.SIGINT, env=self.environment, cwd="/"))
        eventually(lambda: "Ctrl-C stops it" in process.text(), seconds, "tools/run is ready",
                   fail_if=process.must_run)
        process.took = time.monotonic() - began
        return process

    def ctl(self, *words):
        return subprocess.run(self.namespace.command(
            os.path.join(self.case.build, "tools", "tandemctl"), "--config", self.config, *words),
            stdin=subprocess.DEVNULL, capture_output=True, text=True)


@scenario("first start prints what is promised, the second takes less than 5 s, Ctrl-C stops it")
def first_and_second_start(case):
    lan = case.make_lan()
    run = Run(case, lan.server)
    first = run.start()
    text = first.text()
    assert "%s:5060" % Lan.SERVER4 in text, text
    assert "127.0.0.1:5060" in text, text
    passwords = dict(re.findall(r"Phone (100[12])\s+password (\S{12,})", text))
    assert sorted(passwords) == ["1001", "1002"], text
    secret = re.search(r"Admin secret\s+(\S{20,})", text)
    assert secret, text
    for promised in (run.data + "/recordings", run.data + "/records.db", run.config, "600",
                     "status", "cdr", "rec list"):
        assert promised in text, (promised, text)
    with open(run.config) as file:
        config = file.read()
    for hidden in list(passwords.values()) + [secret.group(1)]:
        assert hidden not in config, "a password is in the configuration"
    status = os.stat(run.config)
    assert stat.S_IMODE(status.st_mode) == 0o640 and status.st_uid == 0

    # The credentials work: a phone on the network registers and talks to itself.
    caller = case.phone("a", "1001", password=passwords["1001"])
    caller.dial("600")
    caller.wait_event("CALL_ESTABLISHED")
    time.sleep(2)
    caller.hang_up()
    caller.stop()
    assert len(caller.heard()) > 8000

    began = time.monotonic()
    assert first.stop(30) == 0, first.text()
    assert time.monotonic() - began < 10
    assert "has stopped" in first.text(), first.text()
    assert lan.server.pids() == [], "processes are left"
    assert not [name for name in os.listdir(run.run) if name.endswith(".sock")]

    second = run.start()
    assert second.took < 5, "second start took %.1f s" % second.took
    assert not any(hidden in second.text() for hidden in passwords.values()), second.text()
    assert "user passwd 1001" in second.text(), second.text()
    with open(run.config) as file:
        assert file.read() == config
    # A third one beside it is told so.
    third = subprocess.run(lan.server.command(*run.argv()), stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, env=run.environment, timeout=20)
    assert third.returncode == 1 and "is running already" in third.stderr, third
    rows = run.ctl("cdr", "--json")
    assert rows.returncode == 0 and '"600"' in rows.stdout, rows
    assert second.stop(30) == 0


@scenario("a machine without a network: calls on the loopback only")
def without_a_route(case):
    namespace = case.keep(Namespace("alone"), "delete")
    run = Run(case, namespace)
    process = run.start()
    assert "127.0.0.1:5060" in process.text()
    assert process.stop(30) == 0


@scenario("when the start script is killed, nothing stays behind")
def killed_start_script(case):
    namespace = case.keep(Namespace("killed"), "delete")
    run = Run(case, namespace)
    process = run.start()
    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: namespace.pids() == [], 15, "all processes end")
    assert run.start().stop(30) == 0


@scenario("a broken configuration and a taken port are explained")
def failures_are_explained(case):
    namespace = case.keep(Namespace("broken"), "delete")
    run = Run(case, namespace)
    prepared = subprocess.run(namespace.command(*run.argv("--prepare")), capture_output=True,
                              stdin=subprocess.DEVNULL, text=True, env=run.environment, timeout=60)
    assert prepared.returncode == 0, prepared
    with open(run.config) as file:
        good = file.read()
    with open(run.config, "w") as file:
        file.write(good.replace("realm: tandem", "realms: tandem"))
    result = subprocess.run(namespace.command(*run.argv()), capture_output=True, text=True,
                            stdin=subprocess.DEVNULL, env=run.environment, timeout=60)
    line = [number for number, text in enumerate(good.splitlines(), 1) if "realm: tandem" in text][0]
    assert result.returncode == 1, result
    assert "tandem.yaml:%d" % line in result.stderr and "realms" in result.stderr, result.stderr
    result = subprocess.run(namespace.command(*run.argv("--bogus")), capture_output=True, text=True,
                            stdin=subprocess.DEVNULL, env=run.environment, timeout=60)
    assert result.returncode == 2 and "--help" in result.stderr
    result = subprocess.run(run.argv("--help"), capture_output=True, text=True,
                            stdin=subprocess.DEVNULL, timeout=60)
    assert result.returncode == 0 and "TANDEM_ETC" in result.stdout
