package sandbox_test

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ucloud/ucloud-sdk-go/services/uhost"
	"github.com/ucloud/ucloud-sdk-go/ucloud"
	"github.com/ucloud/ucloud-sdk-go/ucloud/auth"
	"github.com/ucloud/ucloud-sdk-go/ucloud/log"

	"github.com/offbake/offbake/provision/sandbox"
)

const (
	region   = "cn-bj2"
	zone     = "cn-bj2-02"
	password = "correct-horse-7"
)

// park makes machines in this process and knows which are up.
type park struct {
	mu     sync.Mutex
	boots  []sandbox.BootConfig
	up     map[string]bool
	gate   chan struct{} // when set, a boot waits for it
	broken error         // when set, a boot fails with it
	pack   chan struct{} // when set, packing waits for it
}

func (p *park) boot(ctx context.Context, c sandbox.BootConfig) (*sandbox.Machine, error) {
	p.mu.Lock()
	p.boots = append(p.boots, c)
	gate, broken := p.gate, p.broken
	p.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if broken != nil {
		return nil, broken
	}
	set := func(up bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.up == nil {
			p.up = map[string]bool{}
		}
		p.up[c.Name] = up
	}
	set(true)
	return &sandbox.Machine{
		Exec: func(ctx context.Context, e sandbox.Exec) (int, error) {
			fmt.Fprintf(e.Stdout, "%s ran %s\n", c.Name, e.Command)
			return 0, nil
		},
		Start: func(context.Context) error { set(true); return nil },
		Stop:  func(context.Context) error { set(false); return nil },
		Pack: func(ctx context.Context, w io.Writer) error {
			if p.pack != nil {
				select {
				case <-p.pack:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return packText(w, "made of "+filepath.Base(c.Image))
		},
		Close: func() error {
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.up, c.Name)
			return nil
		},
	}, nil
}

// machines are the machines that were not closed; the value says which run.
func (p *park) machines() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.up)
}

func packText(w io.Writer, text string) error {
	t := tar.NewWriter(w)
	if err := t.WriteHeader(&tar.Header{Name: "etc/motd", Mode: 0o644, Size: int64(len(text))}); err != nil {
		return err
	}
	if _, err := io.WriteString(t, text); err != nil {
		return err
	}
	return t.Close()
}

// open opens a sandbox with machines of p, and closes it with the test.
func open(t *testing.T, p *park, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "sandbox")
	}
	if o.Base == "" {
		o.Base = t.TempDir()
	}
	o.Boot = p.boot
	s, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		if left := p.machines(); len(left) != 0 {
			t.Errorf("machines after Close: %v", left)
		}
	})
	return s
}

// client is the SDK of UCloud.
func client(s *sandbox.Sandbox) *uhost.UHostClient {
	c, cred := config(s)
	return uhost.NewClient(&c, &cred)
}

func config(s *sandbox.Sandbox) (ucloud.Config, auth.Credential) {
	r := s.Ready()
	c := ucloud.NewConfig()
	c.BaseUrl, c.Region, c.ProjectId = r.API, r.Region, r.Project
	c.LogLevel = log.PanicLevel
	cred := auth.NewCredential()
	cred.PublicKey, cred.PrivateKey = r.PublicKey, r.PrivateKey
	return c, cred
}

// patience is how long a state may take to come.
const patience = 2 * time.Minute

type values map[string]string

// with is v changed by name=value pairs; an empty value takes a name away.
func (v values) with(pairs ...string) values {
	v = maps.Clone(v)
	if v == nil {
		v = values{}
	}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		v[name] = value
		if value == "" {
			delete(v, name)
		}
	}
	return v
}

// pairs is v as with takes it; a value of "-" takes a name away.
func (v values) pairs() []string {
	var all []string
	for name, value := range v {
		all = append(all, name+"="+strings.TrimPrefix(value, "-"))
	}
	return all
}

type reply map[string]any

func (r reply) code() int { return int(r["RetCode"].(float64)) }

