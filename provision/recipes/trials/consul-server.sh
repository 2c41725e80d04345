#!/bin/sh
mkdir -p /data/consul
chown consul:consul /data/consul
fill /etc/consul.d/consul.hcl
start consul.service
