package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// sysctl is a setting under /proc/sys/net.
type sysctl struct{ name, value string }

// A new namespace takes IPv4 settings over from the machine's, where a container engine may have turned forwarding on.
func gatewaySysctls() []sysctl {
	return []sysctl{
		{"ipv4/ip_forward", "0"},
		{"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/default/rp_filter", "0"},
		{"ipv6/conf/all/disable_ipv6", "1"},
		{"ipv6/conf/default/disable_ipv6", "1"},
	}
}

func linkSysctls(v6 bool) []sysctl {
	s := []sysctl{{"ipv4/ip_forward", "0"}}
	if !v6 {
		return append(s, sysctl{"ipv6/conf/default/disable_ipv6", "1"})
	}
	return append(append(s, sysctl{"ipv6/conf/all/disable_ipv6", "0"}), quietIPv6("default")...)
}

// quietIPv6 are the settings with which an interface has IPv6 and its kernel sends nothing of its own accord.
func quietIPv6(name string) []sysctl {
	conf := "ipv6/conf/" + name + "/"
	return []sysctl{
		{conf + "accept_dad", "0"},
		{conf + "accept_ra", "0"},
		{conf + "router_solicitations", "0"},
		{conf + "addr_gen_mode", "1"},
		{conf + "disable_ipv6", "0"},
	}
}

// setSysctls applies to the network namespace of the calling thread. A kernel without IPv6 has nothing to set.
func setSysctls(all []sysctl) error {
	for _, s := range all {
		err := os.WriteFile("/proc/sys/net/"+s.name, []byte(s.value), 0)
		if err != nil && !(errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(s.name, "ipv6/")) {
			return fmt.Errorf("setting net/%s: %w", s.name, err)
		}
	}
	return nil
}
