#!/bin/sh
# Says how the agent is to be sent: DIGEST is that of the program. "same" where it is there already.
set -eu
agent=/run/offbake/offbake
if [ -x "$agent" ] && [ "$(sha256sum <"$agent")" = "$1  -" ]; then
	echo same
elif command -v gzip >/dev/null; then
	echo gzip
else
	echo plain
fi
