"""Strangers: scanners and guessers learn nothing, are banned, and disturb nobody; the trace of a call."""
import hashlib
import json
import re
import socket

from support import talk as judge
from support.case import scenario
from support.network import Lan
from support.process import eventually
from support.tandem import USERS

ATTACKER = "10.20.0.13"


class Scanner:
    """Requests from the namespace "c", one at a time."""

    def __init__(self, case):
        namespace = case.lan.phones["c"]
        with namespace.entered():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((namespace.address4, 5060))
        self.socket.settimeout(0.5)
        self.sent = 0
        case.keep(self.socket, "close")

    def ask(self, method, user, extra=""):
        """The answer, or None when there is none."""
        self.sent += 1
        self.socket.sendto((
            "%s sip:%s@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;rport;branch=z9hG4bKscan%d\r\n"
            "From: <sip:%s@%s>;tag=scan\r\nTo: <sip:%s@%s>\r\nCall-ID: scan%d\r\n"
            "CSeq: %d %s\r\nMax-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n" % (
                method, user, Lan.SERVER4, ATTACKER, self.sent, user, Lan.SERVER4, user,
                Lan.SERVER4, self.sent, self.sent, method, extra)).encode(), (Lan.SERVER4, 5060))
        try:
            while True:
                answer = self.socket.recv(65536).decode()
                if "CSeq: %d " % self.sent in answer and not answer.startswith("SIP/2.0 100"):
                    return answer
        except socket.timeout:
            return None

    def guess(self, user, password, method="REGISTER", extra=""):
        """A request with a password; the final answer, or None."""
        challenge = self.ask(method, user, extra)
        if challenge is None or "nonce" not in challenge:
            return challenge
        nonce = re.search(r'nonce="([^"]+)"', challenge).group(1)

        def md5(text):
            return hashlib.md5(text.encode()).hexdigest()
        response = md5("%s:%s:00000001:c:auth:%s" % (
            md5("%s:tandem:%s" % (user, password)), nonce, md5("%s:sip:%s" % (method, Lan.SERVER4))))
        return self.ask(method, user, extra + (
            'Authorization: Digest username="%s", realm="tandem", nonce="%s", uri="sip:%s", '
            'response="%s", algorithm=MD5, qop=auth, nc=00000001, cnonce="c"\r\n' % (
                user, nonce, Lan.SERVER4, response)))


def until_silent(ask, most=40):
    """The answers until there is none."""
    answers = []
    while len(answers) < most:
        answer = ask(len(answers))
        if answer is None:
            return answers
        answers.append(answer)
    raise AssertionError("still answered after %d" % most)


def bans(tandem):
    return {one["source"]: one for one in tandem.ctl_json("ban", "list")["bans"]}


def echo_works(case, tandem):
    phone = case.phone("a", "1001")
    phone.dial("600")
    phone.wait_event("CALL_ESTABLISHED")
    phone.hang_up()
    phone.wait_event("CALL_CLOSED")
    assert any(row["callee"] == "600" and row["answered"] for row in tandem.cdrs())


@scenario("a guesser of passwords is banned and lifted; a phone beside it does not notice")
def guesser(case):
    case.make_lan(("a", "b", "c"))
    tandem = case.tandem()
    scanner = Scanner(case)
    answers = until_silent(lambda i: scanner.guess("1001" if i % 2 else "9999", "guess%d" % i))
    assert 3 <= len(answers) <= 12, answers
    assert {one.split("\r\n")[0] for one in answers} == {"SIP/2.0 403 Forbidden"}, answers
    assert scanner.ask("OPTIONS", "1001") is None
    ban = bans(tandem)[ATTACKER]
    assert ban["times"] == 1 and 0 < ban["left_s"] <= 60 and ban["dropped"] > 0, ban
    echo_works(case, tandem)
    assert ATTACKER in tandem.ctl("ban", "list").stdout
    tandem.ctl("ban", "lift", ATTACKER)
    assert scanner.ask("OPTIONS", "1001").startswith("SIP/2.0 200")
    assert bans(tandem) == {}


