#!/bin/sh
# The trial of a finished image, in a copy that is thrown away: placeholders are replaced as users do, units are started
# and must stay up. The prelude and this stand before the trials of the image's recipes, "steady" after them.
mkdir -p /data
units=

# start UNIT
start() {
	systemctl daemon-reload
	systemctl start "$1"
	units="$units $1"
}

# steady: within 30 seconds every unit started has been active under one process for 3 seconds.
steady() {
	for unit in $units; do
		before=
		same=0
		tries=0
		while [ "$same" -lt 3 ]; do
			if [ "$tries" -ge 30 ]; then
				systemctl status --no-pager "$unit" || :
				journalctl --no-pager -n 20 -u "$unit" || :
				say "$unit: not steadily active"
				exit 1
			fi
			sleep 1
			now=$(systemctl show -p ActiveState -p MainPID "$unit")
			case $now in
			"$before") same=$((same + 1)) ;;
			*ActiveState=active*) same=0 before=$now ;;
			*) same=0 before=none ;;
			esac
			tries=$((tries + 1))
		done
		echo "$unit: active"
	done
}
