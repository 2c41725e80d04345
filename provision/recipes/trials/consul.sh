#!/bin/sh
fill /etc/systemd/system/consul.service
