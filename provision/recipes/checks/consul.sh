#!/bin/sh
# Consul runs, and what stands in consul.hcl is, with sample values, a configuration that it accepts. The network is not
# the real one here: addresses of loopback stand for eth0's and for the private one that a server looks for.

version consul "$CONSUL_VERSION"
loaded consul.service
id consul >/dev/null

[ -s /etc/consul.d/consul.hcl ] || exit 0
dir=$(mktemp -d "$OFFBAKE/check.XXXXXX")
printf 'data_dir = "/nowhere"\nbind_addr = "127.0.0.1"\n' >"$dir/least.hcl"
if ! /usr/local/bin/consul validate "$dir/least.hcl" >/dev/null 2>&1; then
	echo "this consul cannot validate"
	exit 0
fi
sed 's/{{ GetInterfaceIP \\"eth0\\" }}/127.0.0.2/g' /etc/consul.d/consul.hcl >"$dir/consul.hcl"
grep -q '^bind_addr' "$dir/consul.hcl" || echo 'bind_addr = "127.0.0.1"' >>"$dir/consul.hcl"
fill "$dir/consul.hcl"
/usr/local/bin/consul validate "$dir/consul.hcl"
