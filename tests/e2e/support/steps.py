"""SIPp scenarios written as lists of steps; sipp.py makes the XML that SIPp wants.

    caller = [invite(), recv(401, auth=True), ack(), invite(auth=True), recv(404), ack()]

A caller speaks for `-key user`, calls `-s number` and keeps to one Call-ID. A callee answers what
it received last. Steps are texts of XML.
"""
CHALLENGE = 407  # how our server asks for credentials in an INVITE

SDP = """\
v=0
o=sipp [pid] {version} IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio {port} RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a={direction}
"""

def _send(lines, body="", retransmission=500):
    text = "\n".join(line for line in lines if line)
    if body:
        text += "\nContent-Type: application/sdp"
    text += "\nContent-Length: %s\n\n%s" % ("[len]" if body else "0", body)
    extra = ' retrans="%d"' % retransmission if retransmission else ""
    return "<send%s><![CDATA[\n%s\n]]></send>" % (extra, text)


def sdp(direction="sendrecv", version=1, port="[media_port]"):
    return SDP.format(direction=direction, version=version, port=port)


def _request(method, cseq, auth, body="", to_tag=False, target=None, branch="[branch]",
             retransmission=500, headers=()):
    target = target or "sip:[service]@[remote_ip]:[remote_port]"
    return _send([
        "%s %s SIP/2.0" % (method, target),
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=" + branch,
        "From: <sip:[user]@[remote_ip]>;tag=[pid]t[call_number]",
        "To: <sip:[service]@[remote_ip]>" + ("[peer_tag_param]" if to_tag else ""),
        "Call-ID: [call_id]",
        "CSeq: %d %s" % (cseq, method),
        "Contact: <sip:[user]@[local_ip]:[local_port];transport=[transport]>",
        "Max-Forwards: 70",
        "User-Agent: sipp",
        "[authentication]" if auth else "",
    ] + list(headers), body, retransmission)


def register(auth=False, cseq=1, contact="<sip:[user]@[local_ip]:[contact_port]>;expires=300"):
    return _send([
        "REGISTER sip:[remote_ip]:[remote_port] SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        "From: <sip:[user]@[remote_ip]>;tag=[pid]r[call_number]",
        "To: <sip:[user]@[remote_ip]>",
        "Call-ID: [call_id]",
        "CSeq: %d REGISTER" % cseq,
        "Contact: " + contact,
        "Max-Forwards: 70",
        "[authentication]" if auth else "",
    ])


def invite(auth=False, cseq=None, body=None, again=False, **options):
    """The call's first INVITE is CSeq 1, the one with credentials CSeq 2. again: the same
    transaction once more, as a retransmission."""
    cseq = cseq or (2 if auth else 1)
    options.setdefault("branch", "z9hG4bK-[pid]-[call_number]-i%d" % cseq)
    return _request("INVITE", cseq, auth, sdp() if body is None else body,
                    retransmission=0 if again else 500, **options)


def reinvite(cseq, direction, version):
    return _request("INVITE", cseq, False, sdp(direction, version), to_tag=True,
                    target="[next_url]")


def ack(cseq=1, success=False):
    """To a final response: of the transaction itself, or of the dialog after a 2xx."""
    if success:
        return _request("ACK", cseq, False, to_tag=True, target="[next_url]", retransmission=0)
    return _request("ACK", cseq, False, to_tag=True, retransmission=0,
                    branch="z9hG4bK-[pid]-[call_number]-i%d" % cseq)


def cancel(cseq=2):
    return _request("CANCEL", cseq, False, branch="z9hG4bK-[pid]-[call_number]-i%d" % cseq)


def bye(cseq=3, again=False):
    return _request("BYE", cseq, False, to_tag=True, target="[next_url]",
                    branch="z9hG4bK-[pid]-[call_number]-b%d" % cseq,
                    retransmission=0 if again else 500)


def options_request():
    return _request("OPTIONS", 1, False)


def respond(code, reason, with_sdp="", contact=True, to_tag=True):
    """The answer to the request that came last."""
    return _send([
        "SIP/2.0 %d %s" % (code, reason),
        "[last_Via:]",
        "[last_From:]",
        "[last_To:]" + (";tag=[pid]u[call_number]" if to_tag else ""),
        "[last_Call-ID:]",
        "[last_CSeq:]",
        "Contact: <sip:[local_ip]:[local_port];transport=[transport]>" if contact else "",
    ], with_sdp, retransmission=500 if code >= 200 and with_sdp else 0)


