#!/bin/sh
# Receives one file on standard input: PATH SHA256 MODE.
set -eu
umask 077
mkdir -p "${1%/*}"
cat >"$1.part"
got=$(sha256sum <"$1.part")
got=${got%% *}
if [ "$got" != "$2" ]; then
	rm -f "$1.part"
	echo "$1: got sha256 $got, want $2" >&2
	exit 1
fi
chmod "$3" "$1.part"
mv -f "$1.part" "$1"
