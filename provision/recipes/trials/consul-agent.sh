#!/bin/sh
fill /etc/consul.d/consul.hcl
start consul.service
