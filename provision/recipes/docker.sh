#!/bin/sh
# Docker, started at boot. DOCKER_RPM and DOCKER_CLI_RPM win over the repositories when they are set; what those two
# packages require comes from the repositories in either case.
#
# needs package docker-ce as docker_rpm
# needs package docker-ce-cli as docker_cli_rpm

# rpm_file URL: prints the path of its file, which is fetched unless it was staged.
rpm_file() {
	name=${1%%\?*}
	name=${name##*/}
	if [ -f "$OFFBAKE_FILES/$name" ]; then
		echo "$OFFBAKE_FILES/$name"
		return
	fi
	curl -fsSL --retry 3 "$1" >"$OFFBAKE/$name"
	echo "$OFFBAKE/$name"
}

# To install what is there already is an error to yum 3.4 when it comes as a file.
set --
for url in "${DOCKER_CLI_RPM-}" "${DOCKER_RPM-}"; do
	if [ -n "$url" ]; then
		file=$(rpm_file "$url")
		installed=$(rpm -qp --qf '%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}' "$file")
		rpm -q "$installed" >/dev/null 2>&1 || set -- "$@" "$file"
	fi
done
if [ $# -gt 0 ]; then
	pm install -y "$@"
fi
packages docker-ce docker-ce-cli

systemctl enable docker.service
