"""SIPp plays what phones do besides talking."""
import socket
import subprocess
import time

from support import talk as judge
from support.case import scenario
from support.network import Lan
from support.process import eventually
from support.steps import (CHALLENGE, ack, bye, callee_answers, callee_bye, caller_talks, cancel, challenged,
                           invite, options_request, pause, recv, recv_bye_unanswered, recv_invite,
                           reinvite, respond, respond_to_bye, respond_to_invite, sdp)


def call(case, caller_steps, callee_steps=None, calls=1, rate=10, user="1001", number="1002",
         caller_options=(), callee_options=(), seconds=30, **options):
    """Runs a caller against a registered callee; both must come through their scenario."""
    callee = None
    if callee_steps:
        case.register("b", "1002")
        callee = case.sipp("b", "callee", callee_steps, None, calls=calls, user="1002",
                           seconds=seconds, options=callee_options)
        time.sleep(0.3)
    caller = case.sipp("a", "caller", caller_steps, user=user, number=number, calls=calls,
                       rate=rate, seconds=seconds, options=caller_options, **options)
    caller.finish()
    if callee:
        callee.finish()
    return caller, callee


def ended_row(case, tandem, status, by, answered=False):
    row = judge.only_cdr(tandem)
    assert row["sip_status"] == status and row["ended_by"] == by, row
    assert bool(row["answered"]) == answered, row
    return row


@scenario("REGISTER and INVITE with a wrong password are refused, no call comes of it")
def wrong_password(case):
    tandem = case.tandem()
    case.register_refused("a", "1001", "wrong")
    assert tandem.registrations() == []
    case.sipp("a", "invite", challenged(recv(100, optional=True), recv(403), ack(2)),
              user="1001", password="wrong", number="600").finish()
    case.sipp("a", "stranger", challenged(recv(100, optional=True), recv(403), ack(2)),
              user="9999", password="wrong", number="600").finish()
    time.sleep(0.5)
    assert tandem.cdrs() == []


@scenario("a number that nobody has gets 404")
def unknown_number(case):
    tandem = case.tandem()
    call(case, challenged(recv(100, optional=True), recv(404), ack(2)), number="4711")
    row = ended_row(case, tandem, 404, "system")
    assert (row["caller"], row["callee"], row["destination"]) == ("1001", "4711", ""), row


@scenario("a user without a phone gets 480")
def not_registered(case):
    tandem = case.tandem()
    call(case, challenged(recv(100, optional=True), recv(480), ack(2)), number="1003")
    ended_row(case, tandem, 480, "system")


@scenario("busy: the callee's 486 reaches the caller")
def busy(case):
    tandem = case.tandem()
    call(case, challenged(recv(100, optional=True), recv(180, optional=True), recv(486), ack(2)),
         [recv_invite(), respond(486, "Busy Here"), recv("ACK")])
    ended_row(case, tandem, 486, "callee")


CANCELLED = [recv_invite(), respond(180, "Ringing"), recv("CANCEL"),
             respond(200, "OK", to_tag=False, contact=False),
             respond_to_invite(487, "Request Terminated"), recv("ACK")]


@scenario("no answer: after the ringing time the callee gets CANCEL and the caller 480")
def no_answer(case):
    tandem = case.tandem(control={"ring_timeout_s": 2})
    started = time.monotonic()
    call(case, challenged(recv(100, optional=True), recv(180), recv(480), ack(2)), CANCELLED)
    assert 2 <= time.monotonic() - started < 6
    ended_row(case, tandem, 480, "system")


@scenario("the caller gives up: CANCEL goes through, 487 comes back")
def caller_cancels(case):
    tandem = case.tandem()
    call(case, challenged(recv(100, optional=True), recv(180), pause(200), cancel(2), recv(200),
                          recv(487), ack(2)), CANCELLED)
    ended_row(case, tandem, 487, "caller")


@scenario("both hang up at once: each BYE is answered, one CDR")
def both_hang_up(case):
    tandem = case.tandem()
    callee = [recv_invite(), respond(180, "Ringing"), respond(200, "OK", sdp()),
              recv("ACK", routes=True), recv_bye_unanswered(), callee_bye(), recv(200),
              respond_to_bye()]
    call(case, caller_talks(500), callee)
    ended_row(case, tandem, 200, "caller", answered=True)


