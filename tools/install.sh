# Sourced by tools/run and tools/test: Debian packages and the user that the daemons run as.

# packages_install GROUP...: installs what is missing of tools/packages, without starting any of
# the services that come along.
packages_install() {
	local missing policy=/usr/sbin/policy-rc.d own_policy='' status=0
	missing=$(tools/packages --missing "$@")
	[ -n "$missing" ] || return 0
	if ! command -v apt-get >/dev/null; then
		echo "tandem: these packages are missing and there is no apt-get:" $missing >&2
		return 1
	fi
	echo "Installing packages:" $missing
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		own_policy=yes
	fi
	export DEBIAN_FRONTEND=noninteractive
	{
		apt-get -q -o DPkg::Lock::Timeout=300 update &&
			apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install $missing
	} >/tmp/tandem-apt.$$ 2>&1 </dev/null || status=$?
	[ -z "$own_policy" ] || rm -f "$policy"
	if [ "$status" -ne 0 ]; then
		tail -n 30 /tmp/tandem-apt.$$ >&2
		echo "tandem: packages could not be installed (see above)" >&2
	fi
	rm -f /tmp/tandem-apt.$$
	return "$status"
}

user_create() {
	getent passwd tandem >/dev/null && return 0
	useradd --system --user-group --home-dir /var/lib/tandem --no-create-home \
		--shell /usr/sbin/nologin tandem
}
