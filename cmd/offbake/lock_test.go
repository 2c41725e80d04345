package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/offbake/offbake/internal/faulttest"
)

// TestLock runs the real program against real metadata: docker-ce 20.10.12 for CentOS 7 and all that it needs, in two
// folders docker and centos, as vendors have it in two repositories. The packages themselves are not there. base/ has what
// a CentOS 7.5 container has installed.
func TestLock(t *testing.T) {
	ofDocker := func(name string) bool { return strings.HasPrefix(name, "docker-") || name == "containerd.io" }
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/lock",
		UpdateScripts: *update,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			env.Setenv("OFFBAKE_CACHE", filepath.Join(env.WorkDir, ".cache"))
			env.Setenv("HOME", env.WorkDir)
			for dir, keep := range map[string]func(string) bool{
				"docker": ofDocker, "centos": func(name string) bool { return !ofDocker(name) },
			} {
				if err := faulttest.CutRepo(filepath.Join(env.WorkDir, dir), "../../bundle/rpm/testdata/docker-el7", keep); err != nil {
					return err
				}
			}
			return os.CopyFS(filepath.Join(env.WorkDir, "base"), os.DirFS("../../examples/base"))
		},
	})
}