@scenario("retransmitted INVITE and BYE are answered again and done once")
def retransmissions(case):
    tandem = case.tandem()
    caller = [invite(), recv(100, optional=True), recv(CHALLENGE, auth=True), ack(1),
              invite(auth=True), recv(100), invite(auth=True, again=True),
              recv(100, optional=True), recv(180, optional=True), recv(200, routes=True),
              ack(2, success=True), ack(2, success=True), pause(300), bye(), recv(200)]
    caller_run, callee_run = call(case, caller, callee_answers())
    # The BYE once more, byte for byte and from the same port, as if its answer had been lost.
    phone = case.lan.phones["a"]
    with phone.entered():
        again = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with again:
        again.bind((phone.address4, 5060))
        again.settimeout(2)
        for _ in range(3):
            again.sendto(caller_run.last_sent("BYE"), (Lan.SERVER4, 5060))
            answer = again.recv(4096).decode()
            assert answer.startswith("SIP/2.0 200 ") and "CSeq: 3 BYE" in answer, answer
    assert callee_run.messages().count("\nINVITE sip:") == 1, callee_run.messages()
    assert callee_run.messages().count("\nBYE sip:") == 1, callee_run.messages()
    ended_row(case, tandem, 200, "caller", answered=True)


@scenario("hold and resume: re-INVITEs reach the other side, media direction follows")
def hold_and_resume(case):
    tandem = case.tandem()
    caller = challenged(
        recv(100, optional=True), recv(180, optional=True), recv(200, routes=True),
        ack(2, success=True), pause(300),
        reinvite(3, "sendonly", 2), recv(100, optional=True),
        recv(200, regexp=("a=recvonly", None)), ack(3, success=True), pause(300),
        reinvite(4, "sendrecv", 3), recv(100, optional=True),
        recv(200, regexp=("a=sendrecv", None)), ack(4, success=True), pause(300),
        bye(5), recv(200))
    callee = [
        recv_invite(), respond(180, "Ringing"), respond(200, "OK", sdp()), recv("ACK"),
        recv("INVITE", regexp=("a=sendonly", None)),
        respond(200, "OK", sdp("recvonly", 2), to_tag=False), recv("ACK"),
        recv("INVITE", regexp=("a=sendrecv", None)),
        respond(200, "OK", sdp("sendrecv", 3), to_tag=False), recv("ACK"),
        recv("BYE"), respond(200, "OK", to_tag=False)]
    call(case, caller, callee)
    ended_row(case, tandem, 200, "caller", answered=True)


@scenario("OPTIONS is answered")
def options_answered(case):
    case.tandem()
    case.sipp("a", "options", [options_request(), recv(200)], number="1002").finish()


@scenario("200 calls at once with media: every one answered, recorded and accounted for")
def two_hundred_calls(case):
    count = 200
    tandem = case.tandem("af_xdp")
    audio = case.directory + "/speech.ul"
    subprocess.run(["sox", case.speech("a"), "-t", "ul", "-r", "8000", "-c", "1", audio],
                   check=True, stdin=subprocess.DEVNULL, capture_output=True)
    most = 0

    def watch():
        nonlocal most
        most = max(most, len(tandem.calls()))
        return most >= count

    case.register("b", "1002")
    callee = case.sipp("b", "callee", callee_answers(), None, calls=count, user="1002", seconds=60,
                       options=["-rtp_echo"])
    time.sleep(0.3)
    talker = caller_talks(8000, audio, port="[rtpstream_audio_port]")
    caller = case.sipp("a", "caller", talker, user="1001", number="1002", calls=count, rate=50,
                       seconds=60)
    eventually(watch, 20, "all calls are up at once", step=0.3, fail_if=caller.process.must_run)
    caller.finish()
    callee.finish()
    rows = eventually(lambda: len(tandem.cdrs(count + 1)) >= count and tandem.cdrs(count + 1), 20,
                      "%d CDRs" % count, step=0.5)
    assert len(rows) == count
    assert all(row["sip_status"] == 200 and row["ended_by"] == "caller" for row in rows)
    assert len({row["recording_id"] for row in rows}) == count
    recordings = eventually(lambda: len(tandem.recordings(count + 1)) >= count and
                          tandem.recordings(count + 1), 60, "%d recordings" % count, step=0.5)
    for recording in recordings:
        assert recording["packets_received"] == recording["packets_written"], recording
        assert not recording["packets_overrun"], recording
        # 8 s of both directions, started and stopped some hundred ms apart.
        assert 7 * 50 * 2 <= recording["packets_received"] <= 9 * 50 * 2, recording
        assert 7000 <= recording["duration_ms"] <= 9500, recording
    assert len(tandem.objects()) == count
