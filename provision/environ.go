package provision

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/offbake/offbake/manifest"
)

// Root is where a host keeps what staging brings. Cleaning removes it.
const Root = "/var/lib/offbake"

// hostPath is where a host keeps a path of the bundle.
func hostPath(path string) string { return Root + "/" + path }

// quote makes s one word of a POSIX shell (XCU 2.2.2).
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// exports are the shell lines that make an environment.
func exports(env map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		b.WriteString("export " + name + "=" + quote(env[name]) + "\n")
	}
	return b.String()
}

// variables returns what of an image's variables scripts may see: none that is secret.
func variables(img manifest.Image) map[string]string {
	out := map[string]string{}
	for name, value := range img.Variables {
		if !manifest.Secret(name) {
			out[name] = value
		}
	}
	return out
}

// secrets returns the values that no output may show.
func secrets(img manifest.Image) []string {
	out := []string{img.Cloud.SSH.Password}
	for name, value := range img.Variables {
		if manifest.Secret(name) {
			out = append(out, value)
		}
	}
	return out
}

// environment is what recipes, users' scripts and checks see: each variable in upper case, those that the bundle
// replaces with its own values, and what recipes have to know.
func (p *ImagePlan) environment(server string, r *Request) map[string]string {
	values := variables(p.img)
	if r.Offline {
		values["yum_base"], values["yum_docker"] = "", ""
		for variable, file := range p.served {
			values[variable] = ""
			if file != "" {
				values[variable] = server + strings.TrimPrefix(file, manifest.FilesDir)
			}
		}
	}
	for _, name := range []string{"file_server", "cfssl_tool_server"} {
		if r.Offline || values[name] == "" {
			values[name] = server
		}
	}
	env := map[string]string{}
	for name, value := range values {
		env[strings.ToUpper(name)] = value
	}
	env["HOME"] = "/root"
	env["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	env["OFFBAKE"] = Root
	env["OFFBAKE_FILES"] = hostPath(manifest.FilesDir)
	env["OFFBAKE_OFFLINE"] = ""
	if r.Offline {
		env["OFFBAKE_OFFLINE"] = "1"
	}
	env["OFFBAKE_UPGRADE"] = strings.Join(r.Upgrade, " ")
	return env
}

func hexSHA256(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
