package manifest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/manifest"
)

// TestMadeLeavesMirrorsOut expands with what a bundle records, which is nothing of mirrors.
func TestMadeLeavesMirrorsOut(t *testing.T) {
	m := parse(t, head+`vars: {internet: ""}
mirrors: [{from: "https://a.example/", to: ["${internet}/a/", "${nowhere}"]}]
artifacts: {hashicorp: [{product: consul, version: "${v}"}]}
`)
	recorded := func(variables map[string]string) *manifest.Vars {
		v, _, err := m.Vars(manifest.VarOptions{Recorded: variables})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	in, err := m.Made(recorded(map[string]string{"v": "1.6.1"}))
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Mirrors) != 0 || len(in.Artifacts.HashiCorp) != 1 || in.Artifacts.HashiCorp[0].Version != "1.6.1" {
		t.Errorf("got %+v", in)
	}
	if diff := cmp.Diff(map[string]string{"v": "1.6.1"}, in.Variables); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	if _, err := m.Inputs(recorded(map[string]string{"v": "1.6.1"})); err == nil {
		t.Error("Inputs took mirrors without their variables")
	}
	if _, err := m.Made(recorded(nil)); err == nil {
		t.Error("Made took an artifact without its variable")
	}
}
