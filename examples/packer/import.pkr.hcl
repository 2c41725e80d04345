# A disk image of this machine, put into the store and imported.

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
variable "bucket" {}
variable "disk" { description = "A file whose name ends in the format: disk.raw, disk.qcow2." }
variable "format" { default = "raw" }

source "null" "disk" {
  communicator = "none"
}

build {
  sources = ["source.null.disk"]

  post-processors {
    post-processor "artifice" {
      files = [var.disk]
    }
    post-processor "ucloud-import" {
      base_url          = var.api
      public_key        = var.public_key
      private_key       = var.private_key
      project_id        = var.project
      region            = var.region
      ufile_bucket_name = var.bucket
      image_name        = "packer-import"
      image_os_type     = "CentOS"
      image_os_name     = "CentOS 7.9 64位"
      format            = var.format

      keep_input_artifact = true # else packer removes the file
    }
  }
}
