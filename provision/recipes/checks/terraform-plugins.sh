#!/bin/sh
# Every plugin is a program for this machine: Terraform would find out only when it runs it.

# bytes FILE OFFSET COUNT: hexadecimal
bytes() {
	od -An -v -tx1 -j"$2" -N"$3" "$1" | tr -d ' \n'
}

# The ELF header (man 5 elf) has the machine at byte 18.
machine=$(bytes /proc/self/exe 18 2)
find /plugin -type f >"$OFFBAKE/plugins"
while read -r file; do
	[ -x "$file" ] || { say "$file: not executable"; exit 1; }
	case $(bytes "$file" 0 4) in
	7f454c46) [ "$(bytes "$file" 18 2)" = "$machine" ] || { say "$file: for another machine"; exit 1; } ;;
	2321*) ;;
	*) say "$file: not a program"; exit 1 ;;
	esac
done <"$OFFBAKE/plugins"
