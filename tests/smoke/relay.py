"""The dataplane alone: real UDP sockets as phones, ng over its Unix socket, on each kind of port."""
import contextlib
import json
import mmap
import os
import re
import select
import socket
import struct
import time

from support.case import Skipped, has_af_xdp, scenario
from support.network import Lan
from support.process import Process, eventually
from support.tandem import yaml

PACKETS = 50


class Dataplane:
    """Alone, with two shared ports of a kind, or a TAP; or with what `keys` say."""

    made = 0

    def __init__(self, case, kind, **keys):
        lan = case.lan or case.make_lan()
        Dataplane.made += 1
        self.directory = os.path.join(case.directory, "dataplane%d" % Dataplane.made)
        os.makedirs(self.directory)
        self.run_dir = os.path.join(self.directory, "run")
        if kind == "af_xdp" and not has_af_xdp():
            raise Skipped("this kernel has no AF_XDP sockets")
        if kind == "tap":
            lan.bridge_server()
            ports = [{"kind": "tap", "device": "tap0", "gateway": "10.20.0.11",
                      "addresses": [Lan.MEDIA4 + "/24", Lan.MEDIA6 + "/64"]}]
        else:
            ports = [{"kind": kind, "device": "eth0"}, {"kind": kind, "device": "lo"}]
        config = os.path.join(self.directory, "dataplane.yaml")
        with open(config, "w") as file:
            file.write(yaml({"run_dir": self.run_dir, "dataplane": {
                "ports": ports, "hugepages": False, "memory_mb": 128, **keys}}))
        self.starts = self.asked = 0
        self.program = os.path.join(case.build, "dataplane", "main", "tandem-dataplane")
        self.config, self.namespace, self.case = config, lan.server, case
        self.start()
        if kind == "tap":
            lan.server.ip("link", "set", "tap0", "master", "br0", "up")

    def start(self, prefix=()):
        self.starts += 1
        log = os.path.join(self.directory, "log%d" % self.starts)
        self.process = self.case.keep(Process([*prefix, self.program, "--config", self.config],
                                              log, namespace=self.namespace))
        eventually(lambda: "dataplane ready" in self.process.text(), 10, "the dataplane is ready",
                   fail_if=self.process.must_run)

    def ng(self, command, **keys):
        self.asked += 1  # the same cookie would get the same reply again
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(os.path.join(self.run_dir, "ng.sock"))
            keys = {key.replace("_", "-"): value for key, value in keys.items()}
            connection.sendall(b"s%d " % self.asked +
                               json.dumps({"command": command, **keys}).encode())
            received = b""
            while True:
                part = connection.recv(65536)
                assert part, "ng connection closed after %r" % received
                received += part
                with contextlib.suppress(ValueError):
                    return json.loads(received.split(b" ", 1)[1])

    def counter(self, name):
        """Of the workers, wherever `statistics` shows it."""
        found = re.search(r'"%s":\s*(\d+)' % re.escape(name), json.dumps(self.ng("statistics")))
        assert found, "no counter %s" % name
        return int(found.group(1))


