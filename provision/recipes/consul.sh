#!/bin/sh
# Consul as a service: binary, user, folder, unit. Its configuration is consul-server's or consul-agent's.
#
# needs file consul_${consul_version}_linux_amd64
# needs package sed
# needs package unzip
# needs package vim

packages sed unzip vim

copy "consul_${CONSUL_VERSION}_linux_amd64" /usr/local/bin/consul
completion consul

getent group consul >/dev/null || groupadd --system consul
if getent passwd consul >/dev/null; then
	usermod --gid consul --home /etc/consul.d --shell /bin/false consul
else
	useradd --system --gid consul --home-dir /etc/consul.d --no-create-home --shell /bin/false consul
fi

folder /etc/consul.d 0755 consul:consul
touch /etc/consul.d/consul.hcl
chown consul:consul /etc/consul.d/consul.hcl
chmod 0640 /etc/consul.d/consul.hcl

put /etc/systemd/system/consul.service 0644 root:root <<'UNIT'
[Unit]
Description=SERVICE_DESCRIPTION
Requires=network-online.target
After=network-online.target
ConditionFileNotEmpty=/etc/consul.d/consul.hcl

[Service]
User=consul
Group=consul
ExecStart=/usr/local/bin/consul agent -config-dir=/etc/consul.d/
ExecReload=/usr/local/bin/consul reload
KillMode=process
Restart=on-failure
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
