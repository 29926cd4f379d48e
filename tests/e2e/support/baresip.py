"""A baresip phone: speaks a WAV file, writes down what it sent and what it heard."""
import glob
import json
import os
import socket
import time

from . import audio
from .process import Process, eventually

CONFIG = """\
poll_method epoll
sip_listen {listen}
audio_path {directory}
audio_source aufile,{speech}
audio_srate 8000
audio_channels 1
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
audio_buffer 20-160
call_local_timeout 120
call_max_calls 8
rtp_timeout 0
rtp_ports {rtp_ports}
{net}
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module sndfile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
snd_path {directory}/heard
"""


class Baresip:
    def __init__(self, namespace, user, server, directory, voice, password=None, answers=True,
                 address=None, interface="eth0", codec="PCMU", transport="udp", control=4444,
                 port=5060, rtp_ports="10000-12000", speech_directory=None):
        self.namespace, self.user, self.server = namespace, user, server
        self.directory = directory
        self.address = address or namespace.address4
        self.control_port = control
        self.events = []
        self.answer_at = None
        os.makedirs(os.path.join(directory, "heard"))
        literal = "[%s]" % self.address if ":" in self.address else self.address
        self.domain = "[%s]" % server if ":" in server else server
        self.speech = audio.speech(voice, speech_directory or directory)
        with open(os.path.join(directory, "config"), "w") as file:
            file.write(CONFIG.format(listen="%s:%d" % (literal, port), directory=directory,
                                     speech=self.speech, control=control,
                                     net="net_interface " + interface,
                                     rtp_ports=rtp_ports))
        parameters = ";transport=" + transport if transport != "udp" else ""
        self.parameters = parameters
        with open(os.path.join(directory, "accounts"), "w") as file:
            file.write('<sip:%s@%s%s>;auth_user=%s;auth_pass=%s;regint=%d;answermode=%s;'
                       'audio_codecs=%s/8000/1\n' %
                       (user, self.domain, parameters, user, password or "",
                        60 if password else 0, "auto" if answers else "manual", codec))
        open(os.path.join(directory, "contacts"), "w").close()
        family = ["-6"] if ":" in self.address else ["-4"]
        self.process = Process(["baresip", "-f", directory, "-s", "-v"] + family,
                               os.path.join(directory, "log"), namespace=namespace)
        eventually(lambda: "baresip is ready" in self.process.text(), 10, "baresip starts",
                   fail_if=self.process.must_run)
        with namespace.entered():
            self.socket = socket.create_connection(("127.0.0.1", control), 5)
        self.buffer = b""
        if password:
            self.wait_registered()

    def wait_registered(self, seconds=10):
        """The log is asked, not the events: those before our connection are not repeated."""
        eventually(lambda: "200 OK" in self.process.text() and "register" in
                   self.process.text().lower(), seconds, "%s registers" % self.user,
                   fail_if=self.process.must_run)

    def command(self, name, parameters=""):
        message = json.dumps({"command": name, "params": parameters, "token": name}).encode()
        self.socket.sendall(b"%d:%s," % (len(message), message))
        self.wait(lambda event: event.get("response"), 5, "baresip answers " + name)

    def _read(self, seconds):
        self.socket.settimeout(max(seconds, 0.001))
        try:
            self.buffer += self.socket.recv(65536)
        except (TimeoutError, BlockingIOError):
            return []
        found = []
        while b":" in self.buffer:
            length, rest = self.buffer.split(b":", 1)
            if len(rest) < int(length) + 1:
                break
            event = json.loads(rest[:int(length)])
            event["at"] = time.time()
            found.append(event)
            self.buffer = rest[int(length) + 1:]
        self.events += found
        return found

    def wait(self, wanted, seconds, what):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            for event in self._read(limit - time.monotonic()):
                if wanted(event):
                    return event
            self.process.must_run()
        raise AssertionError("%s: not within %g s: %s; events: %s" % (
            self.user, seconds, what, [event.get("type") for event in self.events]))

    def wait_event(self, kind, seconds=10):
        for event in self.events:
            if event.get("type") == kind and not event.get("seen"):
                event["seen"] = True
                return event
        event = self.wait(lambda event: event.get("type") == kind, seconds, kind)
        event["seen"] = True
        return event

    def dial(self, number):
        self.command("dial", "sip:%s@%s%s" % (number, self.domain, self.parameters))

    def hang_up(self):
        self.command("hangup")

    def answer(self):
        self.command("accept")

    def heard(self):
        """All it received in its last call, as samples; sent() likewise."""
        return self._dump("dec")

    def sent(self):
        return self._dump("enc")

    def _dump(self, which):
        files = sorted(glob.glob(os.path.join(self.directory, "heard", "dump-*-%s.wav" % which)))
        assert files, "%s has no audio at all (%s)" % (self.user, which)
        channels, rate = audio.wav_read(files[-1])
        assert rate == audio.RATE and len(channels) == 1
        return channels[0]

    def stop(self):
        self.socket.close()
        return self.process.stop()
