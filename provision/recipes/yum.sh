#!/bin/sh
# The sources of packages, and the tools that everything else expects.
#
# Offline the bundle's repository is the only one, put in place before this runs, and nothing is upgraded but what
# OFFBAKE_UPGRADE names. Otherwise YUM_BASE replaces the base repository file and YUM_DOCKER is added, when they are set.
#
# needs package yum-utils
# needs package device-mapper-persistent-data
# needs package lvm2
# needs package wget

# off FILE KEY: sets KEY to 0 where FILE has it.
off() {
	if [ -f "$1" ]; then
		sed -i "s/^[[:space:]]*$2[[:space:]]*=.*/$2=0/" "$1"
	fi
}

# source_file URL PATH
source_file() {
	curl -fsSL --retry 3 "$1" >"$OFFBAKE/repo"
	put "$2" 0644 root:root <"$OFFBAKE/repo"
}

off /etc/yum/pluginconf.d/fastestmirror.conf enabled
off /etc/dnf/dnf.conf fastestmirror

if [ -z "$OFFBAKE_OFFLINE" ]; then
	if [ -n "${YUM_BASE-}" ]; then
		source_file "$YUM_BASE" /etc/yum.repos.d/CentOS-Base.repo
	fi
	if [ -n "${YUM_DOCKER-}" ]; then
		source_file "$YUM_DOCKER" /etc/yum.repos.d/docker-ce.repo
	fi
	pm makecache
	pm upgrade -y
else
	# dnf takes the name of a package that is not installed for an error here, yum 3.4 does not.
	set -f
	for name in $OFFBAKE_UPGRADE; do
		if rpm -q "$name" >/dev/null 2>&1; then
			pm upgrade -y "$name"
		fi
	done
	set +f
fi

packages yum-utils device-mapper-persistent-data lvm2 wget
