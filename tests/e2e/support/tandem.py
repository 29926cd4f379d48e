"""The product under test: its three daemons under the supervisor, in a namespace."""
import contextlib
import glob
import hashlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import time

from .network import Lan
from .process import Process, eventually

USERS = {"1001": "first-secret", "1002": "second-secret", "1003": "third-secret"}
REALM = "tandem"
ADMIN_SECRET = "only-for-tests"
DAEMONS = ("dataplane", "recorder", "control")


def digests(extension, password):
    text = ("%s:%s:%s" % (extension, REALM, password)).encode()
    return {"extension": extension, "md5": hashlib.md5(text).hexdigest(),
            "sha256": hashlib.sha256(text).hexdigest()}


def yaml(value, indent=""):
    """Block style, as people write it; texts quoted as in JSON."""
    lines = []
    for key, inner in (value.items() if isinstance(value, dict) else (("-", one) for one in value)):
        mark = indent + (key if key == "-" else key + ":")
        if isinstance(inner, dict) and key == "-":
            lines.append(mark + " " + yaml(inner, indent + "  ").lstrip().rstrip("\n"))
        elif isinstance(inner, (dict, list)) and inner:
            lines.append(mark + "\n" + yaml(inner, indent + "  ").rstrip("\n"))
        else:
            lines.append(mark + " " + json.dumps(inner))
    return "\n".join(lines) + "\n"


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


