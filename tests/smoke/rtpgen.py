"""The traffic generator counts what it did, and what became of it."""
import json
import os
import subprocess

from support.case import scenario
from support.network import Lan


def rtpgen(case, namespace, *words, stdin="", status=0):
    argv = [os.path.join(case.build, "tools", "rtpgen"), "--json", *(str(word) for word in words)]
    done = subprocess.run(namespace.command(*argv), input=stdin, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == status, done
    return json.loads(done.stdout) if done.stdout else done.stderr


@scenario("rtpgen tells lost, repeated and late packets apart, on both families")
def impairments(case):
    lan = case.make_lan()
    for a, b in (("127.0.0.1:40000", "127.0.0.1:40002"), ("[::1]:40000", "[::1]:40002")):
        # What each of the two flows sends arrives at the other's local endpoint.
        flows = f"{a} {b}\n{b} {a}\n"
        clean = rtpgen(case, lan.server, "--flows", "-", "--pps", 2000, "--duration", 1,
                       stdin=flows)
        assert clean["sent"] == clean["received"] > 1500, clean
        assert not (clean["lost"] or clean["repeated"] or clean["late"] or clean["foreign"]), clean
        assert clean["flows_silent"] == 0 and clean["latency_us"]["max"] > 0, clean
        bad = rtpgen(case, lan.server, "--flows", "-", "--pps", 4000, "--duration", 1, "--drop", 10,
                     "--duplicate", 5, "--reorder", 8, stdin=flows)
        impaired = bad["impaired"]
        for name, percent in (("dropped", 10), ("duplicated", 5), ("held", 8)):
            assert 0.5 < impaired[name] / (0.01 * percent * 4000) < 1.5, bad
        assert bad["repeated"] == impaired["duplicated"], bad
        # All but one held at a flow's end are overtaken.
        assert impaired["held"] - 2 <= bad["late"] <= impaired["held"], bad
        assert bad["lost"] == 0 and bad["received"] == bad["sent"], bad
        # Nobody there: everything is lost, and the status says so.
        lost = rtpgen(case, lan.server, "--local", a, "--remote", b, "--pps", 500, "--duration", 0.5,
                      status=1)
        assert lost["received"] == 0 and lost["flows_silent"] == 1, lost


@scenario("rtpgen's kernel frames arrive at sockets, and its receiver counts what comes back")
def kernel_frames(case):
    lan = case.make_lan()
    phone, server = lan.phones["a"], lan.server
    link = json.loads(phone.run("ip", "-j", "route", "get", Lan.SERVER4).stdout)[0]
    # Only so does the veth's other end take frames that are no socket's.
    lan.bridge.run("ethtool", "-K", "to-a", "gro", "on")
    phone.run("ping", "-c", "1", "-W", "2", Lan.SERVER4)
    neighbour = json.loads(phone.run("ip", "-j", "neigh", "show", Lan.SERVER4).stdout)[0]
    source = subprocess.Popen(
        server.command("/usr/bin/python3", "-c", ECHO, Lan.SERVER4), stdout=subprocess.PIPE, text=True)
    try:
        assert source.stdout.readline() == "ready\n"
        seen = rtpgen(case, phone, "--via", "kernel", "--device", link["dev"], "--to-mac",
                      neighbour["lladdr"], "--local", f"{link['prefsrc']}:40000", "--remote",
                      f"{Lan.SERVER4}:30000", "--count", 20, "--step", 0, "--pps", 2000, "--duration",
                      1)
    finally:
        source.kill()
        source.wait()
    assert seen["sent"] > 1500 and seen["lost"] <= seen["sent"] * 0.01, seen
    assert seen["foreign"] == 0 and seen["latency_us"]["mean"] > 0, seen


@scenario("rtpgen refuses what makes no sense with status 2")
def usage(case):
    lan = case.make_lan()
    for words in (["--flows", "/nonexistent"], ["--local", "127.0.0.1:1"], ["--pps", "many"],
                  ["--local", "127.0.0.1:1", "--remote", "127.0.0.1:2", "--via", "kernel"],
                  ["--local", "127.0.0.1:1", "--remote", "127.0.0.1:2", "--payload", "23"], ["--nonsense"],
                  ["--local", "127.0.0.1:1", "--remote", "nowhere"]):
        assert "rtpgen" in rtpgen(case, lan.server, *words, status=2), words
    assert ":2: LOCAL REMOTE" in rtpgen(case, lan.server, "--flows", "-", status=2,
                                        stdin="127.0.0.1:1 127.0.0.1:2\n127.0.0.1:3\n")


ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.bind((sys.argv[1], 30000))
print("ready", flush=True)
while True:
    packet, source = s.recvfrom(2048)
    s.sendto(packet, source)
"""
