"""tandemctl and the HTTP API as an operator and a program see them."""
import hashlib
import http.client
import json
import os
import subprocess
import time

from support import talk as judge
from support.case import scenario
from support.process import eventually
from support.tandem import ADMIN_SECRET

COMMANDS = (["status"], ["calls"], ["calls", "hangup"], ["reg"], ["cdr"], ["rec", "list"],
            ["rec", "get"], ["user", "passwd"], ["digest"])
NOBODY = "01900000-0000-7000-8000-000000000000"


@scenario("every program explains itself, and refuses what it does not know with status 2")
def help_and_usage(case):
    tools = os.path.join(case.build, "tools")

    def run(*words, **options):
        return subprocess.run([os.path.join(tools, "tandemctl")] + list(words), text=True,
                              capture_output=True, **{"stdin": subprocess.DEVNULL, **options})
    text = run("--help")
    assert text.returncode == 0 and "Exit codes" in text.stdout, text
    for words in COMMANDS:
        assert " ".join(words) in text.stdout, words
        one = run(*words, "--help")
        assert one.returncode == 0 and " ".join(words) in one.stdout, one
    for words in (["nonsense"], ["status", "--nonsense"], ["rec", "get"], ["rec"], []):
        assert run(*words).returncode == 2, words
    for folder, name in (("dataplane/main", "tandem-dataplane"), ("recorder/main", "tandem-recorder"),
                         ("control/main", "tandem-control"), ("tools", "tandem-supervisor")):
        program = os.path.join(case.build, folder, name)
        for word in ("--help", "--version"):
            one = subprocess.run([program, word], stdin=subprocess.DEVNULL, capture_output=True,
                                 text=True, timeout=10)
            assert one.returncode == 0 and one.stdout, one
        one = subprocess.run([program, "--check", "--config", "/nonexistent.yaml"],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
        assert one.returncode != 0 and "/nonexistent.yaml" in one.stdout + one.stderr, one
    # Lines for the configuration, the same as anyone would compute.
    one = run("digest", "1001", "tandem", "--stdin", stdin=None, input="secret\n")
    assert one.returncode == 0, one
    assert hashlib.md5(b"1001:tandem:secret").hexdigest() in one.stdout, one
    assert hashlib.sha256(b"1001:tandem:secret").hexdigest() in one.stdout, one


@scenario("commands during and after a call: tables, JSON, exit codes")
def commands_around_a_call(case):
    tandem = case.tandem()
    status = tandem.ctl_json("status")
    assert status["control"]["problems"] == [] if "control" in status else True, status
    assert tandem.ctl("status").stdout.strip()
    assert tandem.calls() == tandem.registrations() == []
    assert tandem.cdrs() == tandem.recordings() == []

    caller, callee = case.phone("a", "1001"), case.phone("b", "1002")
    found = tandem.registrations()
    assert sorted(one["aor"] for one in found) == ["1001", "1002"], found
    assert "1001" in tandem.ctl("reg").stdout

    talk = judge.begin(caller, callee)
    time.sleep(1)
    one, = tandem.calls()
    assert (one["caller"], one["callee"], one["state"]) == ("1001", "1002", "answered"), one
    assert "1002" in tandem.ctl("calls").stdout
    assert tandem.ctl("calls", "hangup", NOBODY, check=False).returncode == 1
    tandem.ctl("calls", "hangup", one["id"])
    caller.wait_event("CALL_CLOSED")
    callee.wait_event("CALL_CLOSED")
    assert talk.answered

    row = judge.only_cdr(tandem)
    assert row["ended_by"] == "admin" and row["id"] == one["id"], row
    assert tandem.ctl_json("cdr", row["id"])["id"] == row["id"]
    assert row["id"] in tandem.ctl("cdr").stdout
    assert tandem.ctl("cdr", NOBODY, check=False).returncode == 1
    assert tandem.ctl("cdr", "--number", "4711", check=False).returncode == 1
    assert tandem.ctl("cdr", "--number", "1002", "--from", "-1h").returncode == 0
    assert tandem.ctl("cdr", "--from", "nonsense", check=False).returncode in (2, 4)

    recording = judge.recording_of(tandem, row)
    path = tandem.fetch(recording)
    with open(path, "rb") as file:
        body = file.read()
    assert hashlib.sha256(body).hexdigest() == recording["sha256"]
    assert tandem.ctl("rec", "get", recording["id"], "-o", "-").stdout_bytes == body
    assert tandem.ctl("rec", "get", NOBODY, "-o", "/dev/null", check=False).returncode == 1
    # A file that is not what was recorded is not handed out as if it were.
    stored, = tandem.objects()
    with open(stored, "r+b") as file:
        file.seek(len(body) // 2)
        file.write(b"\x12\x34\x56\x78")
    again = os.path.join(case.directory, "again.wav")
    result = tandem.ctl("rec", "get", recording["id"], "-o", again, check=False)
    assert result.returncode == 4 and not os.path.exists(again), result

    tandem.stop()
    for code, words in ((1, ["status"]), (3, ["calls"]), (3, ["cdr"]), (3, ["rec", "list"])):
        result = tandem.ctl(*words, check=False)
        assert result.returncode == code and result.stdout + result.stderr, (words, result)
    tandem.start()


@scenario("the HTTP API on TCP wants the admin secret, and answers JSON or a problem document")
def http_api(case):
    tandem = case.tandem()

    def ask(path, secret=None, method="GET"):
        with case.lan.server.entered():
            connection = http.client.HTTPConnection("127.0.0.1", 8088, timeout=5)
            connection.connect()
        headers = {"Authorization": "Bearer " + secret} if secret else {}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers.get("Content-Type"), body

    assert ask("/v1/status")[0] == 401
    assert ask("/v1/status", "wrong")[0] == 401
    status, kind, body = ask("/v1/status", ADMIN_SECRET)
    assert status == 200 and kind.startswith("application/json"), (status, kind)
    assert json.loads(body)["problems"] == [], body
    for path in ("/v1/calls", "/v1/registrations", "/v1/cdrs", "/v1/recordings"):
        status, _, body = ask(path, ADMIN_SECRET)
        assert status == 200 and json.loads(body), (path, status)
    for path, expected in (("/v1/nothing", 404), ("/v1/cdrs/" + NOBODY, 404),
                           ("/v1/cdrs?limit=0", 400), ("/v1/cdrs?from=nonsense", 400)):
        status, kind, body = ask(path, ADMIN_SECRET)
        assert status == expected and kind.startswith("application/problem+json"), (path, status)
        assert json.loads(body)["title"], body
    assert ask("/v1/status", ADMIN_SECRET, "DELETE")[0] == 405


@scenario("an idle exchange takes at most 3 % of a core")
def idle_costs_little(case):
    tandem = case.tandem("af_xdp")
    case.phone("a", "1001")
    case.phone("b", "1002")
    time.sleep(2)

    def spent():
        total = 0
        for name in ("dataplane", "recorder", "control"):
            with open("/proc/%d/stat" % tandem.pid(name)) as file:
                fields = file.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")
    before, began = spent(), time.monotonic()
    time.sleep(6)
    share = (spent() - before) / (time.monotonic() - began)
    assert share <= 0.03, "%.1f %% of a core" % (share * 100)


@scenario("a user's new password works and the old one does not, without a restart")
def new_password(case):
    tandem = case.tandem()
    case.phone("a", "1001").stop()
    result = tandem.ctl("user", "passwd", "1001")
    password = result.stdout.strip().split()[-1]
    assert len(password) >= 10, result

    def registered():
        phone = None
        try:
            phone = case.phone("b", "1001", voice="a", password=password)
        except AssertionError:
            return False
        finally:
            if phone:
                phone.stop()
        return True
    eventually(registered, 10, "the new password is taken")
    with open(tandem.config_path) as file:
        assert password not in file.read()
    case.register_refused("a", "1001")
