package store

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle"
)

// mirrorFolder is where the emitted file expects providers that Terraform cannot take from the store itself.
const mirrorFolder = "/opt/offbake/terraform"

// emitTerraform makes a CLI configuration for Terraform 0.13 and later, and OpenTofu, that installs the bundle's providers
// and nothing else. The address decides how: Terraform takes a network mirror over https only
// (developer.hashicorp.com/terraform/cli/config/config-file#network_mirror), and a folder as it is.
func emitTerraform(base string, x bundle.Index) ([]byte, error) {
	zips, providers := terraformFiles(x)
	if len(zips) == 0 {
		return nil, errors.New("the bundle has no Terraform providers")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Providers of %s %s: ~/.terraformrc or ~/.tofurc, or the file that TF_CLI_CONFIG_FILE names.\n", x.Name, x.Version)
	b.WriteString("# What is not in the list is not looked for anywhere: add direct {} where there is a way out.\n")
	switch {
	case strings.HasPrefix(base, "https://"):
		for _, zip := range zips {
			if strings.Contains(zip, "+") {
				return nil, fmt.Errorf("%q has another name in a store than in the mirror's index", zip)
			}
		}
		writeMirror(&b, "network_mirror", "url", base+"/terraform/", providers)
	case strings.HasPrefix(base, "http://"):
		b.WriteString("# This store answers over http, and Terraform takes a network mirror over https only. Fetch the files once:\n")
		for _, zip := range zips {
			local := mirrorFolder + strings.TrimPrefix(zip, "terraform")
			fmt.Fprintf(&b, "#   curl -fsS --create-dirs -o %s %s/%s\n", local, base, escapePath(zip))
		}
		fmt.Fprintf(&b, "# or, from the bundle: offbake extract BUNDLE -C %s terraform\n", path.Dir(mirrorFolder))
		fmt.Fprintf(&b, "# Behind a proxy with TLS it is: network_mirror { url = \"https://PROXY%s/terraform/\" }\n", urlPath(base))
		writeMirror(&b, "filesystem_mirror", "path", mirrorFolder, providers)
	default:
		writeMirror(&b, "filesystem_mirror", "path", base+"/terraform", providers)
	}
	return []byte(b.String()), nil
}

// urlPath is what follows the host.
func urlPath(base string) string {
	_, rest, _ := strings.Cut(base, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return ""
}

// terraformFiles finds the zips of terraform/HOST/NAMESPACE/TYPE/ and the addresses HOST/NAMESPACE/TYPE, sorted.
func terraformFiles(x bundle.Index) (zips, providers []string) {
	for _, f := range x.Files {
		address, ok := strings.CutPrefix(path.Dir(f.Path), "terraform/")
		if ok && path.Ext(f.Path) == ".zip" && strings.Count(address, "/") == 2 {
			zips = append(zips, f.Path)
			providers = append(providers, address)
		}
	}
	slices.Sort(zips)
	slices.Sort(providers)
	return zips, slices.Compact(providers)
}

func writeMirror(b *strings.Builder, method, where, value string, providers []string) {
	fmt.Fprintf(b, "provider_installation {\n  %s {\n    %-7s = %s\n    include = [\n", method, where, hclString(value))
	for _, p := range providers {
		fmt.Fprintf(b, "      %s,\n", hclString(p))
	}
	b.WriteString("    ]\n  }\n}\n")
}

// hclString quotes for HCL 1, which the CLI configuration is written in.
func hclString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
