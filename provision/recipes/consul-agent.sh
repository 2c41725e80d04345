#!/bin/sh
# The configuration template of a Consul client agent. The cluster set-up replaces the names in capitals; Consul itself
# fills in the address of eth0 when it starts.
#
# after consul

folder /opt/consul 0755 consul:consul
folder /opt/consul/data 0755 consul:consul

put /etc/consul.d/consul.hcl 0640 consul:consul <<'HCL'
datacenter = "DATACENTER"
data_dir = "/opt/consul/data"
node_name = "NODENAME"
retry_join = ["CONSUL_SERVER1_IP", "CONSUL_SERVER2_IP", "CONSUL_SERVER3_IP"]
performance {
  raft_multiplier = 1
}
bind_addr = "{{ GetInterfaceIP \"eth0\" }}"
client_addr = "127.0.0.1 {{ GetInterfaceIP \"eth0\" }}"
HCL
