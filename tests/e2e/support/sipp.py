"""SIPp with a scenario of this tree."""
import os

from .process import Process

SCENARIOS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sipp")


class Sipp:
    """Runs in the background; finish() waits for it and says what failed."""

    def __init__(self, namespace, scenario, server, directory, calls=1, rate=10, at_once=None,
                 user="1001", password="", number="600", local=None, port=5060, keys=(),
                 seconds=60, options=(), transport="u1"):
        local = local or namespace.address4
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.seconds = seconds
        argv = ["sipp", "-sf", os.path.join(SCENARIOS, scenario + ".xml"), "-i", local, "-p", port,
                "-m", calls, "-r", rate, "-l", at_once or calls, "-s", number, "-au", user, "-ap",
                password, "-key", "user", user, "-t", transport, "-nostdin", "-timeout",
                "%ds" % seconds, "-timeout_error", "-trace_err", "-error_file",
                os.path.join(directory, "errors"), "-trace_msg", "-message_file",
                os.path.join(directory, "messages"), "-mi", local]
        for key, value in keys:
            argv += ["-key", key, value]
        argv += list(options)
        if server:
            argv.append("[%s]" % server if ":" in server else server)
        self.process = Process(argv, os.path.join(directory, "log"), namespace=namespace,
                               cwd=directory, env=dict(os.environ, TERM="dumb"))
        self.name = scenario

    def _tail(self, name, length):
        try:
            with open(os.path.join(self.directory, name), errors="replace") as file:
                return file.read()[-length:]
        except FileNotFoundError:
            return ""

    def messages(self):
        return self._tail("messages", 1 << 24)

    def finish(self):
        status = self.process.wait(self.seconds + 10)
        assert status == 0, "sipp %s: status %d\n%s\n%s" % (
            self.name, status, self._tail("errors", 2500), self._tail("messages", 4000))

    def stop(self):
        self.process.stop(2)
