#!/bin/sh

docker --version
loaded docker.service
systemctl is-enabled docker.service