class Phone:
    """A UDP socket that says RTP and hears it."""

    def __init__(self, namespace, address):
        self.family = 6 if ":" in address else 4
        with namespace.entered():
            self.socket = socket.socket(
                socket.AF_INET6 if self.family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
        # A burst after a pause of a busy machine is not to be lost here.
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
        self.socket.bind((address, 0))
        self.address, self.port = self.socket.getsockname()[:2]
        self.ssrc = self.port
        self.heard = []
        self.refused = 0
        self.target = None

    def sdp(self):
        return ("v=0\r\no=- 1 1 IN IP{0} {1}\r\ns=-\r\nc=IN IP{0} {1}\r\nt=0 0\r\n"
                "m=audio {2} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n").format(
                    self.family, self.address, self.port)

    def aim(self, sdp):
        address = re.search(r"c=IN IP[46] (\S+)", sdp).group(1)
        self.target = address, int(re.search(r"m=audio (\d+)", sdp).group(1))

    def say(self, seq, payload=b"\x55" * 160):
        # ECONNREFUSED: somebody answered with "port unreachable".
        try:
            self.socket.sendto(struct.pack("!BBHII", 0x80, 0, seq, seq * 160, self.ssrc) + payload,
                               self.target)
        except ConnectionRefusedError:
            self.refused += 1

    def hear(self, seconds):
        while select.select([self.socket], [], [], seconds)[0]:
            try:
                received, source = self.socket.recvfrom(2048)
            except ConnectionRefusedError:
                self.refused += 1
                continue
            assert source[:2] == self.target, "from %s, not %s" % (source, self.target)
            assert len(received) == 172
            self.heard.append((struct.unpack("!I", received[8:12])[0],
                               struct.unpack("!H", received[2:4])[0]))


def call(dataplane, a, b, to_a, to_b, **more):
    """Offer from a, answer from b; to_a and to_b are our addresses facing each of them."""
    call_id = "call-%d-%d" % (a.port, b.port)
    for command, phone, other, keys in (("offer", a, b, {"media_address": to_b}),
                                        ("answer", b, a, {"to_tag": "b", "media_address": to_a})):
        keys["address_family"] = "IP%d" % other.family
        reply = dataplane.ng(command, call_id=call_id, from_tag="a", sdp=phone.sdp(), **keys, **more)
        assert reply["result"] == "ok", reply
        other.aim(reply["sdp"])
    return call_id


def talk(a, b):
    # The first ones may be lost: until each has said something, the other's way is being found.
    for seq in range(PACKETS):
        a.say(seq)
        b.say(seq)
        a.hear(0.001)
        b.hear(0.001)
        time.sleep(0.002)
    a.hear(0.2)
    b.hear(0.2)
    for listener, speaker in ((a, b), (b, a)):
        assert {ssrc for ssrc, _ in listener.heard} == {speaker.ssrc}, listener.heard
        assert len(listener.heard) >= PACKETS - 2, "%s heard %d of %d" % (
            listener.address, len(listener.heard), PACKETS)
        assert not listener.refused, "%s got ICMP" % listener.address


def converse(dataplane, namespace_a, address_a, to_a, namespace_b, address_b, to_b):
    a, b = Phone(namespace_a, address_a), Phone(namespace_b, address_b)
    call_id = call(dataplane, a, b, to_a, to_b)
    talk(a, b)
    reply = dataplane.ng("query", call_id=call_id)
    assert reply["totals"]["RTP"]["packets"] == 2 * PACKETS, reply["totals"]
    assert dataplane.ng("delete", call_id=call_id, from_tag="a")["result"] == "ok"
    return a, b


def shared(case, kind):
    dataplane = Dataplane(case, kind)
    server, phones = case.lan.server, case.lan.phones
    a, b = phones["a"], phones["b"]
    lan4, lan6 = Lan.SERVER4, Lan.SERVER6
    for calls in (
            (a, a.address4, lan4, b, b.address4, lan4),
            (a, a.address6, lan6, b, b.address6, lan6),
            (a, a.address4, lan4, b, b.address6, lan6),
            # a phone on the same machine, by its LAN address and by loopback
            (a, a.address4, lan4, server, lan4, lan4),
            (a, a.address6, lan6, server, lan6, lan6),
            (a, a.address4, lan4, server, "127.0.0.1", "127.0.0.1"),
            (a, a.address4, lan4, server, "::1", "::1"),
            (server, "127.0.0.1", "127.0.0.1", server, lan4, lan4)):
        converse(dataplane, *calls)
    # What is not media stays with the kernel.
    with server.entered():
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((lan4, 5060))
    listener.settimeout(2)
    with a.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(b"OPTIONS", (lan4, 5060))
    assert listener.recv(100) == b"OPTIONS"
    a.run("ping", "-c", "1", "-W", "2", lan4)
    a.run("ping", "-c", "1", "-W", "2", lan6)
    # What nobody expects is dropped, counted, and not answered.
    before = dataplane.counter("drop.no_flow")
    phone = Phone(a, a.address4)
    phone.socket.connect((lan4, 20000))
    for seq in range(10):
        with contextlib.suppress(ConnectionRefusedError):
            phone.socket.send(os.urandom(seq * 100))
        time.sleep(0.001)
    time.sleep(0.1)
    assert phone.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0, "ICMP came back"
    assert dataplane.counter("drop.no_flow") >= before + 10, (before, dataplane.ng("statistics"))
    dataplane.process.must_run()
    assert dataplane.process.stop() == 0, dataplane.process.text()
    links = server.ip("link", "show") + server.run("tc", "filter", "show", "dev", "eth0",
                                                   "ingress").stdout
    assert "xdp" not in links and "bpf" not in links, links
    return dataplane


@scenario("relay between phones on the LAN and on the same machine by AF_XDP, IPv4 and IPv6")
def af_xdp(case):
    shared(case, "af_xdp")


@scenario("the same by AF_PACKET")
def af_packet(case):
    shared(case, "af_packet")


@scenario("an automatic port takes AF_XDP, or AF_PACKET when another XDP program is there")
def auto(case):
    lan = case.make_lan()
    dataplane = Dataplane(case, "auto")
    converse(dataplane, lan.phones["a"], lan.phones["a"].address4, Lan.SERVER4,
             lan.phones["b"], lan.phones["b"].address4, Lan.SERVER4)
    assert "eth0: %s on eth0" % ("af_xdp" if has_af_xdp() else "af_packet") \
        in dataplane.process.text()
    dataplane.process.kill()  # with -9: the program stays on the device, the next one replaces it
    dataplane.start()
    converse(dataplane, lan.phones["a"], lan.phones["a"].address4, Lan.SERVER4,
             lan.phones["b"], lan.phones["b"].address4, Lan.SERVER4)
    dataplane.process.stop()
    other = os.path.join(case.build, "dataplane", "main", "media_drop.bpf.o")
    if lan.server.run("ip", "link", "set", "eth0", "xdp", "obj", other, "sec", "tc",
                      check=False).returncode:
        return  # this kernel or ip cannot; the fall-back was tried with kind af_packet
    dataplane.start()
    assert "using AF_PACKET" in dataplane.process.text()


@scenario("relay by an owned TAP port that answers ARP, ND and ping")
def tap(case):
    dataplane = Dataplane(case, "tap")
    a, b = case.lan.phones["a"], case.lan.phones["b"]
    a.run("ping", "-c", "2", "-W", "2", Lan.MEDIA4)
    a.run("ping", "-c", "2", "-W", "2", Lan.MEDIA6)
    converse(dataplane, a, a.address4, Lan.MEDIA4, b, b.address4, Lan.MEDIA4)
    converse(dataplane, a, a.address6, Lan.MEDIA6, b, b.address6, Lan.MEDIA6)
    converse(dataplane, a, a.address4, Lan.MEDIA4, b, b.address6, Lan.MEDIA6)
    # A phone that only listens: its Ethernet address is found by ARP and ND of our own.
    for address, to in (("address4", Lan.MEDIA4), ("address6", Lan.MEDIA6)):
        one_way(dataplane, a, getattr(a, address), b, getattr(b, address), to)
    # One behind the gateway (phone a, who has no way back; ARP for it is enough to see).
    a.ip("addr", "add", "198.51.100.7/32", "dev", "lo")
    one_way(dataplane, b, b.address4, a, "198.51.100.7", Lan.MEDIA4)


def one_way(dataplane, namespace_a, address_a, namespace_b, address_b, to):
    a, b = Phone(namespace_a, address_a), Phone(namespace_b, address_b)
    call(dataplane, a, b, to, to)
    time.sleep(0.2)
    for seq in range(PACKETS):
        a.say(seq)
        time.sleep(0.002)
    b.hear(0.3)
    assert len(b.heard) >= PACKETS - 5, "heard %d" % len(b.heard)


@scenario("a phone that only listens is found through the kernel's routes and neighbours")
def next_hop(case):
    dataplane = Dataplane(case, "af_packet")
    a, b = case.lan.phones["a"], case.lan.phones["b"]
    one_way(dataplane, a, a.address4, b, b.address4, Lan.SERVER4)
    one_way(dataplane, a, a.address6, b, b.address6, Lan.SERVER6)
    # behind a router, which is phone b
    b.ip("addr", "add", "198.51.100.7/32", "dev", "lo")
    case.lan.server.ip("route", "add", "198.51.100.0/24", "via", b.address4)
    one_way(dataplane, a, a.address4, b, "198.51.100.7", Lan.SERVER4)
    # on the same machine
    one_way(dataplane, a, a.address4, case.lan.server, Lan.SERVER4, Lan.SERVER4)


@scenario("a stranger's packets are dropped and counted; with media handover the flow moves to him")
def strict_source(case):
    dataplane = Dataplane(case, "af_packet")
    lan = case.lan
    for flags in ([], ["media handover"]):
        a, b = Phone(lan.phones["a"], lan.phones["a"].address4), \
            Phone(lan.phones["b"], lan.phones["b"].address4)
        call(dataplane, a, b, Lan.SERVER4, Lan.SERVER4, flags=flags)
        talk(a, b)
        stranger = Phone(lan.phones["b"], lan.phones["b"].address4)
        stranger.target = a.target
        before = dataplane.counter("drop.strict_source")
        for seq in range(20):
            stranger.say(seq)
        b.say(PACKETS)
        b.hear(0.2)
        stranger.hear(0.1)
        heard = sum(ssrc == stranger.ssrc for ssrc, _ in b.heard)
        dropped = dataplane.counter("drop.strict_source") - before
        assert (heard, dropped) == ((20, 0) if flags else (0, 20)), (flags, heard, dropped)
        assert bool(stranger.heard) == bool(flags), stranger.heard


@scenario("two workers share the flows; what arrives at the wrong one is handed over")
def two_workers(case):
    dataplane = Dataplane(case, "af_xdp", workers=2)
    a, b = case.lan.phones["a"], case.lan.phones["b"]
    for _ in range(4):
        converse(dataplane, a, a.address4, Lan.SERVER4, b, b.address6, Lan.SERVER6)
        converse(dataplane, a, a.address4, Lan.SERVER4, case.lan.server, "127.0.0.1", "127.0.0.1")
    assert dataplane.counter("worker.handoff") > 0


@scenario("two dataplanes back to back over memif: one finds the other by ARP, which echoes")
def memif(case):
    lan = case.make_lan()
    path = os.path.join(case.directory, "memif.sock")
    echo = Dataplane(case, "memif", ports=[
        {"name": "m0", "kind": "memif", "device": path, "addresses": ["10.79.0.2/24"],
         "arguments": "role=server"}])
    relay = Dataplane(case, "memif", ports=[
        {"kind": "af_packet", "device": "eth0"},
        {"name": "m0", "kind": "memif", "device": path, "addresses": ["10.79.0.1/24"],
         "arguments": "role=client"}])
    phone, far = Phone(lan.phones["a"], lan.phones["a"].address4), Phone(lan.server, "127.0.0.1")
    for command, keys in (("offer", {"media_echo": "both"}), ("answer", {"to_tag": "b"})):
        reply = echo.ng(command, call_id="echo", from_tag="a", sdp=far.sdp(), **keys)
        assert reply["result"] == "ok", reply
    echo_sdp = reply["sdp"]
    reply = relay.ng("offer", call_id="call", from_tag="a", sdp=phone.sdp(),
                     media_address="10.79.0.1")
    assert "10.79.0.1" in reply["sdp"], reply
    reply = relay.ng("answer", call_id="call", from_tag="a", to_tag="b", sdp=echo_sdp,
                     media_address=Lan.SERVER4)
    phone.aim(reply["sdp"])
    time.sleep(0.2)
    for seq in range(PACKETS):
        phone.say(seq)
        phone.hear(0.002)
    phone.hear(0.2)
    assert len(phone.heard) >= PACKETS - 5, "heard %d" % len(phone.heard)
    assert {ssrc for ssrc, _ in phone.heard} == {phone.ssrc}


class ForkRing:
    """What the recorder would get, read here (dataplane/api/fork.h)."""

    TYPES = "pad start stream packet rtcp stream_end end".split()

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(path)
        hello, fds, _, _ = socket.recv_fds(self.socket, 64, 16)
        magic, version, rings, _ = struct.unpack("QIIQ", hello)
        assert (magic, version, rings) == (0x54444641524b3031, 1, 1) and len(fds) == 1
        self.map = mmap.mmap(fds[0], 0)
        os.close(fds[0])
        self.bytes = struct.unpack_from("Q", self.map, 24)[0]
        self.at = 0

    def records(self):
        """Those up to now, as (type, leg, stream, packet, payload)."""
        head = struct.unpack_from("Q", self.map, 64)[0]
        found = []
        while self.at < head:
            place = 4096 + self.at % self.bytes
            length, kind, leg, _, stream, payload_len = struct.unpack_from("IHHQII", self.map, place)
            packet = struct.unpack_from("Q", self.map, place + 48)[0]
            if kind:
                payload = self.map[place + 64:place + 64 + payload_len]
                found.append((self.TYPES[kind], leg, stream, packet, payload))
            self.at += length
        struct.pack_into("Q", self.map, 128, self.at)
        return found


@scenario("what is recorded stands in the fork ring, framed also when the dataplane is stopped")
def fork_ring(case):
    dataplane = Dataplane(case, "af_packet", fork_ring_mb=1)
    ring = ForkRing(os.path.join(dataplane.run_dir, "fork.sock"))
    lan = case.lan
    a, b = Phone(lan.phones["a"], lan.phones["a"].address4), \
        Phone(lan.phones["b"], lan.phones["b"].address6)
    call_id = call(dataplane, a, b, Lan.SERVER4, Lan.SERVER6)
    reply = dataplane.ng("start recording", call_id=call_id, metadata="m")
    assert reply["result"] == "ok", reply
    talk(a, b)
    # More than the ring holds: packets are lost to it, and counted, but not to the phones.
    records = ring.records()
    a.heard, b.heard = [], []
    for seq in range(PACKETS, PACKETS + 3000):
        a.say(seq)
        b.say(seq)
        a.hear(0)
        b.hear(0)
    a.hear(0.2)
    b.hear(0.2)
    assert len(a.heard) + len(b.heard) >= 5900, (len(a.heard), len(b.heard))
    # The last records wait for room: the reader goes on while the dataplane stops.
    dataplane.process.child.terminate()
    while dataplane.process.running():
        records += ring.records()
        time.sleep(0.01)
    assert dataplane.process.stop() == 0
    records += ring.records()
    kinds = [record[0] for record in records]
    assert kinds[:3] == ["start", "stream", "stream"], kinds[:5]
    assert kinds[-3:] == ["stream_end", "stream_end", "end"], kinds[-5:]
    assert json.loads(records[-1][4])["reason"] == "shutdown"
    for _, leg, stream, _, payload in records[-3:-1]:
        packets, overrun, _ = struct.unpack("QQQ", payload)
        numbers = [record[3] for record in records
                   if record[0] == "packet" and record[1:3] == (leg, stream)]
        assert packets >= PACKETS + 2900 and overrun > 0, (packets, overrun)
        assert len(numbers) + overrun == packets, (len(numbers), overrun, packets)
        assert numbers == sorted(set(numbers)), "out of order"


def cpu_s(pid):
    """Of all threads of the process that `ip netns exec` became."""
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@scenario("one CPU is enough for main and worker, and an idle dataplane takes 2 % of it at most")
def one_cpu(case):
    dataplane = Dataplane(case, "af_xdp")
    dataplane.process.stop()
    dataplane.start(prefix=("taskset", "-c", "0"))
    a, b = case.lan.phones["a"], case.lan.phones["b"]
    converse(dataplane, a, a.address4, Lan.SERVER4, b, b.address4, Lan.SERVER4)
    time.sleep(0.5)
    before = cpu_s(dataplane.process.pid)
    time.sleep(4)
    used = (cpu_s(dataplane.process.pid) - before) / 4
    assert used <= 0.02, "%.1f %%" % (used * 100)


@scenario("a second dataplane does not take a device away from the first one")
def second_dataplane(case):
    dataplane = Dataplane(case, "auto")
    result = case.lan.server.run(dataplane.program, "--config", dataplane.config, check=False)
    assert result.returncode == 1, result.stderr
    assert "port eth0: another dataplane has the device eth0" in result.stderr, result.stderr
    a, b = case.lan.phones["a"], case.lan.phones["b"]
    # Its sockets are untouched as well: the second one ended before it made any.
    converse(dataplane, a, a.address4, Lan.SERVER4, b, b.address4, Lan.SERVER4)


@scenario("a media device that is not there, and one without addresses, are told clearly")
def errors(case):
    lan = case.make_lan()
    program = os.path.join(case.build, "dataplane", "main", "tandem-dataplane")
    lan.server.ip("link", "add", "bare0", "type", "veth", "peer", "name", "bare1")
    for ports, said in (([{"device": "eth7"}], "port eth7: no network device eth7"),
                        ([{"device": "bare0"}], "port bare0: device bare0 has no address"),
                        ([{"device": "eth0", "addresses": ["192.0.2.7"]}],
                         "port eth0: device eth0 does not have the address 192.0.2.7")):
        config = os.path.join(case.directory, "broken.yaml")
        with open(config, "w") as file:
            file.write(yaml({"run_dir": os.path.join(case.directory, "run"),
                             "dataplane": {"ports": ports}}))
        result = lan.server.run(program, "--config", config, check=False)
        assert result.returncode == 1 and said in result.stderr, result.stderr