@scenario("who tries one number after the other is banned; by hand it works too")
def prober(case):
    case.make_lan(("a", "b", "c"))
    tandem = case.tandem(control={"security": {"numbers": 10, "ban_s": 2}})
    scanner = Scanner(case)
    answers = until_silent(lambda i: scanner.ask("REGISTER", str(100 + i)))
    assert 10 <= len(answers) <= 20, len(answers)
    assert bans(tandem)[ATTACKER]["reason"] == "many numbers tried", bans(tandem)
    # it ends by itself
    eventually(lambda: scanner.ask("OPTIONS", "1") is not None, 10, "the ban ends")
    tandem.ctl("ban", "add", ATTACKER, "--for", "1h")
    assert scanner.ask("OPTIONS", "1") is None
    assert bans(tandem)[ATTACKER]["left_s"] > 3500
    tandem.ctl("ban", "lift", ATTACKER)
    assert scanner.ask("OPTIONS", "1") is not None
    echo_works(case, tandem)


@scenario("networks that are allowed are never banned")
def allowed(case):
    case.make_lan(("a", "b", "c"))
    tandem = case.tandem(control={"security": {"allow": ["10.20.0.0/24"], "failures": 2}})
    scanner = Scanner(case)
    for i in range(20):
        assert scanner.guess("1001", "guess%d" % i).startswith("SIP/2.0 403")
    assert bans(tandem) == {}
    assert tandem.ctl("ban", "add", ATTACKER, check=False).returncode == 4


@scenario("SIPVicious learns nothing and is banned")
def sipvicious(case):
    case.make_lan(("a", "b", "c"))
    tandem = case.tandem()
    attacker = case.lan.phones["c"]

    def run(*words):
        result = attacker.run("timeout", "25", *words, Lan.SERVER4, check=False)
        return result.stdout + result.stderr
    found = run("svwar", "-e", "990-1040", "-m", "REGISTER", "--force")
    # the extensions that exist look like those that do not
    assert not re.search(r"\b100[123]\b.*(reqauth|noauth)", found) or re.search(
        r"\b1009\b.*reqauth", found), found
    cracked = run("svcrack", "-u", "1001", "-r", "1000-1100")
    assert "first-secret" not in cracked, cracked
    assert ATTACKER in bans(tandem), (found, cracked)
    assert "1001" not in run("svmap")
    echo_works(case, tandem)
    assert tandem.registrations() == [] or all(
        one["source"].split(":")[0] != ATTACKER for one in tandem.registrations())


@scenario("new calls beyond the rate get 503 with Retry-After")
def overload(case):
    case.make_lan(("a", "b", "c"))
    tandem = case.tandem(control={"calls_per_second": 1})
    scanner = Scanner(case)
    contact = "Contact: <sip:1001@%s>\r\n" % ATTACKER
    assert scanner.guess("1001", USERS["1001"], "INVITE", contact).startswith("SIP/2.0 480")
    answer = scanner.ask("INVITE", "1001", contact)
    assert answer.startswith("SIP/2.0 503"), answer
    assert re.search(r"\r\nRetry-After: [2-9]\r\n", answer), answer
    assert scanner.ask("OPTIONS", "1001").startswith("SIP/2.0 200")
    status = json.loads(tandem.http("/v1/status")[1])
    assert status["counters"]["overload_refused_rate"] == 1, status["counters"]
    assert status["calls"]["refused"] == 1, status["calls"]


@scenario("the ladder of a call shows both legs and the dataplane, and no secret")
def trace(case):
    tandem = case.tandem()
    caller = case.phone("a", "1001")
    callee = case.phone("b", "1002")
    judge.hold_conversation(caller, callee, 3)
    row = judge.only_cdr(tandem)
    messages = tandem.ctl_json("trace", row["id"])["messages"]
    pairs = {(one["from"], one["to"]) for one in messages}
    assert pairs == {("caller", "tandem"), ("tandem", "caller"), ("tandem", "callee"),
                     ("callee", "tandem"), ("tandem", "dataplane"), ("dataplane", "tandem")}, pairs
    said = [one["summary"] for one in messages]
    for word in ("INVITE", "180 Ringing", "200 OK", "ACK", "BYE", "offer", "answer", "delete", "ok"):
        assert word in said, said
    text = tandem.ctl("trace", row["id"], "--full").stdout
    assert "uthorization: (removed)" in text and "response=" not in text, text
    assert re.search(r"\|-+INVITE-+>\|", text) and re.search(r"\|<-+200 OK-+\|", text), text
    assert tandem.ctl("trace", "nobody", check=False).returncode == 1
