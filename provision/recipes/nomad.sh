#!/bin/sh
# Nomad as a service: binary, folder, unit, and the cfssl tools that cluster set-ups make its certificates with. Its
# configuration is nomad-server's or nomad-client's.
#
# Nomad runs as root, and its configuration may come to hold tokens: only root reads /etc/nomad.d.
#
# needs file nomad_${nomad_version}_linux_amd64
# needs file cfssl_linux-amd64
# needs file cfssl-certinfo_linux-amd64
# needs file cfssljson_linux-amd64

copy "nomad_${NOMAD_VERSION}_linux_amd64" /usr/local/bin/nomad
completion nomad
for tool in cfssl cfssl-certinfo cfssljson; do
	copy "${tool}_linux-amd64" "/usr/local/bin/$tool"
done

folder /etc/nomad.d 0700 root:root

# systemd 219 knows the start limit by these names and in this section only; later ones read them too.
put /etc/systemd/system/nomad.service 0644 root:root <<'UNIT'
[Unit]
Description=SERVICE_DESCRIPTION
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/local/bin/nomad agent -config /etc/nomad.d
ExecReload=/bin/kill -HUP $MAINPID
KillMode=process
KillSignal=SIGINT
LimitNOFILE=infinity
LimitNPROC=infinity
TasksMax=infinity
Restart=on-failure
RestartSec=2
StartLimitInterval=10
StartLimitBurst=3

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
