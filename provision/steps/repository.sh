#!/bin/sh
# Makes the bundle's repository known to yum and dnf, and offline the only one they know. clean.sh takes it back.
#
# REPO is the text of its .repo file, empty when the bundle has no packages; CHECK is 0 where a package that
# nobody signed may be installed by its path, else 1. WEAK is 1 where weak dependencies come too; offline that, and that an
# older version will do where the newest does not, is as it was when the bundle's packages were chosen. yum 3.4 passes over
# both settings.
set -eu
umask 022
saved=$OFFBAKE/saved
mkdir -p "$saved/repos"

# Files of repositories go off, whatever they are: yum reads only *.repo, but who knows what writes them anew.
[ -d /etc/yum.repos.d ] || { mkdir -p /etc/yum.repos.d; : >"$saved/made-repos"; }
if [ -n "$OFFBAKE_OFFLINE" ]; then
	find /etc/yum.repos.d/ -mindepth 1 -maxdepth 1 -exec mv -f {} "$saved/repos/" \;
fi

# configure FILE NAME: puts our settings first in [main], and what they replace, and offline all other sections, behind a
# mark. Values that a file gives twice would count by the last.
configure() {
	[ -e "$1" ] || return 0
	file=$(readlink -f "$1")
	if grep -q '^#offbake' "$file"; then
		return 0
	fi
	cp -p "$file" "$saved/$2"
	awk -v offline="$OFFBAKE_OFFLINE" -v check="$CHECK" -v weak="$WEAK" '
		function ours() {
			print "#offbake begin"
			print "gpgcheck=1\nlocalpkg_gpgcheck=" check "\nrepo_gpgcheck=0"
			if (offline) print "reposdir=/etc/yum.repos.d\nbest=0\ninstall_weak_deps=" weak
			print "#offbake end"
			done = 1
		}
		/^[ \t]*\[/ {
			main = ($0 ~ /^[ \t]*\[main\]/)
			if (main && !done) { print; ours(); next }
		}
		!main && offline && /[^ \t]/ { print "#offbake#" $0; next }
		main && /^[ \t]+[^ \t#;]/ && off { print "#offbake#" $0; next }
		{ off = 0 }
		main && /^[ \t]*(gpgcheck|localpkg_gpgcheck|repo_gpgcheck)[ \t]*=/ { off = 1 }
		main && offline && /^[ \t]*(reposdir|best|install_weak_deps)[ \t]*=/ { off = 1 }
		off { print "#offbake#" $0; next }
		{ print }
		END { if (!done) { print "#offbake begin\n[main]\n#offbake end"; ours() } }
	' "$saved/$2" >"$saved/$2.ours"
	cat "$saved/$2.ours" >"$file"
}
if command -v dnf >/dev/null; then
	conf=/etc/dnf/dnf.conf
else
	conf=/etc/yum.conf
fi
if [ ! -e "$conf" ]; then
	mkdir -p "${conf%/*}"
	: >"$conf"
	echo "$conf" >"$saved/made-conf"
fi
configure /etc/dnf/dnf.conf dnf.conf
configure /etc/yum.conf yum.conf

if [ -n "$REPO" ]; then
	printf '%s' "$REPO" >/etc/yum.repos.d/offbake.repo
	for key in "$OFFBAKE"/rpms/keys/*; do
		[ ! -f "$key" ] || rpm --import "$key"
	done
fi
