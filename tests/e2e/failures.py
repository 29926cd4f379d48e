"""Daemons that are killed, and strangers who send garbage."""
import json
import os
import random
import socket
import time

from support import audio, talk as judge
from support.case import scenario
from support.network import Lan
from support.process import eventually

SECONDS = 8


@scenario("the recorder is killed with -9 in mid-call: the recording is whole")
def recorder_killed(case):
    tandem = case.tandem("af_xdp")
    capture = case.capture()
    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    talk = judge.begin(caller, callee)
    time.sleep(SECONDS / 2)
    tandem.kill("recorder")
    time.sleep(SECONDS / 2)
    judge.end(talk)
    capture.stop()
    judge.must_hear_each_other(talk, SECONDS)
    row = judge.only_cdr(tandem)
    judge.must_account(talk, row)
    recording = judge.recording_of(tandem, row)
    judge.must_be_recorded(talk, tandem.fetch(recording), recording, capture)
    assert len(tandem.recordings()) == 1 and len(tandem.objects()) == 1


@scenario("the recorder is killed again and again: the recording is whole")
def recorder_killed_often(case):
    tandem = case.tandem()
    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    talk = judge.begin(caller, callee)
    for _ in range(4):
        time.sleep(1.5)
        tandem.kill("recorder")
    time.sleep(2)
    judge.end(talk)
    row = judge.only_cdr(tandem)
    recording = judge.recording_of(tandem, row)
    judge.must_be_recorded(talk, tandem.fetch(recording), recording)
    assert len(tandem.recordings()) == 1


@scenario("control is killed in mid-call: that call gets its one CDR and recording, new calls work")
def control_killed(case):
    tandem = case.tandem()
    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    talk = judge.begin(caller, callee)
    time.sleep(3)
    killed = time.time()
    tandem.kill("control")
    tandem.wait_ready()
    row = judge.only_cdr(tandem)
    assert row["callee"] == "1002" and row["ended_by"] == "system", row
    assert abs(judge.seconds_of(row["answered"]) - talk.answered) <= 1, row
    assert abs(judge.seconds_of(row["ended"]) - killed) <= 2, row
    recording = judge.recording_of(tandem, row)
    judge.must_be_whole(recording)
    channels, _ = audio.wav_read(tandem.fetch(recording))
    assert len(channels[0]) >= 2.5 * audio.RATE, len(channels[0])
    for phone in (caller, callee):
        phone.hang_up()
        phone.wait_event("CALL_CLOSED")
    # Nobody has registered again: the bindings come from the journal.
    talk = judge.hold_conversation(caller, callee, SECONDS)
    judge.must_hear_each_other(talk, SECONDS)
    row = judge.only_cdr(tandem, count=2)
    judge.must_account(talk, row)


@scenario("the dataplane is killed: the next call has media and is recorded")
def dataplane_killed(case):
    tandem = case.tandem("af_xdp")
    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    judge.hold_conversation(caller, callee, 3)
    tandem.kill("dataplane")
    tandem.wait_ready()
    time.sleep(1)
    talk = judge.hold_conversation(caller, callee, SECONDS)
    judge.must_hear_each_other(talk, SECONDS)
    row = judge.only_cdr(tandem, count=2)
    judge.must_account(talk, row)
    recording = judge.recording_of(tandem, row)
    judge.must_be_recorded(talk, tandem.fetch(recording), recording)


@scenario("all three are stopped and started: registrations, CDRs and recordings are still there")
def stopped_and_started(case):
    tandem = case.tandem()
    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    judge.hold_conversation(caller, callee, 3)
    row = judge.only_cdr(tandem)
    recording = judge.recording_of(tandem, row)
    tandem.stop()
    tandem.start()
    assert [one["id"] for one in tandem.cdrs()] == [row["id"]]
    assert [one["id"] for one in tandem.recordings()] == [recording["id"]]
    # Nobody has registered again: the bindings come from the journal.
    talk = judge.hold_conversation(caller, callee, SECONDS)
    judge.must_hear_each_other(talk, SECONDS)
    judge.only_cdr(tandem, count=2)


# ---- garbage --------------------------------------------------------------------------------

def garbage(generator, count):
    """Random bytes, and messages that begin well and go wrong."""
    beginnings = [b"", b"INVITE sip:1002@10.20.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP ", b"SIP/2.0 200 OK\r\n",
                  b"REGISTER sip:tandem SIP/2.0\r\nContent-Length: 999999999\r\n\r\n",
                  b"INVITE sip:1002@10.20.0.1 SIP/2.0\r\nContent-Length: -1\r\n\r\n",
                  b"\x80\x00", b"\x80\xc8\xff\xff", b"\x00\x01\x00\x08\x21\x12\xa4\x42",
                  b"x1 d7:command4:ping", b"x2 d7:command5:offer3:sdp99999999999999:",
                  b'x3 {"command":"offer","sdp":"', b"x4 " + b"l" * 200, b"x5 " + b"[" * 300,
                  b"\r\n\r\n", b"\0" * 20, b"x6 d7:command8:nonsensee"]
    for _ in range(count):
        tail = bytes(generator.randrange(256) for _ in range(generator.randrange(0, 400)))
        yield generator.choice(beginnings) + tail


def throw(namespace, host, port, pieces, kind=socket.SOCK_DGRAM):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with namespace.entered():
        thrower = socket.socket(family, kind)
    thrower.settimeout(2)
    with thrower:
        if kind == socket.SOCK_STREAM:
            thrower.connect((host, port))
            try:
                thrower.sendall(b"".join(pieces))
            except OSError:
                pass  # hung up on, as it should be
        else:
            for number, piece in enumerate(pieces):
                thrower.sendto(piece, (host, port))
                if number % 64 == 63:
                    time.sleep(0.002)


