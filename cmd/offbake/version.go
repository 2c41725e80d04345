package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of offbake",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := versionResult{Schema: "offbake/version/1", Version: buildVersion(), Go: runtime.Version(),
				Platform: runtime.GOOS + "/" + runtime.GOARCH}
			return a.result(v, fmt.Sprintf("offbake %s %s %s", v.Version, v.Go, v.Platform))
		},
	}
}

type versionResult struct {
	Schema   string `json:"schema"`
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// buildVersion is the module version, or the commit that a checkout was built from.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
