package provision_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/provision"
)

func rehearsal(c provision.Cloud, b *bundle.Bundle, journal string, plans ...solve.Plan) provision.Rehearsal {
	return provision.Rehearsal{Cloud: c, Journal: journal, Plans: plans, Files: b.Index().Files, Open: b.Open}
}

// TestRehearseAsksWhatRecipesAsk has a host whose yum notes what it is asked for: the same as in a bake.
func TestRehearseAsksWhatRecipesAsk(t *testing.T) {
	files := clusterFiles()
	files["files/docker-ce-cli-19.03.15-3.x86_64.rpm"] = "cli"
	files["scripts/more.sh"] = "yum install -y \"$DOCKER_CLI_RPM\" wget\nyum install -y lvm2\n"
	img := image("all", "yum", "consul", "docker")
	img.Scripts = []string{"scripts/more.sh"}
	plan := transactionsOf(t, slices.Collect(maps.Keys(files)), map[string]string{"scripts/more.sh": files["scripts/more.sh"]}, img)[0]
	const there = "audit-libs\nsed\ndocker-ce-cli\ndocker-ce-cli-19.03.15-3.x86_64"
	b := newBundle(t, files)
	c := newTrees(t, b)
	c.base = func(string) {
		c.write("stub/installed", there+"\n", 0o644)
		c.write("stub/offers", "yum-utils\n"+c.read("stub/offers"), 0o644)
	}
	if err := provision.Rehearse(t.Context(), rehearsal(c, b, t.TempDir(), plan)); err != nil {
		t.Fatal(err)
	}
	want := asked(plan.Calls, strings.Fields(there))
	for i, line := range want { // it is installed, so that it is given by name alone
		if line = strings.ReplaceAll(line, "docker-ce-cli-19.03.15-3.x86_64.rpm ", ""); line != want[i] {
			want[i] = line
		}
	}
	if diff := cmp.Diff(want, heard(c.read("stub/log"))); diff != "" {
		t.Errorf("yum (-want +got):\n%s", diff)
	}
	for _, path := range []string{"etc/yum.repos.d/offbake.repo", "var/lib/offbake/rpms/Packages/docker-ce.rpm", "var/lib/offbake/files/docker-ce-19.03.15-3.x86_64.rpm"} {
		c.read(path)
	}
	if conf := c.read("etc/yum.conf"); !strings.Contains(conf, "best=0\ninstall_weak_deps=0\n") || strings.Contains(c.read("etc/yum.repos.d/offbake.repo"), "192.0.2") {
		t.Errorf("got configuration %q", conf)
	}
	if _, err := os.Stat(c.root + "/var/lib/offbake/files/consul_1.6.1_linux_amd64"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that no transaction needs: got %v, want it left out", err)
	}
}

func TestRehearseTellsWhatHostsSay(t *testing.T) {
	call := func(by, name string) solve.Call { return solve.Call{By: by, Install: []string{name}} }
	plans := []solve.Plan{
		{Name: "bad", Calls: []solve.Call{call(`recipe "a"`, "one"), call(`recipe "b"`, "sulky"), call(`recipe "c"`, "three")}},
		{Name: "none"},
		{Name: "good", Calls: []solve.Call{call(`recipe "d"`, "four")}},
		{Name: "worse", Calls: []solve.Call{call(`script "e"`, "sulky")}},
	}
	f := newFake(t, newBundle(t, clusterFiles()))
	f.command = func(c provision.Command, stdin string) error {
		if strings.Contains(stdin, "'sulky'") {
			fmt.Fprintln(c.Stderr, "the stars\nare wrong")
			return &provision.ExitError{Code: 1}
		}
		return nil
	}
	var told bytes.Buffer
	r := rehearsal(f, f.bundle, f.journal, plans...)
	r.Progress = progress.New(&told, progress.Options{})
	err := provision.Rehearse(t.Context(), r)
	r.Progress.Close()
	var first *provision.RehearsalError
	const want = "rehearsing image \"bad\": recipe \"b\": exit status 1, after \"the stars\\nare wrong\"\n" +
		"rehearsing image \"worse\": script \"e\": exit status 1, after \"the stars\\nare wrong\""
	if !errors.As(err, &first) || err.Error() != want || provision.IsPlanError(err) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	for text, there := range map[string]bool{"'one'": true, "'three'": false, "'four'": true} {
		if strings.Contains(f.seen.String(), text) != there {
			t.Errorf("%s: got it asked for %t, want %t", text, !there, there)
		}
	}
	if got := told.String(); !strings.Contains(got, "good: rehearsed\n") || strings.Contains(got, "bad: rehearsed") || strings.Contains(got, "none") {
		t.Errorf("got %s", got)
	}
	f.checkNothingLeft(t)
}

// TestRehearseLeavesNoHost fails and cancels at every call.
func TestRehearseLeavesNoHost(t *testing.T) {
	b := newBundle(t, clusterFiles())
	plans := []solve.Plan{{Name: "a", Calls: []solve.Call{{By: "x", Install: []string{"wget"}}}}, {Name: "b", Calls: []solve.Call{{By: "x", Upgrade: []string{"y"}}}}}
	calls := 1
	for k := 0; k <= calls; k++ {
		for _, cancels := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			f := newFake(t, b)
			if f.cancel = cancel; cancels {
				f.cancelAt = k
			} else {
				f.failAt = k
			}
			err := provision.Rehearse(ctx, rehearsal(f, b, f.journal, plans...))
			failed := ""
			if k > 0 {
				failed = f.calls[k-1]
			}
			switch {
			case k == 0 && err != nil:
				t.Errorf("got %v", err)
			case cancels && k > 0 && !errors.Is(err, context.Canceled):
				t.Errorf("cancelled at call %d (%s): got %v", k, failed, err)
			case !cancels && failed == "run /bin/sh -c": // a file is sent once more
				if err != nil {
					t.Errorf("failed once to send a file: got %v", err)
				}
			case !cancels && k > 0 && !errors.Is(err, errInjected):
				t.Errorf("failed at call %d (%s): got %v, want %v", k, failed, err, errInjected)
			}
			for name := range f.hosts {
				if cancels || failed != "terminate" || !f.journalled(name) {
					t.Errorf("call %d (%s), cancelled %t: host %s is left", k, failed, cancels, name)
				}
			}
			if k == 0 {
				calls = len(f.calls)
			}
			cancel()
		}
	}
	if calls < 20 {
		t.Errorf("got %d calls, want every one to fail once", calls)
	}
}

func TestRehearseRefusesABrokenRepository(t *testing.T) {
	files := clusterFiles()
	for path := range files {
		if strings.HasSuffix(path, "-primary.xml.gz") {
			files[path] = "x"
		}
	}
	f := newFake(t, newBundle(t, files))
	err := provision.Rehearse(t.Context(), rehearsal(f, f.bundle, f.journal, solve.Plan{Name: "a", Calls: []solve.Call{{Install: []string{"wget"}}}}))
	if err == nil || len(f.calls) > 0 {
		t.Errorf("got %v and calls %v, want an error before any", err, f.calls)
	}
}
