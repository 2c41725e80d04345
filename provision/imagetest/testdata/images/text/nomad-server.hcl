region = "REGION"
datacenter = "DATACENTER"
data_dir = "/data/nomad/data"
name = "NODENAME"
server {
  enabled = true
  bootstrap_expect = EXPECTEDSVRS
}
