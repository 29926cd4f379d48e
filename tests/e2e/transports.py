"""SIP over TLS and WebSocket: what phones and browsers speak."""
import os
import signal
import ssl
import socket
import time

from support import talk as judge
from support.case import scenario
from support.network import Lan
from support.process import eventually
from support.steps import ack, challenged, recv
from support.tandem import USERS
from support.websocket import CLOSE, PING, PONG, WebPhone, header, status

SECONDS = 6
LISTEN = ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060", "tls:0.0.0.0:5061", "ws:0.0.0.0:8080",
          "wss:0.0.0.0:8443"]


@scenario("two phones over TLS with the certificate of the first start: heard and recorded")
def two_phones_tls(case):
    tandem = case.tandem("af_packet")
    key = os.stat(tandem.data_dir + "/tls/key.pem")
    assert key.st_mode & 0o7777 == 0o600 and key.st_uid != 0, key
    caller = case.phone("a", "1001", transport="tls")
    callee = case.phone("b", "1002", transport="tls")
    talk = judge.hold_conversation(caller, callee, SECONDS)
    judge.must_hear_each_other(talk, SECONDS)
    row = judge.only_cdr(tandem)
    judge.must_account(talk, row)
    recording = judge.recording_of(tandem, row)
    judge.must_be_recorded(talk, tandem.fetch(recording), recording)
    assert all("transport=tls" in one["contact"].lower() for one in tandem.registrations()), \
        tandem.registrations()
    assert "tls:" in row["source"], row


def web_phone(case, tandem, user, tls):
    ca = tandem.data_dir + "/tls/certificate.pem" if tls else None
    return case.keep(WebPhone(case.lan.phones["b"], Lan.SERVER4, 8443 if tls else 8080, user,
                              USERS[user], ca))


def over_websocket(case, tls):
    tandem = case.tandem(control={"listen": LISTEN})
    phone = web_phone(case, tandem, "1002", tls)
    phone.send_frame(PING, b"there?")
    assert phone.receive_frame() == (PONG, b"there?")
    answer = phone.request("OPTIONS", "sip:" + Lan.SERVER4, pieces=7)
    assert status(answer) == 200 and "SIP/2.0/%s " % phone.via in header(answer, "Via"), answer
    # Nobody may send messages without saying who they are; today nobody may at all.
    answer = phone.request("MESSAGE", "sip:1001@" + Lan.SERVER4, body="hello",
                           extra="Content-Type: text/plain\r\n")
    assert status(answer) in (401, 405, 407), answer
    phone.register()
    assert phone.name in tandem.registrations()[0]["contact"], tandem.registrations()
    # A call to the browser goes over its connection: its name leads nowhere.
    caller = case.sipp("a", "caller", challenged(recv(100, optional=True), recv(486), ack(2)),
                       user="1001", number="1002")
    invite = phone.receive(lambda message: message.startswith("INVITE "))
    assert phone.name in invite.split("\r\n")[0], invite
    assert "SIP/2.0/%s " % phone.via in header(invite, "Via"), invite
    phone.respond(invite, 486, "Busy Here")
    acknowledged = phone.receive(lambda message: message.startswith("ACK "))
    assert header(acknowledged, "Call-ID") == header(invite, "Call-ID")
    caller.finish()
    assert judge.only_cdr(tandem)["sip_status"] == 486
    phone.send_frame(CLOSE, b"\x03\xe8")
    assert phone.receive_frame() == (CLOSE, b"\x03\xe8")


@scenario("a browser's WebSocket: register, be called, close")
def websocket(case):
    over_websocket(case, tls=False)


@scenario("a browser's WebSocket over TLS, its certificate verified")
def websocket_tls(case):
    over_websocket(case, tls=True)


@scenario("a new certificate is shown after SIGHUP, and connections stay")
def certificate_reload(case):
    tandem = case.tandem(control={"listen": LISTEN})
    phone = web_phone(case, tandem, "1002", tls=True)
    folder = tandem.data_dir + "/tls"

    def shown():
        with case.lan.phones["a"].entered():
            connection = socket.create_connection((Lan.SERVER4, 5061), 5)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(connection) as secured:
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(True))

    before = shown()
    for name in ("certificate.pem", "key.pem"):
        os.unlink(folder + "/" + name)
    os.kill(tandem.pid("control"), signal.SIGHUP)
    eventually(lambda: os.path.exists(folder + "/certificate.pem") and shown() != before, 5,
               "another certificate is shown")
    with open(folder + "/certificate.pem") as file:
        assert shown() == file.read()
    time.sleep(0.1)
    assert status(phone.request("OPTIONS", "sip:" + Lan.SERVER4)) == 200
