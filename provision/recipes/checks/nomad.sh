#!/bin/sh

version nomad "$NOMAD_VERSION"
loaded nomad.service
for tool in cfssl cfssl-certinfo cfssljson; do
	[ -x "/usr/local/bin/$tool" ] || { say "$tool: not executable"; exit 1; }
done
