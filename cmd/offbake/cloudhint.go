package main

import (
	"errors"

	"github.com/offbake/offbake/provision/disk"
	"github.com/offbake/offbake/provision/remote"
	"github.com/offbake/offbake/provision/ucloud"
)

// cloudHint tells what to do about an error of the cloud or of a host in it.
func cloudHint(err error) string {
	var api *ucloud.Error
	switch {
	case errors.Is(err, errNoCloudKeys):
		return "export UCLOUD_PUBKEY and UCLOUD_SECRET, or give ucloud_public_key and ucloud_private_key in a --var-file"
	case as[*ucloud.BaseError](err):
		return "look at what the region has: offbake base list"
	case as[*remote.HostKeyError](err):
		return "something else answers at the host's address: look for an address that is used twice, or for somebody in between"
	case as[*remote.AuthError](err):
		return "check ssh.user of the manifest's cloud: root on CentOS, ubuntu on Ubuntu; the base must take logins by password or key"
	case as[*disk.RoomError](err):
		return "make room there, name a larger disk with --cache, or bake fewer at once with --parallel"
	case errors.As(err, &api):
		return kindHint(api.Kind())
	}
	return ""
}

func kindHint(k ucloud.Kind) string {
	switch k {
	case ucloud.Quota:
		return "end what is not needed (offbake clean --orphans lists hosts of ours), or ask for a larger quota"
	case ucloud.Balance:
		return "charge the account, or pay the open order, in the console"
	case ucloud.Permission:
		return "give the key the right to make hosts and images (UHost, UNet, VPC), and to be charged as cloud.charge_type says"
	case ucloud.Signature:
		return "check UCLOUD_PUBKEY and UCLOUD_SECRET: both of one key pair, without spaces"
	case ucloud.Region:
		return "check region, zone and project of the manifest's cloud, and that the key may use them"
	case ucloud.Base:
		return "image ids differ by region and zone; look at what there is: offbake base list"
	case ucloud.Refused:
		return "put this machine's address on the key's list in the console"
	case ucloud.Capacity:
		return "take another zone, instance type or subnet, or try again later"
	case ucloud.RealName:
		return "the account has to be verified in the console first"
	case ucloud.Throttled:
		return "too many requests at once: bake with --parallel 1, or try again later"
	case ucloud.Unavailable:
		return "check the network and UCLOUD_API_BASE_URL; inside a VPC the API is at http://api.service.ucloud.cn"
	}
	return ""
}
