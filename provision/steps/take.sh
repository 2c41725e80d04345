#!/bin/sh
# Takes files from the file server. A line "take URL SHA256 MODE PATH" for each follows this text. URLs may be signed:
# curl gets them on its standard input, never as an argument. Options are those of curl 7.29 (CentOS 7).
set -eu
umask 077

for tool in curl sha256sum; do
	command -v "$tool" >/dev/null || { echo "$tool: not on this host" >&2; exit 1; }
done

take() {
	mkdir -p "${4%/*}"
	try=1
	until once "$@"; do
		[ "$try" -lt 5 ] || exit 1
		sleep "$try"
		try=$((try + 1))
	done
	chmod "$3" "$4.part"
	mv -f "$4.part" "$4"
	echo "took $4"
}

once() {
	printf 'url = "%s"\n' "$1" | curl -q -sS -f -g --noproxy '*' --connect-timeout 20 --speed-limit 1 \
		--speed-time 60 -K - -o "$4.part" || return 1
	got=$(sha256sum <"$4.part")
	got=${got%% *}
	[ "$got" = "$2" ] || { echo "$4: got sha256 $got, want $2" >&2; return 1; }
}
