"""A call between two phones, and judging it by what came out: samples, files, rows."""
import datetime
import time

from . import audio
from .process import eventually

ALIKE = 0.9         # of what was sent must be in what is heard
DIFFERENT = 0.4     # and so little of anything else
APART_MAX_S = 0.020  # the two channels of a recording against each other


class Talk:
    """What happened when, by the phones' own clocks, which are ours."""

    def __init__(self, caller, callee):
        self.caller, self.callee = caller, callee
        self.dialled = self.answered = self.ended = 0.0


def begin(caller, callee, number=None):
    talk = Talk(caller, callee)
    talk.dialled = time.time()
    caller.dial(number or callee.user)
    talk.answered = caller.wait_event("CALL_ESTABLISHED")["at"]
    callee.wait_event("CALL_ESTABLISHED")
    return talk


def end(talk, by=None):
    talk.ended = time.time()
    other = talk.callee if by in (None, talk.caller) else talk.caller
    (by or talk.caller).hang_up()
    other.wait_event("CALL_CLOSED")
    return talk


def hold_conversation(caller, callee, seconds, number=None, by=None):
    talk = begin(caller, callee, number)
    time.sleep(seconds)
    return end(talk, by)


def must_match(received, sent, what):
    alike, lag = audio.match(received, sent)
    assert alike >= ALIKE, "%s: correlation %.3f (lag %d, %d samples against %d)" % (
        what, alike, lag, len(received), len(sent))
    return lag


def must_differ(received, sent, what):
    alike, _ = audio.match(received, sent)
    assert alike <= DIFFERENT, "%s: correlation %.3f" % (what, alike)


def must_hear_each_other(talk, seconds):
    for listener, speaker in ((talk.callee, talk.caller), (talk.caller, talk.callee)):
        heard = listener.heard()
        assert len(heard) >= (seconds - 1.0) * audio.RATE, "%s heard only %.2f s" % (
            listener.user, len(heard) / audio.RATE)
        must_match(heard, speaker.sent(), "%s hears %s" % (listener.user, speaker.user))
        must_differ(heard, listener.sent(), "%s hears itself" % listener.user)


def seconds_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def only_cdr(tandem, seconds=10, count=1):
    """Waits for the CDRs; there must be just as many as said. Returns the last one."""
    rows = eventually(lambda: len(tandem.cdrs()) >= count and tandem.cdrs(), seconds, "CDR written",
                      step=0.2)
    assert len(rows) == count, rows
    return rows[-1]


def must_account(talk, row, by="caller"):
    """The CDR says who, to whom, when (to the second) and by whom it was ended."""
    assert (row["caller"], row["callee"], row["destination"]) == (
        talk.caller.user, talk.callee.user, talk.callee.user), row
    for field, at in (("started", talk.dialled), ("answered", talk.answered),
                      ("ended", talk.ended)):
        assert abs(seconds_of(row[field]) - at) <= 1.0, "%s is %s, was %s" % (
            field, row[field], datetime.datetime.fromtimestamp(at, datetime.timezone.utc))
    assert row["sip_status"] == 200 and row["ended_by"] == by, row


def recording_of(tandem, row, seconds=20):
    """The row of the call's recording, when it is there."""
    assert row["recording_id"], row

    def found():
        return next((one for one in tandem.recordings() if one["id"] == row["recording_id"]), None)
    recording = eventually(found, seconds, "receipt of the recording", step=0.2)
    assert recording["call_id"] == row["id"] and recording["object"], recording
    return recording


def must_be_recorded(talk, path, recording, capture=None):
    """Caller left, callee right, whole, aligned, as long as the call was."""
    channels, rate = audio.wav_read(path)
    assert rate == audio.RATE and len(channels) == 2, (rate, len(channels))
    duration = len(channels[0]) / rate
    talked = talk.ended - talk.answered
    assert abs(duration - talked) <= 0.6, "%.2f s recorded, %.2f s talked" % (duration, talked)
    assert abs(recording["duration_ms"] / 1000 - duration) <= 0.002, (recording, duration)
    must_be_whole(recording, sum(stream.missing() for stream in capture.streams()
                                 if stream.source == talk.caller.address
                                 or stream.source == talk.callee.address) if capture else None)
    for channel, speaker, other, side in ((0, talk.caller, talk.callee, "left"),
                                          (1, talk.callee, talk.caller, "right")):
        must_match(channels[channel], speaker.sent(), "%s channel is %s" % (side, speaker.user))
        must_differ(channels[channel], other.sent(), "%s channel is %s" % (side, other.user))
    if capture:
        must_be_aligned(talk, channels, capture)


def must_be_whole(recording, missing=None):
    """Every packet that came was written. A phone on a busy machine may have skipped one: as many
    as are missing on the wire already, or 1 %, may be counted as lost."""
    received = recording["packets_received"]
    assert received == recording["packets_written"] > 0, recording
    for name in ("overrun", "undecoded", "duplicate"):
        assert recording["packets_" + name] == 0, recording
    allowed = received // 100 if missing is None else missing
    assert recording["packets_lost"] <= allowed, (recording, allowed)


def must_be_aligned(talk, channels, capture):
    """Each channel gives a time at which the recording began, by the clock of the wire."""
    begun = []
    streams = capture.streams()
    for channel, phone in enumerate((talk.caller, talk.callee)):
        sent = [stream for stream in streams if stream.source == phone.address]
        assert len(sent) == 1, "%d streams from %s on the wire" % (len(sent), phone.address)
        lag = must_match(channels[channel], sent[0].samples(), "channel %d is on the wire" % channel)
        begun.append(sent[0].first - lag / audio.RATE)
    apart = begun[1] - begun[0]
    assert abs(apart) <= APART_MAX_S, "the channels are %.1f ms apart" % (apart * 1000)
