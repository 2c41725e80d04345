#!/bin/bash
set -eu
printf '%s\n' "$GREETING" >/root/first.txt
echo "$PACKER_BUILD_NAME $PACKER_BUILDER_TYPE" >>/root/first.txt
