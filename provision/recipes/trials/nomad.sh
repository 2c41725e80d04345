#!/bin/sh
fill /etc/systemd/system/nomad.service
