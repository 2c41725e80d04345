package provision_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/offbake/offbake/provision"
)

func TestWriteResults(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	server := provision.ImageResult{Name: "consul-server", Made: provision.Made{ID: "uimage-1", Region: "cn-bj2"}, Base: "CentOS 7.9 64位",
		Bundle: "b", Seconds: 12, Background: []provision.Attempt{}}
	client := provision.ImageResult{Name: "nomad-client", Made: provision.Made{Path: "/images/<a>.rootfs.tar.zst"}}
	for _, images := range [][]provision.ImageResult{{client, server}, {server}} { // the second run made one of them
		if err := provision.WriteResults(dir, images); err != nil {
			t.Fatal(err)
		}
	}
	var vars map[string]string
	readInto(t, filepath.Join(dir, provision.TfvarsFile), &vars)
	want := map[string]string{"consul_server_image_id": "uimage-1", "nomad_client_image_id": "/images/<a>.rootfs.tar.zst"}
	if diff := cmp.Diff(want, vars); diff != "" {
		t.Errorf("tfvars (-want +got):\n%s", diff)
	}
	var results struct {
		Schema string
		Images []struct {
			Name, Path, Region, Base string
			ImageID                  string `json:"image_id"`
			Seconds                  int
		}
	}
	readInto(t, filepath.Join(dir, provision.ResultsFile), &results)
	if results.Schema != "offbake/images/1" || len(results.Images) != 2 || results.Images[0].ImageID != "uimage-1" ||
		results.Images[0].Seconds != 12 || results.Images[1].Name != "nomad-client" || results.Images[1].Path == "" {
		t.Errorf("got %+v", results)
	}
}

// Bakes of one image each, at the same time, into one folder.
func TestWriteResultsLosesNone(t *testing.T) {
	dir := t.TempDir()
	var g errgroup.Group
	for i := range 20 {
		g.Go(func() error {
			return provision.WriteResults(dir, []provision.ImageResult{{Name: fmt.Sprintf("image-%d", i), Made: provision.Made{ID: "x"}}})
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var vars map[string]string
	readInto(t, filepath.Join(dir, provision.TfvarsFile), &vars)
	var results struct{ Images []struct{} }
	readInto(t, filepath.Join(dir, provision.ResultsFile), &results)
	if len(vars) != 20 || len(results.Images) != 20 {
		t.Errorf("got %d variables and %d results, want 20", len(vars), len(results.Images))
	}
}

func readInto(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What is not ours is not overwritten: a user's own variables stay, and a file that cannot be read is left as it is.
func TestWriteResultsKeepsWhatIsThere(t *testing.T) {
	image := []provision.ImageResult{{Name: "consul-server", Made: provision.Made{ID: "uimage-1"}}}
	for _, tt := range []struct{ file, there, want string }{
		{provision.TfvarsFile, `{"region": "cn-bj2"}`, ""},
		{provision.TfvarsFile, `region = "cn-bj2"`, "writing"},
		{provision.ResultsFile, `{"schema": "offbake/images/2"}`, `got schema "offbake/images/2"`},
		{provision.ResultsFile, `{`, "what is there"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, tt.file)
		if err := os.WriteFile(path, []byte(tt.there), 0o644); err != nil {
			t.Fatal(err)
		}
		err := provision.WriteResults(dir, image)
		data, readErr := os.ReadFile(path)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if tt.want == "" {
			if err != nil || !strings.Contains(string(data), "cn-bj2") || !strings.Contains(string(data), "uimage-1") {
				t.Errorf("%s: got %v and %s", tt.there, err, data)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || string(data) != tt.there {
			t.Errorf("%s: got %v and %s, want an error with %q and the file as it was", tt.there, err, data, tt.want)
		}
	}
}

// A result says what each of its fields is for scripts: docs/scripting.md.
func TestImageResultJSON(t *testing.T) {
	data, err := json.Marshal(provision.ImageResult{Name: "n", Made: provision.Made{ID: "i", Region: "r"}, Base: "b", Bundle: "s",
		Background: []provision.Attempt{{Address: "192.0.2.1", Port: 53, Proto: "udp", Name: "x.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"n","image_id":"i","region":"r","base":"b","bundle":"s","inputs":"","seconds":0,` +
		`"background":[{"address":"192.0.2.1","port":53,"proto":"udp","name":"x.example"}],"reused":false}`
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
}