// text goes into a reply: "UHostSet.0.State".
func (r reply) text(path string) string {
	var v any = map[string]any(r)
	for _, step := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(at) {
				return ""
			}
			v = at[i]
		}
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// call sends one signed request and returns the answer, which must be one.
func call(t *testing.T, s *sandbox.Sandbox, action string, v values) reply {
	t.Helper()
	r, err := try(s, action, v)
	if err != nil {
		t.Fatalf("%s: %v", action, err)
	}
	return r
}

func try(s *sandbox.Sandbox, action string, v values) (reply, error) {
	_, cred := config(s)
	v = values{"Region": region}.with(v.pairs()...).with("Action=" + action)
	return send(http.Post(s.Ready().API, "application/x-www-form-urlencoded", strings.NewReader(cred.BuildCredentialedQuery(v))))
}

func send(resp *http.Response, err error) (reply, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	var r reply
	return r, json.NewDecoder(resp.Body).Decode(&r)
}

// ok is call for what must succeed.
func ok(t *testing.T, s *sandbox.Sandbox, action string, v values) reply {
	t.Helper()
	r := call(t, s, action, v)
	if r.code() != 0 {
		t.Fatalf("%s: got RetCode %d %s", action, r.code(), r.text("Message"))
	}
	return r
}

// create are the parameters of a host as offbake asks for it.
func create(s *sandbox.Sandbox) values {
	return values{"Zone": zone, "ImageId": s.Ready().Images[0].ID, "LoginMode": "Password", "Name": "offbake-1", "Tag": "offbake",
		"Password": "Y29ycmVjdC1ob3JzZS03", "ChargeType": "Dynamic", "CPU": "2", "Memory": "4096", "MachineType": "N",
		"Disks.0.IsBoot": "True", "Disks.0.Size": "20", "Disks.0.Type": "CLOUD_SSD",
		"NetworkInterface.0.EIP.Bandwidth": "10", "NetworkInterface.0.EIP.PayMode": "Traffic",
		"NetworkInterface.0.EIP.OperatorName": "Bgp"}
}

// await asks until path of the answer is want.
func await(t *testing.T, s *sandbox.Sandbox, action string, v values, path, want string) reply {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		r := ok(t, s, action, v)
		if r.text(path) == want {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: got %s %q, want %q", action, path, r.text(path), want)
		}
	}
}

// running makes a host and waits until it can be used.
func running(t *testing.T, s *sandbox.Sandbox, v values) string {
	t.Helper()
	id := ok(t, s, "CreateUHostInstance", v).text("UHostIds.0")
	hostIs(t, s, id, "Running")
	await(t, s, "DescribeUHostInstance", values{"UHostIds.0": id}, "UHostSet.0.BootDiskState", "Normal")
	return id
}

func hostIs(t *testing.T, s *sandbox.Sandbox, id, state string) reply {
	t.Helper()
	return await(t, s, "DescribeUHostInstance", values{"UHostIds.0": id}, "UHostSet.0.State", state)
}

func stopped(t *testing.T, s *sandbox.Sandbox, v values) string {
	t.Helper()
	id := running(t, s, v)
	ok(t, s, "StopUHostInstance", values{"UHostId": id})
	hostIs(t, s, id, "Stopped")
	return id
}

// captured makes a host and an image of it.
func captured(t *testing.T, s *sandbox.Sandbox) (host, image string) {
	t.Helper()
	host = stopped(t, s, create(s))
	image = ok(t, s, "CreateCustomImage", values{"UHostId": host, "ImageName": "one", "ImageDescription": "a text"}).text("ImageId")
	await(t, s, "DescribeImage", values{"ImageId": image}, "ImageSet.0.State", "Available")
	return host, image
}

func terminate(t *testing.T, s *sandbox.Sandbox, id string) {
	t.Helper()
	ok(t, s, "TerminateUHostInstance", values{"UHostId": id, "ReleaseEIP": "true"})
	await(t, s, "DescribeUHostInstance", values{"UHostIds.0": id}, "TotalCount", "0")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
