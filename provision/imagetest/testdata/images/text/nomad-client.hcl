region = "REGION"
datacenter = "DATACENTER"
data_dir = "/opt/consul/data"
name = "NODENAME"
client {
  enabled = true
  node_class = "CLASS"
  META
}
