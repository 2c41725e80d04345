#!/bin/sh
# Takes back what baking did to the host beside what the image is made for, so that machines made of the image share no
# identity and no leftovers. What users' scripts changed stays.
set -eu
umask 022
saved=$OFFBAKE/saved

# put_back FILE NAME: the very file, unless somebody changed it meanwhile; then it without our settings.
put_back() {
	[ -f "$saved/$2" ] || return 0
	file=$(readlink -f "$1")
	if [ "$(sha256sum <"$file")" = "$(sha256sum <"$saved/$2.ours")" ]; then
		cat "$saved/$2" >"$file"
		touch -r "$saved/$2" "$file"
	else
		sed -i -e '/^#offbake begin$/,/^#offbake end$/d' -e 's/^#offbake#//' "$file"
	fi
}
put_back /etc/dnf/dnf.conf dnf.conf
put_back /etc/yum.conf yum.conf
if [ -f "$saved/made-conf" ] && [ ! -s "$(cat "$saved/made-conf")" ]; then
	rm -f "$(cat "$saved/made-conf")"
fi

# The caches go while the package manager still knows the bundle's repository by name.
if command -v yum >/dev/null; then
	yum -q clean all >/dev/null 2>&1 || :
elif command -v dnf >/dev/null; then
	dnf -q clean all >/dev/null 2>&1 || :
fi
for cache in /var/cache/yum /var/cache/dnf /var/cache/libdnf5; do
	[ ! -d "$cache" ] || find "$cache" -mindepth 1 -delete
done

# A file that a script wrote under the name of one that was off is what the image is to have.
rm -f /etc/yum.repos.d/offbake.repo
if [ -d "$saved/repos" ]; then
	find "$saved/repos" -mindepth 1 -maxdepth 1 | while IFS= read -r file; do
		[ -e "/etc/yum.repos.d/${file##*/}" ] || mv "$file" /etc/yum.repos.d/
	done
fi
[ ! -e "$saved/made-repos" ] || rmdir /etc/yum.repos.d 2>/dev/null || :

# Identity: every machine makes its own. An empty machine-id is filled in at boot; a missing one is not on CentOS 7.
rm -f /etc/ssh/ssh_host_*
[ ! -e /etc/machine-id ] || : >/etc/machine-id
[ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
# cloud-init keeps what it was told, the private key of this host included. To it a machine made of the image is new.
rm -rf /var/lib/cloud/instance /var/lib/cloud/instances /var/lib/cloud/data /var/lib/cloud/sem

for home in /root /home/*; do
	rm -f "$home/.bash_history" "$home/.sh_history" "$home/.viminfo" "$home/.lesshst" "$home/.wget-hsts"
	# A key that a builder adds for itself bears the comment "offbake".
	keys=$home/.ssh/authorized_keys
	if [ -f "$keys" ] && grep -q ' offbake$' "$keys"; then
		sed -i '/ offbake$/d' "$keys"
		[ -s "$keys" ] || rm -f "$keys"
	fi
done

rm -rf /var/log/journal/*
find /var/log -xdev -type f | while IFS= read -r file; do
	: >"$file"
done

rm -rf "$OFFBAKE"
sync
