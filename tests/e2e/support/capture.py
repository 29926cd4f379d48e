"""A tcpdump on a namespace's interface, and the RTP streams in what it wrote."""
import signal
import socket
import struct

import numpy

from . import audio
from .process import Process, eventually

ETHERNET, IPV4, IPV6, VLAN, UDP = 1, 0x0800, 0x86dd, 0x8100, 17


class Capture:
    def __init__(self, namespace, interface, path, log):
        self.path = path
        self.process = Process(["tcpdump", "-i", interface, "-U", "-B", "16384", "-s", "400", "-Z",
                                "root", "-w", path, "udp"], log, namespace=namespace,
                               stop_signal=signal.SIGINT)
        eventually(lambda: "listening on" in self.process.text(), 10, "tcpdump listens",
                   fail_if=self.process.must_run)

    def stop(self):
        self.process.stop()

    def datagrams(self):
        """(time, source address, source port, destination address, destination port, payload)"""
        with open(self.path, "rb") as file:
            content = file.read()
        order = "<" if content[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
        magic, = struct.unpack(order + "I", content[:4])
        fraction = 1e-9 if magic == 0xa1b23c4d else 1e-6
        at = 24
        while at + 16 <= len(content):
            seconds, part, length, _ = struct.unpack(order + "IIII", content[at:at + 16])
            frame = content[at + 16:at + 16 + length]
            at += 16 + length
            found = udp_parse(frame)
            if found:
                yield (seconds + part * fraction,) + found

    def streams(self):
        """RTP with G.711 by (source, source port, destination, destination port, SSRC)."""
        streams = {}
        for time, source, sport, destination, dport, payload in self.datagrams():
            if len(payload) < 12 or payload[0] >> 6 != 2 or payload[1] & 0x7f not in (0, 8):
                continue
            payload_type = payload[1] & 0x7f
            sequence, timestamp, ssrc = struct.unpack(">HII", payload[2:12])
            key = (source, sport, destination, dport, ssrc)
            streams.setdefault(key, Stream(key)).add(time, sequence, timestamp, payload_type,
                                                     payload[12:])
        return list(streams.values())


class Stream:
    def __init__(self, key):
        self.source, self.sport, self.destination, self.dport, self.ssrc = key
        self.packets = []

    def add(self, time, sequence, timestamp, payload_type, payload):
        self.packets.append((time, sequence, timestamp, payload_type, payload))

    @property
    def first(self):
        return self.packets[0][0]

    @property
    def last(self):
        return self.packets[-1][0]

    def missing(self):
        """How many sequence numbers were skipped."""
        return sum((after[1] - before[1] - 1) & 0xffff
                   for before, after in zip(self.packets, self.packets[1:]))

    def samples(self):
        """The audio on the stream's own time line, gaps as silence."""
        start = self.packets[0][2]
        offsets = [((packet[2] - start + (1 << 31)) & 0xffffffff) - (1 << 31)
                   for packet in self.packets]
        line = numpy.zeros(max(offsets) + 400)
        for offset, packet in zip(offsets, self.packets):
            decoded = audio.DECODE[packet[3]][numpy.frombuffer(packet[4], dtype=numpy.uint8)]
            if offset >= 0:
                line[offset:offset + len(decoded)] = decoded[:len(line) - offset]
        return line


def udp_parse(frame):
    if len(frame) < 14:
        return None
    kind, at = struct.unpack(">H", frame[12:14])[0], 14
    if kind == VLAN:
        kind, at = struct.unpack(">H", frame[16:18])[0], 18
    if kind == IPV4 and len(frame) >= at + 20 and frame[at + 9] == UDP:
        source, destination = frame[at + 12:at + 16], frame[at + 16:at + 20]
        family, at = socket.AF_INET, at + (frame[at] & 15) * 4
    elif kind == IPV6 and len(frame) >= at + 40 and frame[at + 6] == UDP:
        source, destination = frame[at + 8:at + 24], frame[at + 24:at + 40]
        family, at = socket.AF_INET6, at + 40
    else:
        return None
    if len(frame) < at + 8:
        return None
    sport, dport, length, _ = struct.unpack(">HHHH", frame[at:at + 8])
    return (socket.inet_ntop(family, source), sport, socket.inet_ntop(family, destination), dport,
            frame[at + 8:at + length])