class Tandem:
    """port: af_xdp, af_packet, auto or tap. The rest overrides the sections of the same name."""

    def __init__(self, build, namespace, directory, port="af_packet", user="tandem", store=None,
                 records=None, dataplane=None, recorder=None, control=None, start=True):
        self.build, self.namespace, self.directory = build, namespace, directory
        self.may_restart = False
        self.run_dir = os.path.join(directory, "run")
        self.data_dir = os.path.join(directory, "data")
        self.ng_unix = os.path.join(self.run_dir, "ng.sock")
        os.makedirs(directory, exist_ok=True)
        self.config = {
            "run_dir": self.run_dir,
            "data_dir": self.data_dir,
            "user": user,
            "log_level": "info",
            "dataplane": {
                "ports": self._ports(port),
                "interfaces": [
                    {"name": "default", "addresses":
                     [Lan.MEDIA4, Lan.MEDIA6] if port == "tap" else [Lan.SERVER4, Lan.SERVER6]},
                ] + ([] if port == "tap" else
                     [{"name": "local", "addresses": ["127.0.0.1", "::1"]}]),
                "hugepages": False,
                "memory_mb": 256,
                "sessions": 1000,
                "ng_udp": "127.0.0.1:2223",
                **(dataplane or {}),
            },
            "recorder": {"store": store or {"kind": "directory"}, **(recorder or {})},
            "control": {
                "realm": REALM,
                "users": [digests(*item) for item in USERS.items()],
                "admin_sha256": hashlib.sha256(ADMIN_SECRET.encode()).hexdigest(),
                "http": "127.0.0.1:8088",
                **({"records": records} if records else {}),
                **(control or {}),
            },
        }
        self.config_path = os.path.join(directory, "tandem.yaml")
        with open(self.config_path, "w") as file:
            file.write(yaml(self.config))
        os.chmod(self.config_path, 0o644)
        self.process = None
        if start:
            self.start()

    @staticmethod
    def _ports(port):
        if port == "tap":
            return [{"name": "tap0", "kind": "tap", "device": "tap0",
                     "addresses": [Lan.MEDIA4 + "/24", Lan.MEDIA6 + "/64"]}]
        return [{"name": "eth0", "kind": port, "device": "eth0"},
                {"name": "lo", "kind": port, "device": "lo"}]

    def program(self, name):
        return os.path.join(self.build, "tools", name)

    @property
    def log(self):
        return os.path.join(self.directory, "log")

    def start(self, seconds=20):
        self.process = Process([self.program("tandem-supervisor"), "--config", self.config_path],
                               self.log, namespace=self.namespace)
        self.wait_ready(seconds)

    def wait_ready(self, seconds=20):
        for name in ("ng", "fork", "receipt", "recorder", "control"):
            # Each takes away what a killed one left, so one that is there is alive or comes soon.
            eventually(lambda name=name: os.path.exists("%s/%s.sock" % (self.run_dir, name)),
                       seconds, name + ".sock is there", fail_if=self.must_run)
        status = self.ctl("status", check=False)
        limit = time.monotonic() + seconds
        while status.returncode:
            self.must_run()
            assert time.monotonic() < limit, "tandemctl status is not content: %d\n%s%s" % (
                status.returncode, status.stdout, status.stderr)
            time.sleep(0.1)
            status = self.ctl("status", check=False)

    def must_run(self):
        self.process.must_run()
        assert len(self.restarts()) < 10, "daemons die:\n" + self.process.text()[-3000:]

    def pid(self, daemon):
        with open(os.path.join(self.run_dir, daemon + ".pid")) as file:
            text = file.read().strip()
        return int(text) if text else 0

    def kill(self, daemon, number=signal.SIGKILL):
        """Ends a daemon; returns when the supervisor has another one running."""
        self.may_restart = True
        old = self.pid(daemon)
        os.kill(old, number)
        eventually(lambda: self.pid(daemon) not in (0, old), 10, daemon + " is started again")

    def ctl(self, *words, check=True, timeout=20):
        result = subprocess.run(self.namespace.command(self.program("tandemctl"), "--config",
                                                       self.config_path, *words),
                                stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
        result.stdout_bytes = result.stdout
        result.stdout = result.stdout.decode(errors="replace")
        result.stderr = result.stderr.decode(errors="replace")
        assert not check or result.returncode == 0, "tandemctl %s: status %d\n%s%s" % (
            " ".join(words), result.returncode, result.stdout, result.stderr)
        return result

    def ctl_json(self, *words):
        return json.loads(self.ctl(*words, "--json").stdout)

    def http(self, path, method="GET", sock="control"):
        connection = UnixHttp(os.path.join(self.run_dir, sock + ".sock"))
        with contextlib.closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def ng(self, command, **keys):
        """One ng command as JSON over the Unix socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(self.ng_unix)
            connection.sendall(b"t1 " + json.dumps({"command": command, **keys}).encode())
            received = b""
            while True:
                part = connection.recv(65536)
                assert part, "ng connection closed after %r" % received
                received += part
                with contextlib.suppress(ValueError):
                    return json.loads(received.split(b" ", 1)[1])

    def _list(self, name, *words):
        """What a listing command shows; searches end with 1 when that is nothing."""
        result = self.ctl(*words, "--json", check=False)
        assert result.returncode in (0, 1), "%s: %d %s %s" % (
            words, result.returncode, result.stdout[-500:], result.stderr)
        found = json.loads(result.stdout)[name]
        assert found or result.returncode == (1 if words[0] in ("cdr", "rec") else 0), words
        return found

    def cdrs(self, limit=100):
        """The CDRs that the records tier holds, oldest first, as dictionaries."""
        return self._list("cdrs", "cdr", "--limit", str(limit))[::-1]

    def recordings(self, limit=100):
        """Recordings in the records tier, oldest first."""
        return self._list("recordings", "rec", "list", "--limit", str(limit))[::-1]

    def calls(self):
        return self._list("calls", "calls")

    def registrations(self):
        return self._list("registrations", "reg")

    def fetch(self, recording, path=None):
        """The recording as an operator gets it; its path."""
        path = path or os.path.join(self.directory, recording["id"] + ".wav")
        self.ctl("rec", "get", recording["id"], "-o", path)
        return path

    def objects(self):
        """Files of the object store (directory), without those being written."""
        root = os.path.join(self.data_dir, "recordings")
        return sorted(path for path in glob.glob(root + "/**/*.wav", recursive=True)
                      if not os.path.basename(path).startswith("."))

    def sqlite(self, sql):
        with contextlib.closing(sqlite3.connect("file:%s/records.db?mode=ro" % self.data_dir,
                                                uri=True)) as database:
            return database.execute(sql).fetchall()

    def restarts(self):
        return [line for line in self.process.text().splitlines() if '; restart ' in line]

    def stop(self):
        """Every test ends with this: a daemon that died unasked fails it."""
        if not self.process:
            return
        running = self.process.running()
        status = self.process.stop(40)
        text = self.process.text()
        self.process = None
        assert running, "the supervisor ended by itself with status %s\n%s" % (status, text[-3000:])
        assert status == 0, "the supervisor ended with status %s\n%s" % (status, text[-3000:])
        died = [line for line in text.splitlines() if "; restart " in line]
        assert self.may_restart or not died, "daemons died:\n%s\n%s" % ("\n".join(died),
                                                                       text[-6000:])
        assert "did not stop" not in text, "a daemon had to be killed:\n" + text[-3000:]
        assert "Sanitizer" not in text, text
