"""A phone in a browser, as far as its socket: frames of RFC 6455 and SIP over them (RFC 7118)."""
import base64
import hashlib
import os
import re
import socket
import ssl
import struct
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def header(message, name):
    found = re.search(r"(?im)^%s *: *(.*?)\r$" % re.escape(name), message)
    return found.group(1) if found else None


def status(message):
    return int(message.split(" ", 2)[1]) if message.startswith("SIP/2.0 ") else 0


class WebPhone:
    def __init__(self, namespace, server, port, user, password, ca=None):
        """ca: the file whose certificate the server must show, under its address; None: no TLS."""
        self.server, self.user, self.password = server, user, password
        self.via = "WSS" if ca else "WS"
        self.name = "%s.invalid" % base64.b32encode(os.urandom(5)).decode().lower()
        self.cseq = 0
        self.buffer = b""
        with namespace.entered():
            self.socket = socket.create_connection((server, port), 5)
        if ca:
            context = ssl.create_default_context(cafile=ca)
            self.socket = context.wrap_socket(self.socket, server_hostname=server)
        self._upgrade(port)

    def _upgrade(self, port):
        key = base64.b64encode(os.urandom(16))
        self.socket.sendall(b"GET /ws HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\n"
                            b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n"
                            b"Origin: https://%s\r\n\r\n" % (self.server.encode(), port, key,
                                                            self.server.encode()))
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        wanted = base64.b64encode(hashlib.sha1(key + GUID).digest())
        assert head.startswith(b"HTTP/1.1 101 ") and wanted in head, head
        assert b"\r\nSec-WebSocket-Protocol: sip" in head, head

    def _more(self):
        part = self.socket.recv(65536)
        assert part, "the server closed the connection after %r" % self.buffer
        self.buffer += part

    def _need(self, count):
        while len(self.buffer) < count:
            self._more()

    def send_frame(self, opcode, payload, pieces=1):
        size = max(1, -(-len(payload) // pieces))
        parts = [payload[i:i + size] for i in range(0, len(payload), size)] or [b""]
        for i, part in enumerate(parts):
            first = (0x80 if i == len(parts) - 1 else 0) | (opcode if i == 0 else 0)
            mask = os.urandom(4)
            length = bytes([0x80 | len(part)]) if len(part) < 126 else \
                b"\xfe" + struct.pack(">H", len(part))
            self.socket.sendall(bytes([first]) + length + mask +
                                bytes(byte ^ mask[j % 4] for j, byte in enumerate(part)))

    def receive_frame(self):
        self._need(2)
        first, length = self.buffer[0], self.buffer[1]
        assert first & 0x80 and not length & 0x80, "servers send whole frames without mask"
        at = 2
        if length == 126:
            self._need(4)
            length, at = struct.unpack(">H", self.buffer[2:4])[0], 4
        self._need(at + length)
        payload, self.buffer = self.buffer[at:at + length], self.buffer[at + length:]
        return first & 15, payload

    def receive(self, wanted, seconds=10):
        """The next message for which wanted() is true."""
        limit = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(limit - time.monotonic(), 0.01))
            opcode, payload = self.receive_frame()
            if opcode == TEXT and wanted(payload.decode()):
                return payload.decode()

    def request(self, method, uri, extra="", to=None, pieces=1, body=""):
        """Sends a request and returns its final response."""
        self.cseq += 1
        branch = "z9hG4bK" + os.urandom(8).hex()
        text = ("%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=%s\r\nMax-Forwards: 70\r\n"
                "From: <sip:%s@%s>;tag=x%d\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: %d %s\r\n"
                "Contact: <sip:%s@%s;transport=ws>\r\n%sContent-Length: %d\r\n\r\n%s" % (
                    method, uri, self.via, self.name, branch, self.user, self.server, self.cseq,
                    to or uri, self.name, self.cseq, method, self.user, self.name, extra,
                    len(body), body))
        self.send_frame(TEXT, text.encode(), pieces)
        return self.receive(lambda message: branch in message and status(message) >= 200)

    def register(self):
        uri, to = "sip:" + self.server, "sip:%s@%s" % (self.user, self.server)
        refused = self.request("REGISTER", uri, to=to)
        assert status(refused) == 401, refused
        challenge = next(one for one in re.findall(r"(?im)^WWW-Authenticate *: *(.*?)\r$", refused)
                         if "SHA-256" not in one)
        realm, nonce = (re.search(name + '="([^"]*)"', challenge).group(1)
                        for name in ("realm", "nonce"))

        def md5(*words):
            return hashlib.md5(":".join(words).encode()).hexdigest()
        count, cnonce = "00000001", os.urandom(8).hex()
        answer = md5(md5(self.user, realm, self.password), nonce, count, cnonce, "auth",
                     md5("REGISTER", uri))
        accepted = self.request("REGISTER", uri, to=to, extra=(
            'Authorization: Digest username="%s", realm="%s", nonce="%s", uri="%s", qop=auth, '
            'nc=%s, cnonce="%s", response="%s", algorithm=MD5\r\n' % (
                self.user, realm, nonce, uri, count, cnonce, answer)))
        assert status(accepted) == 200 and self.name in header(accepted, "Contact"), accepted

    def respond(self, request, code, reason):
        """A response to a request of the server's."""
        copied = "".join("%s\r\n" % line for line in request.split("\r\n\r\n")[0].split("\r\n")
                         if re.match(r"(?i)(via|from|call-id|cseq) *:", line))
        to = header(request, "To")
        tag = "" if ";tag=" in to else ";tag=web"
        self.send_frame(TEXT, ("SIP/2.0 %d %s\r\n%sTo: %s%s\r\nContent-Length: 0\r\n\r\n" % (
            code, reason, copied, to, tag)).encode())

    def stop(self):
        self.socket.close()
