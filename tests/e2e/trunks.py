"""Calls through a carrier, which Kamailio plays."""
import os
import time

from support import talk as judge
from support.case import Skipped, scenario
from support.kamailio import Kamailio
from support.network import Lan
from support.process import eventually
from support.steps import (ack, bye, callee_answers, caller_talks, challenged, invite, pause, recv)

CARRIER = "10.20.0.13"
PASSWORD = "trunk-secret"


def carrier(case, **options):
    if not os.path.exists("/usr/sbin/kamailio"):
        raise Skipped("Kamailio is not installed")
    if not case.lan:
        case.make_lan(("a", "b", "c"))
    options.setdefault("password", PASSWORD)
    return case.keep(Kamailio(case.lan.phones["c"], case._name("kamailio"), CARRIER, Lan.SERVER4,
                              case.lan.phones["b"].address4, **options))


def exchange(case, **trunk):
    return case.tandem(control={
        "trunks": [{"name": "carrier", "host": CARRIER, "user": "acme", "password": PASSWORD,
                    "register": True, "options_s": 2, **trunk}],
        "routes": [{"prefix": "0", "trunk": "carrier", "strip": 1, "prepend": "49"}],
        "dids": [{"number": "4930123", "extension": "1002"}]})


def trunk_of(tandem):
    return tandem.ctl_json("trunks")["trunks"][0]


def registered(tandem):
    eventually(lambda: trunk_of(tandem)["registration"] == "registered", 30, "the trunk registers")
    assert trunk_of(tandem)["state"] == "up", trunk_of(tandem)


@scenario("a call goes out over a registered trunk that asks for credentials")
def outgoing(case):
    carrier(case)
    tandem = exchange(case)
    registered(tandem)
    callee = case.sipp("b", "callee", callee_answers(), None, user="1002")
    time.sleep(0.3)
    caller = case.sipp("a", "caller", caller_talks(500), number="030123")
    caller.finish()
    callee.finish()
    assert "INVITE sip:4930123@" in callee.messages(), callee.messages()
    row = judge.only_cdr(tandem)
    assert (row["caller"], row["destination"], row["sip_status"]) == \
        ("1001", "carrier/4930123", 200), row
    trunk = trunk_of(tandem)
    assert (trunk["calls"], trunk["calls_out"], trunk["calls_refused"]) == (0, 1, 0), trunk
    assert "carrier" in tandem.ctl("trunks").stdout
    assert PASSWORD not in tandem.process.text()


@scenario("a call comes in over the registration, without a challenge, to the extension of its number")
def incoming(case):
    carrier(case)
    tandem = exchange(case)
    registered(tandem)
    case.register("b", "1002")
    callee = case.sipp("b", "callee", callee_answers(), None, user="1002")
    time.sleep(0.3)
    caller = case.sipp("a", "caller", [
        invite(), recv(100, optional=True), recv(180, optional=True), recv(200, routes=True),
        ack(1, success=True), pause(300), bye(2), recv(200)], server=CARRIER, user="4940",
        number="4930123")
    caller.finish()
    callee.finish()
    row = judge.only_cdr(tandem)
    assert (row["caller"], row["callee"], row["destination"]) == ("4940", "4930123", "1002"), row
    assert row["source"].startswith("carrier/"), row


@scenario("wrong credentials: the trunk says so and its calls fail; the password is in no log")
def refused(case):
    carrier(case)
    tandem = exchange(case, password="guessed-wrongly")
    eventually(lambda: trunk_of(tandem)["registration"] == "failed", 30, "the trunk is refused")
    assert "401" in trunk_of(tandem)["problem"], trunk_of(tandem)
    case.sipp("a", "caller", challenged(recv(100, optional=True), recv(500), ack(2)),
              number="030123").finish()
    assert "guessed-wrongly" not in tandem.process.text()


@scenario("a trunk that is full gives 503 with the reason")
def full(case):
    carrier(case)
    tandem = exchange(case, calls_per_second=1, calls=1)
    registered(tandem)
    callee = case.sipp("b", "callee", callee_answers(), None, user="1002")
    time.sleep(0.3)
    first = case.sipp("a", "caller", caller_talks(2000), number="030123")
    eventually(lambda: trunk_of(tandem)["calls"] == 1, 5, "the first call is up")
    case.sipp("a", "second", challenged(recv(100, optional=True),
                                        recv(503, regexp=("Trunk Full", None)), ack(2)),
              number="030124", port=5072).finish()
    first.finish()
    callee.finish()
    assert trunk_of(tandem)["calls_refused"] == 1, trunk_of(tandem)


@scenario("a carrier that is gone and comes back: registered again by itself")
def comes_back(case):
    first = carrier(case)
    tandem = exchange(case)
    registered(tandem)
    first.stop()
    eventually(lambda: trunk_of(tandem)["state"] == "down", 60, "the trunk is down")
    case.sipp("a", "caller", challenged(recv(100, optional=True),
                                        recv(503, regexp=("Trunk Down", None)), ack(2)),
              number="030123").finish()
    carrier(case)
    eventually(lambda: trunk_of(tandem)["state"] == "up", 60, "the trunk is up again")
