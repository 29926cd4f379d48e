"""Kamailio as a carrier: registers the trunk, asks its calls for credentials, passes calls on."""
import os

from .process import Process

CONFIG = """\
debug=2
log_stderror=yes
children=2
auto_aliases=no
dns=no
rev_dns=no
use_dns_cache=off
listen=udp:{address}:5060
mpath="/usr/lib/{arch}-linux-gnu/kamailio/modules/"
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("auth", "secret", "only for tests")
modparam("auth", "algorithm", "{algorithm}")
modparam("registrar", "max_expires", 60)
request_route {{
	if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
	if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
	if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
	if (has_totag()) {{
		if (is_method("ACK") && t_check_trans()) {{ t_relay(); exit; }}
		t_relay();
		exit;
	}}
	t_check_trans();
	if (is_method("REGISTER")) {{
		if (!pv_www_authenticate("carrier", "{password}", "0") || $au != "{user}") {{
			www_challenge("carrier", "0");
			exit;
		}}
		save("location");
		exit;
	}}
	if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
	if ($si == "{exchange}") {{
		if (!pv_proxy_authenticate("carrier", "{password}", "0") || $au != "{user}") {{
			proxy_challenge("carrier", "0");
			exit;
		}}
		consume_credentials();
		$du = "sip:{callee}:5060";
		t_relay();
		exit;
	}}
	$ru = "sip:{user}@{address}";
	if (!lookup("location")) {{ sl_send_reply("480", "Trunk Not Registered"); exit; }}
	t_relay();
}}
"""


class Kamailio:
    """address: its own, in the namespace. Calls from the exchange go on to callee:5060, calls from
    anyone else to where the trunk has registered."""

    def __init__(self, namespace, directory, address, exchange, callee, user="acme",
                 password="trunk-secret", algorithm="SHA-256"):
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, "kamailio.cfg")
        with open(path, "w") as file:
            file.write(CONFIG.format(address=address, exchange=exchange, callee=callee, user=user,
                                     password=password, algorithm=algorithm, arch=os.uname().machine))
        self.process = Process(["kamailio", "-f", path, "-DD", "-E", "-m", "32", "-M", "4", "-Y", directory],
                               os.path.join(directory, "log"), namespace=namespace)

    def text(self):
        return self.process.text()

    def stop(self):
        self.process.stop(5)
