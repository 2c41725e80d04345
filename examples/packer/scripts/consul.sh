#!/bin/bash
# In the style of the scripts that Packer sets for UCloud have: variables in the environment, a user, a unit file.
set -eu
[ -z "$YUM_BASE" ] || curl -fsS -o /etc/yum.repos.d/CentOS-Base.repo "$YUM_BASE"
[ -z "$FILE_SERVER" ] || curl -fsS -o /usr/local/bin/consul "$FILE_SERVER/consul_${CONSUL_VERSION}_linux_amd64"
getent passwd consul >/dev/null || useradd --system --home /etc/consul.d --shell /bin/false consul
mkdir -p /etc/consul.d
cp /tmp/upload/conf.d/a.hcl /etc/consul.d/consul.hcl
chown -R consul:consul /etc/consul.d
chmod 640 /etc/consul.d/consul.hcl
cat >/etc/systemd/system/consul.service <<'UNIT'
[Unit]
Description=SERVICE_DESCRIPTION
[Service]
User=consul
Group=consul
ExecStart=/usr/local/bin/consul agent -config-dir=/etc/consul.d/
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable consul
cp /tmp/upload/motd /etc/motd
rm -rf /tmp/upload
