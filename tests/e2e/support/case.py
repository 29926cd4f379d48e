"""One test: makes what it asks for and takes it down again in the reverse order."""
import contextlib
import os
import shutil
import socket
import tempfile

from . import audio
from .baresip import Baresip
from .capture import Capture
from .network import Lan
from .sipp import Sipp
from .steps import recv, register
from .stores import Postgres, Swift
from .tandem import USERS, Tandem


class Skipped(Exception):
    """Raised with the reason where a test cannot run here."""


def scenario(title):
    """Marks a function as a test; the title says what must hold."""
    def mark(function):
        function.scenario = title
        return function
    return mark


def has_af_xdp():
    try:
        socket.socket(44, socket.SOCK_RAW, 0).close()  # AF_XDP
        return True
    except OSError:
        return False


class Case:
    def __init__(self, build, repository, speech_directory):
        self.build, self.repository = build, repository
        self.speech_directory = speech_directory
        self.directory = tempfile.mkdtemp(prefix="td-e2e-")
        # The daemons without privileges come through here.
        os.chmod(self.directory, 0o755)
        self.stack = contextlib.ExitStack()
        self.lan = None
        self.made = 0

    def _name(self, what):
        self.made += 1
        return os.path.join(self.directory, "%s%d" % (what, self.made))

    def keep(self, thing, method="stop"):
        self.stack.callback(getattr(thing, method))
        return thing

    def make_lan(self, phones=("a", "b")):
        self.lan = self.keep(Lan(phones), "delete")
        return self.lan

    def tandem(self, port="af_packet", namespace=None, **options):
        if not self.lan:
            self.make_lan()
        namespace = namespace or self.lan.server
        if port == "af_xdp" and not has_af_xdp():
            raise Skipped("this kernel has no AF_XDP sockets")
        if port == "tap":
            self.lan.bridge_server()
        tandem = Tandem(self.build, namespace, self._name("tandem"), port=port, start=False,
                        **options)
        self.keep(tandem)
        tandem.start()
        if port == "tap":
            namespace.ip("link", "set", "tap0", "master", "br0", "up")
        return tandem

    def phone(self, letter, user, server=Lan.SERVER4, voice=None, **options):
        """A registered phone in the namespace of that letter; "server": on the server itself."""
        namespace = self.lan.server if letter == "server" else self.lan.phones[letter]
        options.setdefault("password", USERS.get(user))
        return self.keep(Baresip(namespace, user, server, self._name("phone"), voice or letter,
                                 speech_directory=self.speech_directory, **options))

    def sipp(self, letter, name, scenario, server=Lan.SERVER4, **options):
        options.setdefault("password", USERS.get(options.get("user", "1001"), ""))
        return self.keep(Sipp(self.lan.phones[letter], name, scenario, server, self._name("sipp"),
                              **options))

    def register(self, letter, user, contact_port=5060, server=Lan.SERVER4):
        """A binding for somebody who will listen at that port of the namespace."""
        self.sipp(letter, "register", [register(), recv(401, auth=True), register(True, 2),
                                       recv(200)], server, user=user, port=5070,
                  keys=[("contact_port", contact_port)], seconds=10).finish()

    def register_refused(self, letter, user, password=None, server=Lan.SERVER4):
        self.sipp(letter, "register", [register(), recv(401, auth=True), register(True, 2),
                                       recv(403)], server, user=user, port=5071, seconds=10,
                  password=password or USERS[user],
                  keys=[("contact_port", 5060)]).finish()

    def speech(self, voice):
        return audio.speech(voice, self.speech_directory)

    def capture(self, namespace=None, interface="to-server"):
        path = self._name("capture")
        return self.keep(Capture(namespace or self.lan.bridge, interface, path + ".pcap",
                                 path + ".log"))

    def postgres(self):
        return self.keep(Postgres(self.lan.server, self._name("postgres")))

    def swift(self):
        return self.keep(Swift(self.lan.server, self._name("swift")))

    def close(self):
        self.stack.close()

    def remove_files(self):
        shutil.rmtree(self.directory, ignore_errors=True)
