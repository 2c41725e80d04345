#!/bin/bash
set -eu
grep -q "a 'quoted' greeting" /root/first.txt
grep -q 'host ucloud-uhost' /root/first.txt
sleep 1
