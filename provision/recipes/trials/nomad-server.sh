#!/bin/sh
mkdir -p /data/nomad/data
fill /etc/nomad.d/server.hcl
start nomad.service
