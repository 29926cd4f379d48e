"""Two phones talk; each kind of port, both address families, the echo extension."""
import time

from support import audio, talk as judge
from support.case import scenario
from support.network import Lan

SECONDS = 6
INSIDE = "20000-20100"  # a phone on the server whose ports lie in the dataplane's range


def talk_and_judge(case, tandem, caller, callee, capture=None):
    talk = judge.hold_conversation(caller, callee, SECONDS)
    judge.must_hear_each_other(talk, SECONDS)
    row = judge.only_cdr(tandem)
    judge.must_account(talk, row)
    recording = judge.recording_of(tandem, row)
    if capture:
        capture.stop()
    judge.must_be_recorded(talk, tandem.fetch(recording), recording, capture)
    assert len(tandem.recordings()) == 1, tandem.recordings()
    return talk, row, recording


def on_port(case, port):
    tandem = case.tandem(port)
    capture = case.capture()
    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    talk_and_judge(case, tandem, caller, callee, capture)
    return tandem


@scenario("two phones over AF_XDP: heard, recorded, accounted for")
def two_phones_af_xdp(case):
    on_port(case, "af_xdp")


@scenario("two phones over AF_PACKET: heard, recorded, accounted for")
def two_phones_af_packet(case):
    on_port(case, "af_packet")


@scenario("two phones over an owned TAP port: heard, recorded, accounted for")
def two_phones_tap(case):
    tandem = on_port(case, "tap")
    # An owned port answers for itself.
    phone = case.lan.phones["a"]
    phone.run("ping", "-c", "2", "-i", "0.2", "-W", "2", Lan.MEDIA4)
    phone.run("ping", "-6", "-c", "2", "-i", "0.2", "-W", "2", Lan.MEDIA6)
    assert tandem.restarts() == []


@scenario("a phone on the server itself and one on the network, over AF_XDP")
def phone_on_same_machine(case):
    tandem = case.tandem("af_xdp")
    caller = case.phone("server", "1001", server="127.0.0.1", voice="a", address="127.0.0.1",
                        interface="127.0.0.1", port=5070, rtp_ports=INSIDE)
    callee = case.phone("b", "1002")
    talk_and_judge(case, tandem, caller, callee)


@scenario("a phone on the server itself is called, over AF_PACKET")
def phone_on_same_machine_is_called(case):
    tandem = case.tandem("af_packet")
    caller = case.phone("a", "1001")
    callee = case.phone("server", "1002", server="127.0.0.1", voice="b", address="127.0.0.1",
                        interface="127.0.0.1", port=5070, rtp_ports=INSIDE)
    talk_and_judge(case, tandem, caller, callee)


@scenario("two phones over IPv6")
def two_phones_ipv6(case):
    tandem = case.tandem("af_xdp")
    capture = case.capture()
    phones = case.lan.phones
    caller = case.phone("a", "1001", server=Lan.SERVER6, address=phones["a"].address6)
    callee = case.phone("b", "1002", server=Lan.SERVER6, address=phones["b"].address6)
    talk_and_judge(case, tandem, caller, callee, capture)


@scenario("a phone with IPv6 calls one with IPv4, SIP over TCP")
def ipv6_calls_ipv4_over_tcp(case):
    tandem = case.tandem("af_packet")
    phones = case.lan.phones
    caller = case.phone("a", "1001", server=Lan.SERVER6, address=phones["a"].address6,
                        transport="tcp")
    callee = case.phone("b", "1002", transport="tcp")
    talk_and_judge(case, tandem, caller, callee)


@scenario("two phones with A-law, the callee hangs up")
def alaw_callee_hangs_up(case):
    tandem = case.tandem("af_packet")
    caller = case.phone("a", "1001", codec="PCMA")
    callee = case.phone("b", "1002", codec="PCMA")
    talk = judge.hold_conversation(caller, callee, SECONDS, by=callee)
    judge.must_hear_each_other(talk, SECONDS)
    row = judge.only_cdr(tandem)
    judge.must_account(talk, row, by="callee")
    recording = judge.recording_of(tandem, row)
    judge.must_be_recorded(talk, tandem.fetch(recording), recording)


@scenario("600 gives the caller's voice back, through the dataplane")
def echo(case):
    tandem = case.tandem("af_xdp")
    caller = case.phone("a", "1001")
    dialled = time.time()
    caller.dial("600")
    answered = caller.wait_event("CALL_ESTABLISHED")["at"]
    time.sleep(SECONDS)
    ended = time.time()
    caller.hang_up()
    heard = caller.heard()
    assert len(heard) >= (SECONDS - 1) * audio.RATE, len(heard)
    judge.must_match(heard, caller.sent(), "the caller hears itself")
    row = judge.only_cdr(tandem)
    assert (row["caller"], row["callee"]) == ("1001", "600"), row
    for field, at in (("started", dialled), ("answered", answered), ("ended", ended)):
        assert abs(judge.seconds_of(row[field]) - at) <= 1.0, (field, row)
    assert row["ended_by"] == "caller" and row["sip_status"] == 200, row
