#!/bin/sh
# A user's own script: runs after the recipes, in the same environment, and takes what it needs from the file server.
set -eu
curl -fsS -o /tmp/cfssl "${FILE_SERVER}/cfssl_linux-amd64"
chmod +x /tmp/cfssl
/tmp/cfssl version >/etc/motd
echo "nomad ${NOMAD_VERSION}, baked offline" >>/etc/motd
rm /tmp/cfssl
