package main

import (
	"github.com/offbake/offbake/internal/faulttest"
)

// buildFull serves packages with everything that installing may meet, at https://rpms.example/full/, and returns the key
// that signs them. The base of rpms.txtar has tool-1.0 of them.
func buildFull(cluster *faulttest.Cluster, dir string) ([]byte, error) {
	key, err := faulttest.NewSigningKey(faulttest.KeyOptions{})
	if err != nil {
		return nil, err
	}
	tool := func(version string) faulttest.RPMSpec {
		return faulttest.RPMSpec{Name: "tool", Version: version, PreRequires: []string{"/bin/sh"},
			Files: map[string]faulttest.RPMFile{
				"/usr/bin/tool":  {Content: "#!/bin/sh\necho tool " + version + "\n", Mode: 0o755},
				"/etc/tool.conf": {Content: "version = " + version + "\n", Config: true},
			},
			Post:  "echo \"post " + version + " $1\" >>/var/lib/tool.log",
			Preun: "echo \"preun " + version + " $1\" >>/var/lib/tool.log"}
	}
	app := faulttest.RPMSpec{Name: "app", Arch: "x86_64", PreRequires: []string{"/bin/sh", "words"},
		Requires:   []string{"tool >= 2", "/usr/bin/tool", "/usr/share/dict/words", "(left or right)", "(lib++ if systemd)", "(extra if absent)"},
		Recommends: []string{"extra"},
		Files: map[string]faulttest.RPMFile{
			"/usr/bin/app":       {Link: "tool"},
			"/etc/app.d":         {Dir: true},
			"/etc/app.d/ours":    {Content: "ours\n", Config: true, Mode: 0o640},
			"/var/lib/app/ready": {Ghost: true},
		},
		Pre:  "grep -q offbake /usr/share/dict/words",
		Post: "install -D -m 0644 /dev/null /var/lib/app/ready"}
	plain := func(name string, requires ...string) faulttest.RPMSpec {
		return faulttest.RPMSpec{Name: name, Requires: requires, Files: map[string]faulttest.RPMFile{"/usr/share/full/" + name: {Content: name}}}
	}
	words := plain("words", "app") // and app needs words
	words.Files = map[string]faulttest.RPMFile{"/usr/share/dict/words": {Content: "bake\noffbake\n"}}
	sulky := plain("sulky")
	sulky.Pre = "echo the stars are wrong >&2; exit 1"
	clash := plain("clash")
	clash.Files["/usr/share/full/extra"] = faulttest.RPMFile{Content: "another"}
	if err := faulttest.BuildRepo(dir, key, tool("1.0"), tool("2.0"), app, words, plain("left"), plain("right"), plain("lib++"),
		plain("extra"), sulky, clash); err != nil {
		return nil, err
	}
	armored, err := key.Armored()
	if err != nil {
		return nil, err
	}
	return armored, cluster.PutFolder("https://rpms.example/full/", dir)
}