def numbers(value, path=""):
    """Every number in a tree of dictionaries, by its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, path + "/" + str(key))
    elif isinstance(value, list):
        for key, inner in enumerate(value):
            yield from numbers(inner, "%s/%d" % (path, key))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path, value


def counters(tandem):
    return dict(numbers({"status": tandem.ctl_json("status"), "ng": tandem.ng("statistics")}))


def grown(before, after, *words):
    """Counters with one of the words in their path that have grown."""
    return {path: after[path] - before.get(path, 0) for path in after
            if after[path] > before.get(path, 0) and any(word in path.lower() for word in words)}


@scenario("garbage on the SIP port, UDP and TCP: nothing crashes, counters tell, calls work")
def garbage_sip(case):
    tandem = case.tandem()
    generator = random.Random(1)
    before = counters(tandem)
    stranger = case.lan.phones["b"]
    caller = case.phone("a", "1001")
    for host in (Lan.SERVER4, Lan.SERVER6):
        throw(stranger, host, 5060, garbage(generator, 1500))
        for _ in range(20):
            throw(stranger, host, 5060, garbage(generator, 20), socket.SOCK_STREAM)
    # Connections that stay open and say nothing, or half a message.
    idle = []
    with stranger.entered():
        for _ in range(50):
            idle.append(socket.create_connection((Lan.SERVER4, 5060), 2))
    for connection in idle[::2]:
        connection.sendall(b"INVITE sip:x@y SIP/2.0\r\nVia: ")
    caller.dial("600")
    caller.wait_event("CALL_ESTABLISHED")
    time.sleep(2)
    caller.hang_up()
    judge.must_match(caller.heard(), caller.sent(), "the echo during garbage")
    for connection in idle:
        connection.close()
    found = grown(before, counters(tandem), "malformed", "bad", "invalid", "parse", "error", "drop")
    assert sum(value for path, value in found.items() if "status" in path) > 100, found


@scenario("garbage on the media ports: the call does not hear it, counters tell")
def garbage_media(case):
    tandem = case.tandem("af_xdp")
    generator = random.Random(2)
    capture = case.capture()
    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    talk = judge.begin(caller, callee)
    time.sleep(1.5)
    before = counters(tandem)
    capture.stop()
    used = {stream.dport for stream in capture.streams() if stream.destination == Lan.SERVER4}
    assert used, "no media seen on the wire"
    # A neighbour in the same network, neither of the two.
    stranger = case.lan.bridge
    stranger.ip("addr", "add", "10.20.0.99/24", "dev", "br0")
    # Rightly formed RTP as well: 160 bytes of loud noise, as the attacker would want it heard.
    noise = [b"\x80\x00" + os.urandom(10) + bytes([0x80, 0x00] * 80) for _ in range(200)]
    for port in sorted(used):
        throw(stranger, Lan.SERVER4, port, list(garbage(generator, 500)) + noise)
        throw(stranger, Lan.SERVER4, port + 1, garbage(generator, 300))
    for _ in range(500):
        throw(stranger, Lan.SERVER4, generator.randrange(16384, 32768), [os.urandom(100)])
    time.sleep(4)
    judge.end(talk)
    judge.must_hear_each_other(talk, 6)
    after = counters(tandem)
    found = grown(before, after, "drop", "unknown", "source", "malformed", "strict", "no_flow")
    assert sum(found.values()) >= 1000, (found, {key: after[key] for key in after
                                                 if after[key] != before.get(key)})
    recording = judge.recording_of(tandem, judge.only_cdr(tandem))
    judge.must_be_recorded(talk, tandem.fetch(recording), recording)


@scenario("garbage on the ng ports: answered with an error or ignored, never the end")
def garbage_ng(case):
    tandem = case.tandem(dataplane={"ng_udp": "127.0.0.1:2223", "ng_tcp": "127.0.0.1:2223"})
    generator = random.Random(3)
    before = counters(tandem)
    server = case.lan.server
    throw(server, "127.0.0.1", 2223, garbage(generator, 1500))
    for _ in range(20):
        throw(server, "127.0.0.1", 2223, garbage(generator, 20), socket.SOCK_STREAM)
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(tandem.ng_unix)
            try:
                connection.sendall(b"".join(garbage(generator, 20)))
            except OSError:
                pass  # hung up on
    # What can be understood as a message is told what is wrong with it.
    with server.entered():
        asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with asker:
        asker.settimeout(2)
        for number, body in enumerate((b"d7:command8:nonsensee", b"d3:foo3:bare", b"d7:command5:offere",
                                       b'{"command":"nonsense"}', b'{"foo":1}', b"d7:command5:off",
                                       b'{"command":')):
            cookie = b"g%d" % number
            asker.sendto(cookie + b" " + body, ("127.0.0.1", 2223))
            answer = asker.recv(4096)
            assert answer.startswith(cookie + b" "), (body, answer)
            assert b"error-reason" in answer, (body, answer)
        asker.sendto(b"p1 d7:command4:pinge", ("127.0.0.1", 2223))
        assert asker.recv(4096) == b"p1 d6:result4:ponge"
        asker.sendto(b'p2 {"command":"ping"}', ("127.0.0.1", 2223))
        assert json.loads(asker.recv(4096)[3:]) == {"result": "pong"}
    after = counters(tandem)
    found = grown(before, after, "ng.broken", "ng.no_c", "ng.errors")
    assert sum(found.values()) >= 100, found
