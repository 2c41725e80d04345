package sandbox_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/provision/sandbox"
)

// TestOldSDKBakes runs a program of its own module, for two versions of one library cannot be in one program.
func TestOldSDKBakes(t *testing.T) {
	p := &park{}
	s := open(t, p, sandbox.Options{})
	ready, err := json.Marshal(s.Ready())
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("go", "run", ".")
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = "testdata/oldsdk", bytes.NewReader(ready), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("walking a bake: %v\n%s", err, &stderr)
	}
	var got map[string]any
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatalf("reading %q: %v", &stdout, err)
	}
	want := map[string]any{"project": s.Ready().Project, "regions": 4.0, "vpc": s.Ready().VPC, "subnet": s.Ready().Subnet,
		"firewall": "recommend non web", "source": strings.TrimPrefix(s.Ready().Endpoint, "http://"),
		"base": "CentOS 7.9 64位", "price": 0.35, "first": "Initializing", "addresses": []any{"Private", "Bgp"},
		"image": "web", "copy": "web-copy", "last": "none"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what the old SDK saw (-want +got):\n%s", d)
	}
	images := s.Images()
	if len(s.Hosts())+len(s.EIPs())+len(p.machines()) != 0 || len(images) != 1 || images[0].Name != "web" {
		t.Errorf("left: hosts %v, EIPs %v, machines %v, images %v", s.Hosts(), s.EIPs(), p.machines(), images)
	}
}
