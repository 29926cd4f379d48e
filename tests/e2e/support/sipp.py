"""SIPp with a scenario made of steps."""
import os

from . import steps
from .process import Process


class Sipp:
    """Runs in the background; finish() waits for it and says what failed."""

    def __init__(self, namespace, name, scenario, server, directory, calls=1, rate=10, at_once=None,
                 user="1001", password="", number="600", local=None, port=5060, keys=(),
                 seconds=30, options=(), transport="u1"):
        local = local or namespace.address4
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.seconds = seconds
        path = os.path.join(directory, "scenario.xml")
        with open(path, "w") as file:
            file.write(steps.xml(name, scenario))
        argv = ["sipp", "-sf", path, "-i", local, "-p", port,
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
        self.name = name

    def _tail(self, name, length):
        try:
            with open(os.path.join(self.directory, name), errors="replace") as file:
                return file.read()[-length:]
        except FileNotFoundError:
            return ""

    def messages(self):
        return self._tail("messages", 1 << 24)

    def last_sent(self, method):
        """The bytes of the last request of that method."""
        with open(os.path.join(self.directory, "messages"), "rb") as file:
            parts = file.read().split(b"-" * 47 + b" ")
        for part in reversed(parts):
            if b" message sent " in part:
                message = part.split(b"\n\n", 1)[1]
                if message.startswith(method.encode() + b" "):
                    text = message.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n\n"
                    return text.replace(b"\n", b"\r\n")
        raise AssertionError("no %s was sent" % method)

    def finish(self):
        status = self.process.wait(self.seconds + 10)
        assert status == 0, "sipp %s: status %d\n%s\n%s" % (
            self.name, status, self._tail("errors", 2500), self._tail("messages", 4000))

    def stop(self):
        self.process.stop(2)
