#!/bin/sh
# What recipes, checks and trials share: it stands before the text of each when that is put on a host.
#
# OFFBAKE is the folder that staging made on the host, OFFBAKE_FILES the one of the staged files in it. All of this works
# with yum 3.4, systemd 219 and dash.
set -eu
umask 022
export LC_ALL=C

# say TEXT: the last words of a failure.
say() {
	printf '%s\n' "$*" >&2
}

# pm ARGUMENT...: the package manager. Only what yum 3.4 understands may be given.
pm() {
	if command -v yum >/dev/null; then
		yum "$@"
	else
		dnf "$@"
	fi
}

# packages NAME...: installs those that no installed package provides. What is there keeps its version; the manifest's
# rpms.upgrade names what may move. yum 3.4 exits 0 when it found only some of the names, hence the second look.
packages() {
	missing=
	for name; do
		rpm -q --whatprovides "$name" >/dev/null 2>&1 || missing="$missing $name"
	done
	if [ -n "$missing" ]; then
		# shellcheck disable=SC2086 # a list of names
		pm install -y $missing
	fi
	for name; do
		rpm -q --whatprovides "$name" >/dev/null 2>&1 || { say "package $name: not installed"; exit 1; }
	done
}

# put PATH MODE OWNER: writes standard input there, whole or not at all.
put() {
	cat >"$1.offbake"
	chown "$3" "$1.offbake"
	chmod "$2" "$1.offbake"
	mv -f "$1.offbake" "$1"
}

# copy FILE PATH: puts a staged file there as a program that all may run.
copy() {
	put "$2" 0755 root:root <"$OFFBAKE_FILES/$1"
}

# folder PATH MODE OWNER: makes it, or makes it right.
folder() {
	mkdir -p "$1"
	chown "$3" "$1"
	chmod "$2" "$1"
}

# completion PROGRAM: the line that "PROGRAM -autocomplete-install" writes, which refuses a second time.
completion() {
	line="complete -C /usr/local/bin/$1 $1"
	if ! grep -qxF "$line" /root/.bashrc 2>/dev/null; then
		[ -z "$(tail -c 1 /root/.bashrc 2>/dev/null)" ] || echo >>/root/.bashrc
		printf '%s\n' "$line" >>/root/.bashrc
	fi
}

# version PROGRAM VERSION: it runs here and is what was asked for.
version() {
	"/usr/local/bin/$1" version >"$OFFBAKE/version"
	cat "$OFFBAKE/version"
	grep -qF "v$2" "$OFFBAKE/version" || { say "$1 version: want v$2"; exit 1; }
}

# loaded UNIT: systemd reads the unit file without an error. "show" tells it in all versions from 219 on.
loaded() {
	state=$(systemctl show -p LoadState "$1")
	[ "$state" = LoadState=loaded ] || { say "$1: got $state, want LoadState=loaded"; exit 1; }
}

# fill FILE...: replaces the placeholders as the users' cluster set-up does.
fill() {
	sed -i \
		-e 's/SERVICE_DESCRIPTION/tried by offbake/g' \
		-e 's/DATACENTER/dc1/g' \
		-e 's/NODENAME/node1/g' \
		-e 's/CONSUL_SERVER1_IP/127.0.0.1/g' \
		-e 's/CONSUL_SERVER2_IP/127.0.0.2/g' \
		-e 's/CONSUL_SERVER3_IP/127.0.0.3/g' \
		-e 's/REGION/region1/g' \
		-e 's/EXPECTEDSVRS/1/g' \
		-e 's/CLASS/class1/g' \
		-e 's/META/meta {\n    "offbake" = "trial"\n  }/g' \
		"$@"
}
