#!/bin/sh
# The configuration template of a Nomad client. The cluster set-up replaces the names in capitals; META becomes a meta
# block, or nothing. data_dir is Consul's own folder: the modules that boot these images expect it there.
#
# after nomad

put /etc/nomad.d/client.hcl 0640 root:root <<'HCL'
region = "REGION"
datacenter = "DATACENTER"
data_dir = "/opt/consul/data"
name = "NODENAME"
client {
  enabled = true
  node_class = "CLASS"
  META
}
HCL
