package provision_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/provision"
)

func TestBakeEndsWhatEarlierRunsLeft(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	write := func(host, image, target string, kept bool) {
		t.Helper()
		if err := os.MkdirAll(f.journal, 0o700); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(`{"schema":"offbake/journal/1","host":%q,"image":%q,"run":"dead","target":{"region":%q},"kept":%v}`,
			host, image, target, kept)
		if err := os.WriteFile(filepath.Join(f.journal, host+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f.hosts[host] = &fakeHost{f: f, name: host}
	}
	write("offbake-dead-x", "x", "cn-bj2", false)
	write("offbake-elsewhere-x", "x", "cn-sh2", false)
	write("offbake-kept-consul-server", "consul-server", "cn-bj2", true) // of the image that is made anew
	write("offbake-kept-x", "x", "cn-bj2", true)
	if err := os.WriteFile(filepath.Join(f.journal, "dead.lock"), nil, 0o600); err != nil { // of the killed process
		t.Fatal(err)
	}
	if _, err := provision.Bake(t.Context(), f.request(consulServer())); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"offbake-elsewhere-x.json", "offbake-kept-x.json"}, left(t, f.journal)); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if len(f.hosts) != 2 {
		t.Errorf("got %d hosts, want the one of another region and the one that is kept", len(f.hosts))
	}
}

// TestBakeEndsLeftoversWhereTheyAre: images of one bake may have targets of their own, and a host is ended where it was made.
func TestBakeEndsLeftoversWhereTheyAre(t *testing.T) {
	f, there := newFake(t, newBundle(t, clusterFiles())), newFake(t, newBundle(t, clusterFiles()))
	const host = "offbake-dead-nomad-server"
	text := `{"schema":"offbake/journal/1","host":"` + host + `","image":"nomad-server","run":"dead","target":{"region":"cn-sh2"}}`
	if err := os.MkdirAll(f.journal, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.journal, host+".json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	there.journal, there.hosts[host] = f.journal, &fakeHost{f: there, name: host}
	away := nomadServer()
	away.Cloud.Region = "cn-sh2"
	r := f.request(consulServer(), away)
	r.At = func(at provision.Target) (provision.Cloud, error) {
		if at.Region == "cn-sh2" {
			return there, nil
		}
		return f, nil
	}
	if _, err := provision.Bake(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if len(there.hosts) != 0 {
		t.Errorf("got %d hosts in the other region, want none", len(there.hosts))
	}
	f.checkNothingLeft(t)
}

// TestBakeDiscardsWhatAKilledRunCaptured: whether a run that was killed meanwhile had its image whole nobody knows, so it
// goes, and is not taken for the image that is there already.
func TestBakeDiscardsWhatAKilledRunCaptured(t *testing.T) {
	for _, captured := range []bool{false, true} {
		f := newFake(t, newBundle(t, clusterFiles()))
		first, err := provision.Bake(t.Context(), f.request(consulServer()))
		if err != nil {
			t.Fatal(err)
		}
		key, host := first.Images[0].Inputs, ""
		for host = range f.from {
		}
		text := fmt.Sprintf(`{"schema":"offbake/journal/1","host":%q,"image":"consul-server","run":"dead","target":{"region":"cn-bj2"},"captured":%v}`,
			host, captured)
		if err := os.WriteFile(filepath.Join(f.journal, host+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		second, err := provision.Bake(t.Context(), f.request(consulServer()))
		if err != nil {
			t.Fatal(err)
		}
		if got := second.Images[0]; got.Reused != captured || got.Inputs != key {
			t.Errorf("captured %v: got the image reused %v", captured, got.Reused)
		}
		f.checkNothingLeft(t)
	}
}

func TestCleanLeavesLivingRunsAlone(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	var ended []string
	var cleanErr error
	f.command = func(c provision.Command, stdin string) error {
		if c.Sealed {
			f.mu.Unlock() // Clean may call the cloud
			ended, cleanErr = provision.Clean(context.Background(), f, f.journal, provision.Target{Region: "cn-bj2"})
			f.mu.Lock()
		}
		return nil
	}
	if _, err := provision.Bake(t.Context(), f.request(consulServer())); err != nil {
		t.Fatal(err)
	}
	if len(ended) > 0 || cleanErr != nil {
		t.Errorf("got %q, %v, want nothing ended while the run lives", ended, cleanErr)
	}
}

func TestHostsNamesWhatTheJournalNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"offbake-a-x.json", "a.lock", "offbake-b-y.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := provision.Hosts(dir)
	if diff := cmp.Diff([]string{"offbake-a-x", "offbake-b-y"}, got); diff != "" || err != nil {
		t.Errorf("got %v (-want +got):\n%s", err, diff)
	}
}

// TestForget takes out what is named, and what cannot be read keeps nobody else in.
func TestForget(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	if err := os.MkdirAll(f.journal, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"offbake-a-x", "offbake-b-x"} {
		text := fmt.Sprintf(`{"schema":"offbake/journal/1","host":%q,"image":"x","run":"dead","target":{"region":"cn-bj2","account":"1"}}`, host)
		if err := os.WriteFile(filepath.Join(f.journal, host+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(f.journal, "broken.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := provision.Forget(f.journal, "offbake-c-x"); err == nil || !strings.Contains(err.Error(), `"offbake-c-x"`) {
		t.Errorf("a host that is not there: got %v", err)
	}
	if err := provision.Forget(f.journal, "offbake-a-x"); err != nil {
		t.Error(err)
	}
	at := provision.Target{Region: "cn-bj2"}
	if ended, _ := provision.Clean(t.Context(), f, f.journal, at); len(ended) > 0 {
		t.Errorf("another account's: got %q ended", ended)
	}
	at.Account = "1"
	ended, err := provision.Clean(t.Context(), f, f.journal, at)
	if diff := cmp.Diff([]string{"offbake-b-x"}, ended); diff != "" || err == nil || !strings.Contains(err.Error(), "broken.json") {
		t.Errorf("ended (-want +got):\n%s%v", diff, err)
	}
	if diff := cmp.Diff([]string{"broken.json"}, left(t, f.journal)); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestCleanRefusesWhatIsNoEntry(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	if ended, err := provision.Clean(t.Context(), f, filepath.Join(t.TempDir(), "none"), provision.Target{}); ended != nil || err != nil {
		t.Errorf("no journal: got %q, %v", ended, err)
	}
	for fault, text := range map[string]string{
		"no JSON": "{", "another schema": `{"schema":"offbake/journal/2","host":"a"}`, "another name": `{"schema":"offbake/journal/1","host":"b"}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := provision.Clean(t.Context(), f, dir, provision.Target{}); err == nil || !strings.Contains(err.Error(), "a.json") {
			t.Errorf("%s: got %v, want the file named", fault, err)
		}
	}
}
