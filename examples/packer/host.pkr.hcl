# One host with a public address, all ways to give it files and commands, and an image of it.

packer {
  required_plugins {
    ucloud = {
      version = ">= 1.0.9"
      source  = "github.com/ucloud/ucloud"
    }
  }
}

variable "api" { default = env("UCLOUD_API_BASE_URL") }
variable "public_key" { default = env("UCLOUD_PUBKEY") }
variable "private_key" {
  default   = env("UCLOUD_SECRET")
  sensitive = true
}
variable "project" {}
variable "region" {}
variable "zone" {}
variable "image" {}
variable "transfer" { default = "sftp" }
variable "fail" { default = "" } # a digit makes the first script fail with that status

source "ucloud-uhost" "host" {
  base_url                 = var.api
  public_key               = var.public_key
  private_key              = var.private_key
  project_id               = var.project
  region                   = var.region
  availability_zone        = var.zone
  instance_type            = "n-basic-2"
  source_image_id          = var.image
  image_name               = "packer-host"
  eip_bandwidth            = 10
  ssh_username             = "root"
  ssh_file_transfer_method = var.transfer
}

build {
  sources = ["source.ucloud-uhost.host"]

  provisioner "file" {
    source      = "${path.root}/files/motd"
    destination = "/etc/motd"
  }
  provisioner "file" {
    content     = "made from a string\n"
    destination = "/root/string.txt"
  }
  provisioner "file" { # with its own name below /root
    source      = "${path.root}/files"
    destination = "/root"
  }
  provisioner "shell" {
    inline = ["set -e", "grep -q packer /etc/motd", "cat /root/string.txt /root/files/motd >/root/both.txt", "exit 0$FAIL"]
    env    = { FAIL = var.fail }
  }
  provisioner "shell" {
    scripts          = ["${path.root}/scripts/first.sh", "${path.root}/scripts/second.sh"]
    execute_command  = "chmod +x {{ .Path }}; {{ .Vars }} bash -x {{ .Path }}"
    environment_vars = ["GREETING=a 'quoted' greeting"]
  }
  provisioner "file" {
    direction   = "download"
    source      = "/root/both.txt"
    destination = "both.txt"
  }

  post-processor "manifest" {
    output = "host-manifest.json"
  }
}