def respond_to_invite(code, reason):
    """The INVITE's final answer when a CANCEL came last: same Via, the INVITE's CSeq."""
    return _send([
        "SIP/2.0 %d %s" % (code, reason), "[last_Via:]", "[last_From:]",
        "[last_To:];tag=[pid]u[call_number]", "[last_Call-ID:]", "CSeq: [$cseq]",
    ])


def recv_bye_unanswered():
    """A BYE that respond_to_bye() will answer later, whatever comes in between."""
    return """\
<recv request="BYE"><action>
<ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via"/>
<ereg regexp=".*" search_in="hdr" header="From:" assign_to="bye_from"/>
<ereg regexp=".*" search_in="hdr" header="To:" assign_to="bye_to"/>
<ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="bye_cseq"/>
</action></recv>"""


def respond_to_bye():
    return _send(["SIP/2.0 200 OK", "Via: [$via]", "From: [$bye_from]", "To: [$bye_to]",
                  "[last_Call-ID:]", "CSeq: [$bye_cseq]"], retransmission=0)


def callee_bye(cseq=1):
    """BYE from the side that was called, out of the INVITE that it has seen."""
    return _send([
        "BYE [next_url] SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        "From: [$own]",
        "To: [$peer]",
        "[last_Call-ID:]",
        "CSeq: %d BYE" % cseq,
        "Max-Forwards: 70",
    ])


def recv(what, optional=False, auth=False, regexp=None, timeout=None, jump=None, routes=False):
    """A response by its number or a request by its name. regexp: (what to find, in which header or
    None for the whole message)."""
    kind = 'response="%d"' % what if isinstance(what, int) else 'request="%s"' % what
    attributes = [kind]
    if optional:
        attributes.append('optional="true"')
    if auth:
        attributes.append('auth="true"')
    if routes:
        attributes.append('rrs="true"')
    if timeout:
        attributes.append('timeout="%d"' % timeout)
    if jump:
        attributes.append('next="%s"' % jump)
    actions = ""
    if regexp:
        pattern, header = regexp
        where = 'search_in="hdr" header="%s:"' % header if header else 'search_in="msg"'
        actions = '<action><ereg regexp="%s" %s check_it="true" assign_to="found"/></action>' % (
            pattern.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;"), where)
    return "<recv %s>%s</recv>" % (" ".join(attributes), actions)


def recv_invite():
    """The INVITE as the callee gets it; keeps what a BYE of its own needs."""
    return """\
<recv request="INVITE" rrs="true"><action>
<ereg regexp=".*" search_in="hdr" header="From:" assign_to="peer"/>
<ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>
<ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="cseq"/>
<assignstr assign_to="own" value="[$to];tag=[pid]u[call_number]"/>
</action></recv>"""


def pause(milliseconds):
    return '<pause milliseconds="%d"/>' % milliseconds


def play(path):
    """Streams raw 8 kHz u-law bytes from here on, over and over."""
    return '<nop><action><exec rtp_stream="%s,-1,0"/></action></nop>' % path


def xml(name, steps):
    text = "\n".join(steps)
    unused = [variable for variable in ("found", "peer", "to", "own", "cseq")
              if 'assign_to="%s"' % variable in text and "[$%s]" % variable not in text]
    reference = '<Reference variables="%s"/>\n' % ",".join(unused) if unused else ""
    return ('<?xml version="1.0" encoding="ISO-8859-1" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
            '<scenario name="%s">\n%s\n%s</scenario>\n' % (name, text, reference))


# ---- what most tests need -------------------------------------------------------------------

def challenged(*then, reject=CHALLENGE, body=None):
    """A call's beginning: INVITE, challenge, INVITE with credentials, then the steps given."""
    return [invite(body=body), recv(100, optional=True), recv(reject, auth=True), ack(1),
            invite(auth=True, body=body)] + list(then)


def caller_talks(milliseconds, audio=None, port="[media_port]"):
    return challenged(recv(100, optional=True), recv(180, optional=True), recv(183, optional=True),
                      recv(200, routes=True), ack(2, success=True),
                      *([play(audio)] if audio else []), pause(milliseconds), bye(), recv(200),
                      body=sdp(port=port))


def callee_answers(ring_ms=100):
    return [recv_invite(), respond(180, "Ringing"), pause(ring_ms),
            respond(200, "OK", sdp()), recv("ACK", routes=True), recv("BYE"),
            respond(200, "OK", to_tag=False)]
