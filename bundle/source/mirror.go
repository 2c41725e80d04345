package source

import (
	"strings"

	"github.com/offbake/offbake/manifest"
)

// URLs lists the addresses to try for one address, in order: each mirror of each entry that covers it, then itself.
func URLs(address string, mirrors []manifest.Mirror) []string {
	var all []string
	for _, m := range mirrors {
		rest, ok := strings.CutPrefix(address, m.From)
		if !ok {
			continue
		}
		for _, to := range m.To {
			all = append(all, to+rest)
		}
	}
	return append(all, address)
}
