#!/bin/sh
fill /etc/nomad.d/client.hcl
start nomad.service
