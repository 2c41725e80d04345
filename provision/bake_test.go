package provision_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

// left is what remains of runs in a journal: entries and locks.
func left(t *testing.T, journal string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(journal, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		files[i] = filepath.Base(f)
	}
	return files
}

func (f *fake) checkNothingLeft(t *testing.T) {
	t.Helper()
	if len(f.hosts) > 0 {
		t.Errorf("%d hosts are left", len(f.hosts))
	}
	if files := left(t, f.journal); len(files) > 0 {
		t.Errorf("the journal holds %q", files)
	}
}

func withScript(img manifest.Image) manifest.Image {
	img.Scripts = []string{"scripts/motd.sh"}
	img.Check = []string{"test -f /etc/motd"}
	return img
}

func TestBakeMakesImages(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	r := f.request(withScript(consulServer()), nomadServer(), nomadClient())
	r.Parallel = 0
	res, err := provision.Bake(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	f.checkNothingLeft(t)
	if len(res.Images) != 3 || len(f.images) != 3 {
		t.Fatalf("got %d results and %d images, want 3", len(res.Images), len(f.images))
	}
	for i, want := range []string{"consul-server", "nomad-server", "nomad-client"} {
		got := res.Images[i]
		if got.Name != want || got.ID == "" || got.Base != "CentOS 7" || got.Bundle != f.bundle.Identity() || got.Reused ||
			len(got.Background) != 1 || !cmp.Equal(f.images[got.Inputs], got.Made) {
			t.Errorf("image %d: got %+v", i, got)
		}
	}
}

func TestBakeTellsHostsNoSecrets(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	f.command = func(c provision.Command, stdin string) error {
		fmt.Fprintf(c.Stdout, "env: %s\nssh %s\n", apiKey, sshPassword)
		if strings.Contains(stdin, "exec '/var/lib/offbake/run/consul-server'") {
			return &provision.ExitError{Code: 3}
		}
		return nil
	}
	var out bytes.Buffer
	r := f.request(consulServer())
	r.Progress, r.Verbose = progress.New(&out, progress.Options{}), true
	_, err := provision.Bake(t.Context(), r)
	if err == nil {
		t.Fatal("got no error of a recipe that failed")
	}
	for where, text := range map[string]string{"commands": f.seen.String(), "output": out.String(), "the error": err.Error()} {
		for _, secret := range []string{sshPassword, apiKey} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: hold %q", where, secret)
			}
		}
	}
	if want := "consul-server: env: [secret]"; !strings.Contains(out.String(), want) {
		t.Errorf("got output %q, want %q in it", out.String(), want)
	}
	want := `baking "consul-server": running recipe "consul-server": exit status 3, after "env: [secret]\nssh [secret]"`
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestBakeGivesScriptsTheirEnvironment(t *testing.T) {
	// With and without the docker recipe: the user's own scripts may be what installs it.
	for _, img := range []manifest.Image{nomadClient(), image("mine")} {
		f := newFake(t, newBundle(t, clusterFiles()))
		r := f.request(withScript(img))
		r.Upgrade = []string{"audit-libs", "libselinux"}
		if _, err := provision.Bake(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		_, program, found := strings.Cut(f.seen.String(), "{\nexport CFSSL_TOOL_SERVER=")
		program, _, _ = strings.Cut(program, "\nexec ")
		if !found {
			t.Fatal("no program with an environment ran")
		}
		lines := strings.Split("export CFSSL_TOOL_SERVER="+program, "\n")
		for _, want := range []string{
			"export CONSUL_VERSION='1.6.1'",
			"export FILE_SERVER='http://10.0.0.1:80/b/files'",
			"export CFSSL_TOOL_SERVER='http://10.0.0.1:80/b/files'",
			"export DOCKER_RPM='http://10.0.0.1:80/b/files/docker-ce-19.03.15-3.x86_64.rpm'",
			"export DOCKER_CLI_RPM=''", // not in files/: the repository's serves
			"export YUM_BASE=''",
			"export OFFBAKE_OFFLINE='1'",
			"export OFFBAKE_UPGRADE='audit-libs libselinux'",
			`export GREETING='it'\''s $HOME ` + "`here`",
		} {
			if !slices.Contains(lines, want) {
				t.Errorf("%s: got no line %q in\n%s", img.Name, want, strings.Join(lines, "\n"))
			}
		}
		if strings.Contains(program, "PASSWORD") || strings.Contains(program, "PRIVATE_KEY") {
			t.Errorf("%s: a secret variable is in the environment:\n%s", img.Name, program)
		}
	}
}

func TestBakeReusesUnchangedImages(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	first, err := provision.Bake(t.Context(), f.request(consulServer()))
	if err != nil {
		t.Fatal(err)
	}
	f.calls = nil
	again, err := provision.Bake(t.Context(), f.request(consulServer()))
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(again.Images[0].Made, first.Images[0].Made) || !again.Images[0].Reused {
		t.Errorf("got %+v, want %+v reused", again.Images[0], first.Images[0])
	}
	if slices.Contains(f.calls, "create consul-server") {
		t.Errorf("a host was made: %q", f.calls)
	}
	r := f.request(consulServer())
	r.Rebuild = true
	rebuilt, err := provision.Bake(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(rebuilt.Images[0].Made, first.Images[0].Made) || rebuilt.Images[0].Reused {
		t.Errorf("got %+v, want another image", rebuilt.Images[0])
	}
}

func TestBakeNamesTheScriptThatDialsOut(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	attempt := provision.Attempt{Address: "203.0.113.7", Port: 443, Proto: "tcp", Name: "example.com"}
	f.command = func(c provision.Command, stdin string) error {
		if c.Sealed && strings.Contains(stdin, "motd.sh") {
			return fmt.Errorf("sealed: %w", &provision.EgressError{Attempts: []provision.Attempt{attempt}})
		}
		return nil
	}
	res, err := provision.Bake(t.Context(), f.request(withScript(consulServer()), nomadServer()))
	var egress *provision.EgressError
	if !errors.As(err, &egress) {
		t.Fatalf("got %v, want an *EgressError", err)
	}
	if egress.Script != "scripts/motd.sh" || egress.Attempts[0] != attempt {
		t.Errorf("got %+v", egress)
	}
	want := `baking "consul-server": keeping the seal: "scripts/motd.sh" tried to reach 203.0.113.7 port 443 (tcp, "example.com")`
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if len(res.Images) != 1 || res.Images[0].Name != "nomad-server" {
		t.Errorf("got %+v, want the other image made all the same", res.Images)
	}
	f.checkNothingLeft(t)
}

func TestBakeNamesTheScriptThatBreaksTheSeal(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	f.command = func(c provision.Command, stdin string) error {
		if c.Sealed && strings.Contains(stdin, "motd.sh") {
			return fmt.Errorf("sealed: %w", &provision.SealError{What: "rule 11 is gone"})
		}
		return nil
	}
	res, err := provision.Bake(t.Context(), f.request(withScript(consulServer())))
	var broken *provision.SealError
	if !errors.As(err, &broken) || broken.Script != "scripts/motd.sh" || broken.What != "rule 11 is gone" {
		t.Fatalf("got %v, want a *SealError that names the script", err)
	}
	if want := `baking "consul-server": keeping the seal: "scripts/motd.sh" broke the seal: rule 11 is gone`; err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if len(res.Images) != 0 || slices.Contains(f.calls, "capture") {
		t.Errorf("got %+v after %q, want no image", res.Images, f.calls)
	}
	f.checkNothingLeft(t)
}

func TestBakeKeepsTheHostToLookAt(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	f.command = func(c provision.Command, stdin string) error {
		if c.Sealed {
			return &provision.ExitError{Code: 1}
		}
		return nil
	}
	r := f.request(consulServer())
	r.KeepOnError = true
	_, err := provision.Bake(t.Context(), r)
	var step *provision.StepError
	if !errors.As(err, &step) || step.Kept == "" || f.hosts[step.Kept] == nil {
		t.Fatalf("got %v, want a *StepError that names the host kept", err)
	}
	if !strings.Contains(err.Error(), `host "`+step.Kept+`" is kept`) {
		t.Errorf("got %v, want it to tell the host's name", err)
	}

	// A bake of another image lets it be; clean ends it.
	f.command = nil
	if _, err := provision.Bake(t.Context(), f.request(nomadServer())); err != nil {
		t.Fatal(err)
	}
	if len(f.hosts) != 1 {
		t.Errorf("got %d hosts, want the one that is kept", len(f.hosts))
	}
	ended, err := provision.Clean(t.Context(), f, f.journal, provision.Target{Region: "cn-bj2"})
	if err != nil || !slices.Equal(ended, []string{step.Kept}) {
		t.Errorf("got %q, %v, want %q ended", ended, err, step.Kept)
	}
	f.checkNothingLeft(t)
}

// TestBakeFaultSweep fails, then cancels, at each call that a bake makes of cloud, hosts and file server.
func TestBakeFaultSweep(t *testing.T) {
	b := newBundle(t, clusterFiles())
	good := newFake(t, b)
	if _, err := provision.Bake(t.Context(), good.request(withScript(consulServer()), nomadServer())); err != nil {
		t.Fatal(err)
	}
	if len(good.calls) < 50 {
		t.Fatalf("a bake makes %d calls, want the sweep to be worth its name", len(good.calls))
	}
	for k := 1; k <= len(good.calls); k++ {
		for _, cancels := range []bool{false, true} {
			name := fmt.Sprintf("call %d (%s), cancels %v", k, good.calls[k-1], cancels)
			f := newFake(t, b)
			ctx, cancel := context.WithCancel(t.Context())
			f.cancel = cancel
			if cancels {
				f.cancelAt = k
			} else {
				f.failAt = k
			}
			res, err := provision.Bake(ctx, f.request(withScript(consulServer()), nomadServer()))
			cancel()
			sweepCheck(t, name, f, res, err, cancels)

			f.failAt, f.cancelAt = 0, 0
			if _, err := provision.Bake(t.Context(), f.request(withScript(consulServer()), nomadServer())); err != nil {
				t.Errorf("%s: the next run: %v", name, err)
			}
			if len(f.images) != 2 {
				t.Errorf("%s: got %d images after the next run, want 2", name, len(f.images))
			}
			f.checkNothingLeft(t)
		}
	}
}

func sweepCheck(t *testing.T, name string, f *fake, res provision.Result, err error, cancels bool) {
	t.Helper()
	for host := range f.hosts {
		if !f.journalled(host) {
			t.Errorf("%s: host %q is left and not in the journal", name, host)
		}
		if f.calls[f.failAt+f.cancelAt-1] != "terminate" {
			t.Errorf("%s: host %q is left", name, host)
		}
	}
	if err == nil { // it was retried, or came when all was done
		if len(res.Images) != 2 || len(f.hosts) > 0 {
			t.Errorf("%s: got no error, %d images and %d hosts left", name, len(res.Images), len(f.hosts))
		}
		return
	}
	if !cancels && !errors.Is(err, errInjected) {
		t.Errorf("%s: got %v, want the fault itself", name, err)
	}
	if cancels && !errors.Is(err, context.Canceled) {
		t.Errorf("%s: got %v, want context.Canceled", name, err)
	}
	var step *provision.StepError
	switch call := f.calls[f.failAt+f.cancelAt-1]; {
	case call == "server":
	case errors.As(err, &step):
		if step.Image == "" || step.Step == "" {
			t.Errorf("%s: got %v, want image and step named", name, err)
		}
	case !strings.Contains(err.Error(), "consul-server") && !strings.Contains(err.Error(), "nomad-server"):
		t.Errorf("%s: got %v, want the image named", name, err)
	}
}

func TestBakeChecksSignaturesWhereThereAreAny(t *testing.T) {
	unsign := func(paths ...string) func(*bundle.Index) {
		return func(x *bundle.Index) {
			for i := range x.Files {
				if slices.Contains(paths, x.Files[i].Path) {
					x.Files[i].Verified = "pinned"
				}
			}
		}
	}
	const keys = "gpgcheck=1\nrepo_gpgcheck=0\ngpgkey=file:///var/lib/offbake/rpms/keys/docker.asc\n" +
		"       file:///var/lib/offbake/rpms/keys/zz.asc\n"
	for _, tt := range []struct {
		name           string
		change         func(*bundle.Index)
		want, unwanted []string
	}{
		{"signed packages", unsign(), []string{"export CHECK='1'", keys}, []string{"\ngpgcheck=0\n", "exclude=", "offbake-unsigned"}},
		{"two that nobody signed", unsign("rpms/Packages/wget-2.0-1.noarch.rpm", "rpms/Packages/lvm2-2.0-1.noarch.rpm"),
			[]string{"export CHECK='1'", keys + "exclude=lvm2 wget\n", "[offbake-unsigned]\n", "\ngpgcheck=0\nrepo_gpgcheck=0\nincludepkgs=lvm2 wget\n"},
			nil},
		{"one that recipes take by its path", unsign("rpms/Packages/docker-ce-2.0-1.noarch.rpm", "files/docker-ce-19.03.15-3.x86_64.rpm"),
			[]string{"export CHECK='0'", keys + "exclude=docker-ce\n"}, nil},
	} {
		files := clusterFiles()
		files["rpms/keys/zz.asc"] = "another"
		for _, h := range offer("wget", "lvm2", "docker-ce") {
			files["rpms/Packages/"+h.NEVRA()+".rpm"] = h.Name
		}
		f := newFake(t, newBundle(t, files, tt.change))
		if _, err := provision.Bake(t.Context(), f.request(consulServer())); err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(f.seen.String(), want) {
				t.Errorf("%s: the host was not told %q", tt.name, want)
			}
		}
		for _, unwanted := range tt.unwanted {
			if strings.Contains(f.seen.String(), unwanted) {
				t.Errorf("%s: the host was told %q", tt.name, unwanted)
			}
		}
	}
}

func TestBakeRetriesWhatAConnectionSpoils(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	broken := 0
	f.command = func(c provision.Command, _ string) error {
		if c.Argv[len(c.Argv)-1] == "0755" && broken < 2 {
			broken++
			return errors.New("connection lost")
		}
		broken = 0
		return nil
	}
	if _, err := provision.Bake(t.Context(), f.request(consulServer())); err != nil {
		t.Errorf("got %v, want each file sent at the third try", err)
	}
}
