#!/bin/sh
# The configuration template of a Nomad server. The cluster set-up replaces the names in capitals.
#
# after nomad

put /etc/nomad.d/server.hcl 0640 root:root <<'HCL'
region = "REGION"
datacenter = "DATACENTER"
data_dir = "/data/nomad/data"
name = "NODENAME"
server {
  enabled = true
  bootstrap_expect = EXPECTEDSVRS
}
HCL
