"""The tiers outside: S3 and PostgreSQL as they should be, and away in the middle of a call."""
import hashlib
import os
import time

from support import talk as judge
from support.case import scenario
from support.process import eventually

SECONDS = 6
BUCKET = "recordings"


def s3_store(swift):
    return {"kind": "s3", "endpoint": swift.endpoint, "bucket": BUCKET, "tls": False,
            "access_key": swift.ACCESS_KEY, "secret_key": swift.SECRET_KEY}


def judge_object(case, swift, recording, talk):
    """The bucket holds this recording alone, byte for byte what the recording says."""
    objects = swift.objects(BUCKET)
    assert list(objects) == [recording["object"]], (list(objects), recording)
    body = objects[recording["object"]]
    assert len(body) == recording["bytes"], (len(body), recording)
    assert hashlib.sha256(body).hexdigest() == recording["sha256"], recording
    path = os.path.join(case.directory, "object.wav")
    with open(path, "wb") as file:
        file.write(body)
    judge.must_be_recorded(talk, path, recording)
    return path


@scenario("S3 and PostgreSQL as tiers: the object in the bucket, the rows in the database")
def s3_and_postgresql(case):
    case.make_lan()
    swift, postgres = case.swift(), case.postgres()
    tandem = case.tandem("af_xdp", store=s3_store(swift), records=postgres.uri)
    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    talk = judge.hold_conversation(caller, callee, SECONDS)
    judge.must_hear_each_other(talk, SECONDS)
    row = judge.only_cdr(tandem)
    judge.must_account(talk, row)
    recording = judge.recording_of(tandem, row)
    path = judge_object(case, swift, recording, talk)
    with open(path, "rb") as one, open(tandem.fetch(recording), "rb") as other:
        assert one.read() == other.read()
    # The row is really there, and nothing went into an embedded database instead.
    found = postgres.psql("SELECT id, caller, callee, recording_id FROM cdr")
    assert found == [[row["id"], "1001", "1002", recording["id"]]], found
    assert not os.path.exists(os.path.join(tandem.data_dir, "records.db"))


@scenario("S3 cannot be reached during a call: the recording is uploaded afterwards, whole")
def s3_unreachable(case):
    case.make_lan()
    swift = case.swift()
    swift.stop()
    tandem = case.tandem(store=s3_store(swift))
    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    talk = judge.hold_conversation(caller, callee, SECONDS)
    judge.must_hear_each_other(talk, SECONDS)
    row = judge.only_cdr(tandem)
    judge.must_account(talk, row)
    time.sleep(1)
    assert tandem.recordings() == []
    swift.start()
    recording = judge.recording_of(tandem, row, 40)
    judge_object(case, swift, recording, talk)


@scenario("S3 cannot be reached and the recorder restarts: its queue survives")
def s3_queue_survives_restart(case):
    case.make_lan()
    swift = case.swift()
    swift.stop()
    tandem = case.tandem(store=s3_store(swift))
    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    talk = judge.hold_conversation(caller, callee, SECONDS)
    row = judge.only_cdr(tandem)
    time.sleep(1)
    tandem.kill("recorder")
    swift.start()
    recording = judge.recording_of(tandem, row, 40)
    judge_object(case, swift, recording, talk)


@scenario("PostgreSQL stops during a call: the call is untouched, the CDR arrives once")
def postgresql_stops(case):
    case.make_lan()
    postgres = case.postgres()
    tandem = case.tandem(records=postgres.uri)
    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    talk = judge.begin(caller, callee)
    time.sleep(2)
    postgres.stop()
    time.sleep(SECONDS - 2)
    judge.end(talk)
    judge.must_hear_each_other(talk, SECONDS)
    # A second call begins and ends with the database away.
    caller.dial("600")
    caller.wait_event("CALL_ESTABLISHED")
    time.sleep(1)
    caller.hang_up()
    time.sleep(1)
    postgres.start()
    rows = eventually(lambda: len(found := postgres.psql(
        "SELECT callee, count(*) FROM cdr GROUP BY callee ORDER BY callee")) >= 2 and found,
        30, "both CDRs arrive", step=0.3)
    assert rows == [["1002", "1"], ["600", "1"]], rows
    row = next(one for one in tandem.cdrs() if one["callee"] == "1002")
    judge.must_account(talk, row)
    recording = judge.recording_of(tandem, row)
    judge.must_be_recorded(talk, tandem.fetch(recording), recording)


@scenario("PostgreSQL restarts while control is killed: still one row a call")
def postgresql_and_control_restart(case):
    case.make_lan()
    postgres = case.postgres()
    tandem = case.tandem(records=postgres.uri)
    caller = case.phone("a", "1001")
    for _ in range(3):
        caller.dial("600")
        caller.wait_event("CALL_ESTABLISHED")
        time.sleep(0.5)
        caller.hang_up()
        caller.wait_event("CALL_CLOSED")
        time.sleep(0.3)
    postgres.stop()
    tandem.kill("control")
    postgres.start()
    eventually(lambda: postgres.psql("SELECT count(*), count(DISTINCT id) FROM cdr") == [["3", "3"]],
               30, "three rows for three calls", step=0.3)
    time.sleep(1)
    assert postgres.psql("SELECT count(*) FROM cdr") == [["3"]]
