"""Network namespaces: a server and phones on one Ethernet segment.

      server 10.20.0.1         phone-a 10.20.0.11       phone-b 10.20.0.12
        fd20::1                  fd20::11                 fd20::12
        eth0 |                      | eth0                   | eth0
      -------+----------------------+------------------------+---- br0 (namespace "lan")
             to-server

The server's side of the wire can be captured at `to-server`: what comes and goes there is seen
even when an XDP program takes it from the server's own interface.
"""
import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
PREFIX = "td-%d-" % os.getpid()

libc = ctypes.CDLL(None, use_errno=True)


def ip(*words):
    result = subprocess.run(("ip",) + words, stdin=subprocess.DEVNULL, capture_output=True,
                            text=True)
    if result.returncode:
        raise RuntimeError("ip %s: %s" % (" ".join(words), result.stderr.strip()))
    return result.stdout


def sweep():
    """Deletes namespaces whose test runner is gone (it was killed before it could)."""
    for line in ip("netns", "list").splitlines():
        name = line.split()[0] if line.strip() else ""
        parts = name.split("-")
        if parts[0] == "td" and len(parts) == 4 and parts[1].isdigit() \
                and not os.path.exists("/proc/" + parts[1]):
            for pid in ip("netns", "pids", name).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            ip("netns", "del", name)


class Namespace:
    made = 0

    def __init__(self, role):
        Namespace.made += 1
        self.role = role
        self.name = "%s%d-%s" % (PREFIX, Namespace.made, role)
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        self.sysctl("net.ipv6.conf.all.accept_dad", 0)
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)

    def ip(self, *words):
        return ip("-n", self.name, *words)

    def sysctl(self, key, value):
        self.run("sysctl", "-qw", "%s=%s" % (key, value))

    def command(self, *argv):
        return ("ip", "netns", "exec", self.name) + tuple(str(word) for word in argv)

    def run(self, *argv, check=True, timeout=60, stdin=subprocess.DEVNULL, **options):
        result = subprocess.run(self.command(*argv), stdin=stdin, capture_output=True, text=True,
                                timeout=timeout, **options)
        if check and result.returncode:
            raise RuntimeError("%s: status %d\n%s%s" % (" ".join(map(str, argv)),
                               result.returncode, result.stdout, result.stderr))
        return result

    @contextlib.contextmanager
    def entered(self):
        """Sockets made inside belong to this namespace, also afterwards."""
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open("/run/netns/" + self.name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            if libc.setns(home, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns back")
            os.close(there)
            os.close(home)

    def pids(self):
        return [int(word) for word in ip("netns", "pids", self.name).split()]

    def delete(self):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        ip("netns", "del", self.name)


class Lan:
    SERVER4, SERVER6 = "10.20.0.1", "fd20::1"
    # The dataplane's own address where it owns a port.
    MEDIA4, MEDIA6 = "10.20.0.5", "fd20::5"

    def __init__(self, phones=("a", "b")):
        self.bridge = Namespace("lan")
        self.bridge.ip("link", "add", "br0", "type", "bridge")
        self.bridge.ip("link", "set", "br0", "up")
        self.server = Namespace("server")
        self._connect(self.server, "to-server", self.SERVER4, self.SERVER6)
        self.phones = {}
        for number, letter in enumerate(phones):
            phone = Namespace("phone" + letter)
            phone.address4 = "10.20.0.%d" % (11 + number)
            phone.address6 = "fd20::%d" % (11 + number)
            self._connect(phone, "to-" + letter, phone.address4, phone.address6)
            self.phones[letter] = phone

    def _connect(self, namespace, port, address4, address6):
        self.bridge.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns",
                       namespace.name)
        self.bridge.ip("link", "set", port, "master", "br0", "up")
        namespace.ip("addr", "add", address4 + "/24", "dev", "eth0")
        namespace.ip("addr", "add", address6 + "/64", "dev", "eth0", "nodad")
        namespace.ip("link", "set", "eth0", "up")
        namespace.ip("route", "add", "default", "via",
                     self.SERVER4 if address4 != self.SERVER4 else "10.20.0.254")

    def bridge_server(self):
        """Puts eth0 and what joins it later (a TAP) behind a bridge inside the server."""
        server = self.server
        server.ip("link", "add", "br0", "type", "bridge")
        server.ip("addr", "flush", "dev", "eth0")
        server.ip("link", "set", "eth0", "master", "br0")
        server.ip("link", "set", "br0", "up")
        server.ip("addr", "add", self.SERVER4 + "/24", "dev", "br0")
        server.ip("addr", "add", self.SERVER6 + "/64", "dev", "br0", "nodad")
        server.ip("route", "replace", "default", "via", "10.20.0.254")

    def delete(self):
        for namespace in list(self.phones.values()) + [self.server, self.bridge]:
            namespace.delete()
