#!/bin/sh
systemctl is-enabled docker.service
