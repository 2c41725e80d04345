#!/bin/sh
# Stands in for the agent: says what it was called with and does what files beside the agent have for it.
dir=/run/offbake
echo "$*" >>$dir/calls
case $1 in
seal)
	[ ! -s $dir/fail ] || { cat $dir/fail >&2; exit 1; }
	;;
background)
	cat $dir/background
	;;
run) # --report FILE -- ARGV...
	[ ! -s $dir/egress ] || { cat $dir/egress >"$3"; exit 213; }
	[ ! -s $dir/unable ] || { cat $dir/unable >"$3"; exit 214; }
	[ ! -s $dir/broken ] || { cat $dir/broken >"$3"; exit 215; }
	shift 4
	exec "$@"
	;;
esac
