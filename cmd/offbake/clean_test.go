package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// cloudStub answers what clean asks, and notes it. Its hosts go when they are told to.
type cloudStub struct {
	*httptest.Server
	mu    sync.Mutex
	hosts map[string]string // id by name
	asked []string
}

func newCloudStub(t *testing.T, hosts ...string) *cloudStub {
	t.Helper()
	c := &cloudStub{hosts: map[string]string{}}
	for i, name := range hosts {
		c.hosts[name] = fmt.Sprintf("uhost-%d", i)
	}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		action := r.FormValue("Action")
		if !strings.HasPrefix(action, "Describe") {
			c.asked = append(c.asked, action)
		}
		answer := map[string]any{"RetCode": 0, "Action": action + "Response", "TotalCount": 0}
		switch action {
		case "DescribeUHostInstance":
			set := []map[string]any{}
			for name, id := range c.hosts {
				set = append(set, map[string]any{"Name": name, "UHostId": id, "State": "Stopped", "Tag": "offbake",
					"CreateTime": time.Now().Add(-time.Hour).Unix()})
			}
			answer["UHostSet"], answer["TotalCount"] = set, len(set)
		case "TerminateUHostInstance":
			for name, id := range c.hosts {
				if id == r.FormValue("UHostId") {
					delete(c.hosts, name)
				}
			}
		}
		json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(c.Close)
	return c
}

// cleaned runs clean in a folder with a cloud's journal and returns what it prints.
func cleaned(t *testing.T, dir string, api string, args ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"clean"}, args...)...)
	cmd.Args[0], cmd.Dir = "offbake", dir
	cmd.Env = append(os.Environ(), "OFFBAKE_CACHE="+dir, "UCLOUD_API_BASE_URL="+api, "UCLOUD_PUBKEY=public",
		"UCLOUD_SECRET=private", "UCLOUD_REGION=cn-bj2")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("clean: %v: %s", err, &stderr)
	}
	return string(out)
}

func journalled(t *testing.T, dir, name, api string) {
	t.Helper()
	journal := filepath.Join(dir, "state", "journal-ucloud")
	if err := os.MkdirAll(journal, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"schema":"offbake/journal/1","host":%q,"image":"x","run":"dead","target":{"api":%q,"region":"cn-bj2"},"captured":true}`,
		name, api)
	if err := os.WriteFile(filepath.Join(journal, name+".json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCleanAsksTheCloudThatHasTheHost: another cloud, which the environment names meanwhile, has no such host, and that
// it has none is no reason to forget it. A manifest whose variables nobody gives is no reason to leave it.
func TestCleanAsksTheCloudThatHasTheHost(t *testing.T) {
	dir := t.TempDir()
	there, elsewhere := newCloudStub(t, "offbake-dead-x"), newCloudStub(t)
	journalled(t, dir, "offbake-dead-x", there.URL)
	text := "schema: offbake/v1\nname: x\nversion: 1.0.0\nplatform: linux/amd64\nvars: {}\nartifacts: {}\ncloud: {region: \"${nobody}\"}\n"
	if err := os.WriteFile(filepath.Join(dir, "manifest.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := cleaned(t, dir, elsewhere.URL); got != "offbake-dead-x\n" {
		t.Errorf("got %q, want the host", got)
	}
	if len(there.hosts) != 0 || len(elsewhere.asked) != 0 {
		t.Errorf("got hosts %v, and elsewhere %v, want neither", there.hosts, elsewhere.asked)
	}
	left, err := filepath.Glob(filepath.Join(dir, "state", "journal-ucloud", "*"))
	if len(left) != 0 || err != nil {
		t.Errorf("journal: got %v, %v, want nothing", left, err)
	}
}

// TestCleanOrphans: hosts of a bake that is at work are none, and an image, which may be the finished one of a host that
// could not be ended, stays.
func TestCleanOrphans(t *testing.T) {
	dir := t.TempDir()
	cloud := newCloudStub(t, "offbake-lost-x", "offbake-atwork-x", "somebody's")
	journalled(t, dir, "offbake-atwork-x", "http://192.0.2.1")
	// The run lives: somebody holds its lock.
	lock := filepath.Join(dir, "state", "journal-ucloud", "dead.lock")
	holder := exec.Command("flock", lock, "cat")
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer holder.Wait()
	defer in.Close()
	for deadline := time.Now().Add(10 * time.Second); exec.Command("flock", "-n", lock, "true").Run() == nil; {
		if time.Now().After(deadline) {
			t.Fatal("nobody takes the lock")
		}
	}
	if got := cleaned(t, dir, cloud.URL, "--orphans", "--older-than", "1m", "--yes"); got != "offbake-lost-x\n" {
		t.Errorf("got %q, want the host that no journal names", got)
	}
	if diff := cmp.Diff([]string{"TerminateUHostInstance"}, cloud.asked); diff != "" || len(cloud.hosts) != 2 {
		t.Errorf("got hosts %v, calls (-want +got):\n%s", cloud.hosts, diff)
	}
}
