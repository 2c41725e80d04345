#!/bin/sh
# Prints a report of the agent and removes it; prints nothing where there is none: FILE.
set -eu
[ -e "$1" ] || exit 0
cat "$1"
rm -f "$1"
