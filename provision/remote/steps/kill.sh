#!/bin/sh
# Kills the command that bears a mark, and what it started and did not let go: MARK. An SSH server may know no way to do it.
set -u
tree=
# shellcheck disable=SC2062 # the words after -f are files
for file in $(printf '# offbake %s' "$1" | grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null); do
	pid=${file#/proc/}
	tree="$tree ${pid%/cmdline} "
done
[ -n "$tree" ] || exit 0

# Stopped, none starts another meanwhile.
# shellcheck disable=SC2086 # a list of numbers
while
	kill -STOP $tree 2>/dev/null
	more=
	for file in /proc/[0-9]*/stat; do
		read -r stat 2>/dev/null <"$file" || continue
		pid=${stat%% *}
		rest=${stat##*) } # the name before it may hold anything
		rest=${rest#* }
		case $tree in
		*" ${rest%% *} "*) case "$tree$more" in *" $pid "*) ;; *) more="$more $pid " ;; esac ;;
		esac
	done
	[ -n "$more" ]
do
	tree=$tree$more
done
# shellcheck disable=SC2086
kill -KILL $tree 2>/dev/null
exit 0
