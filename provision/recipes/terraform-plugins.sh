#!/bin/sh
# Terraform's plugins in both layouts that "-plugin-dir=/plugin" has had: flat up to Terraform 0.12, by registry from
# 0.13 on. An empty version leaves that plugin out.
#
# needs file terraform-provider-consul_v${tf_plugin_consul_version}_x4 unless empty
# needs file terraform-provider-nomad_v${tf_plugin_nomad_version}_x4 unless empty
# needs file terraform-provider-null_v${tf_plugin_null_version}_x4 unless empty
# needs file terraform-provider-template_v${tf_plugin_template_version}_x4 unless empty
# needs file terraform-provider-ucloud_v${tf_plugin_ucloud_version}_x4 unless empty
# needs file terraform-provider-external_v${tf_plugin_external_version}_x4 unless empty
# needs file terraform-provider-local_v${tf_plugin_local_version}_x4 unless empty

# plugin NAMESPACE TYPE VERSION
plugin() {
	[ -n "$3" ] || return 0
	file=terraform-provider-$2_v$3_x4
	by_registry=/plugin/registry.terraform.io/$1/$2/$3/linux_amd64
	copy "$file" "/plugin/$file"
	mkdir -p "$by_registry"
	ln -f "/plugin/$file" "$by_registry/$file"
}

folder /plugin 0755 root:root
plugin hashicorp consul "$TF_PLUGIN_CONSUL_VERSION"
plugin hashicorp nomad "$TF_PLUGIN_NOMAD_VERSION"
plugin hashicorp null "$TF_PLUGIN_NULL_VERSION"
plugin hashicorp template "$TF_PLUGIN_TEMPLATE_VERSION"
plugin ucloud ucloud "$TF_PLUGIN_UCLOUD_VERSION"
plugin hashicorp external "$TF_PLUGIN_EXTERNAL_VERSION"
plugin hashicorp local "$TF_PLUGIN_LOCAL_VERSION"
