package ucloud_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/sandbox"
	"github.com/offbake/offbake/provision/ucloud"
)

// TestLostReplies: what was made although its answer was lost is found by its name and not made again.
func TestLostReplies(t *testing.T) {
	for _, kind := range []sandbox.FaultKind{sandbox.FaultDropReply, sandbox.FaultDrop, sandbox.FaultHTTP503} {
		b := newBench(t, sandbox.Options{})
		b.fault.Store(pointer(func(c sandbox.Call) sandbox.Fault {
			if c.Nth == 1 && slices.Contains([]string{"CreateUHostInstance", "CreateCustomImage", "CopyCustomImage"}, c.Action) {
				return sandbox.Fault{Kind: kind}
			}
			return sandbox.Fault{}
		}))
		res, err := provision.Bake(t.Context(), b.request(sweepImage(b)))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if err := b.left(madeOf(res)...); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		made := 0
		for _, c := range b.sandbox.Calls() {
			if strings.HasPrefix(c.Action, "Create") || strings.HasPrefix(c.Action, "Copy") {
				made++
			}
		}
		want := 6 // not done: asked for once more
		if kind == sandbox.FaultDropReply {
			want = 3
		}
		if made != want {
			t.Errorf("%s: got %d calls that make something, want %d", kind, made, want)
		}
	}
}

// TestUserData: what a host with cloud-init is told, and that another host is told something else.
func TestUserData(t *testing.T) {
	s := newScripted(t)
	c := s.cloud(t)
	img := image(nil)
	base, err := c.Base(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"offbake-run-a", "offbake-run-b"} {
		if _, err := c.Create(t.Context(), name, base, img); err == nil {
			t.Fatal("got no error of an API that has no such action")
		}
	}
	var seen []string
	for _, call := range s.calls("CreateUHostInstance") {
		text, err := base64.StdEncoding.DecodeString(call.Get("UserData"))
		if err != nil || len(text) > 16<<10 {
			t.Fatalf("got %d bytes, %v", len(text), err)
		}
		head, body, _ := strings.Cut(string(text), "\n")
		var config struct {
			DisableRoot *bool             `json:"disable_root"`
			Keys        map[string]string `json:"ssh_keys"`
			Authorized  []string          `json:"ssh_authorized_keys"`
		}
		if err := json.Unmarshal([]byte(body), &config); err != nil || head != "#cloud-config" {
			t.Fatalf("got head %q, %v, want #cloud-config and JSON", head, err)
		}
		if config.DisableRoot == nil || *config.DisableRoot || len(config.Authorized) != 1 || len(config.Keys) != 2 {
			t.Errorf("got %+v, want a user key, a host key, and root to log in", config)
		}
		for kind, key := range config.Keys {
			if strings.HasSuffix(kind, "_private") {
				signer, err := ssh.ParsePrivateKey([]byte(key))
				if err != nil {
					t.Fatal(err)
				}
				public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
				if got := config.Keys[strings.TrimSuffix(kind, "private")+"public"]; got != public+" offbake" {
					t.Errorf("got public key %q, want that of the private one, %q", got, public)
				}
			}
			seen = append(seen, key)
		}
		seen = append(seen, config.Authorized...)
	}
	slices.Sort(seen)
	if n := len(slices.Compact(seen)); n != 6 {
		t.Errorf("got %d different keys, want 6", n)
	}
	s.images[0]["Features"] = []string{"HotPlug"}
	if base, err = c.Base(t.Context(), img); err == nil {
		_, err = c.Create(t.Context(), "offbake-run-c", base, img)
	}
	if calls := s.calls("CreateUHostInstance"); err == nil || len(calls) != 3 || calls[2].Has("UserData") {
		t.Errorf("without cloud-init: got %v, want no user data", err)
	}
}

// TestListingsLag: an empty set right after Create is waited out, and one that stays empty is not waited for as long as
// a host that boots.
func TestListingsLag(t *testing.T) {
	for name, c := range map[string]struct {
		empty int
		want  string // the state in the error
	}{"a while": {3, "Install Fail"}, "for good": {1 << 30, ""}} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t)
			gone := false
			s.answer = func(w http.ResponseWriter, form url.Values, try int) bool {
				switch form.Get("Action") {
				case "CreateUHostInstance":
					reply(w, "UHostIds", []string{"uhost-1"})
				case "DescribeUHostInstance":
					if try <= c.empty || gone {
						return false
					}
					reply(w, "TotalCount", 1, "UHostSet", []any{map[string]any{"UHostId": "uhost-1", "Name": "offbake-run-db", "State": "Install Fail"}})
				case "TerminateUHostInstance":
					gone = true
					if form.Get("ReleaseEIP") != "true" || form.Get("ReleaseUDisk") != "true" || form.Get("UHostId") != "uhost-1" {
						t.Errorf("got %v, want all released", form)
					}
					reply(w)
				default:
					return false
				}
				return true
			}
			cloud := s.cloud(t)
			base, err := cloud.Base(t.Context(), image(nil))
			if err != nil {
				t.Fatal(err)
			}
			_, err = cloud.Create(t.Context(), "offbake-run-db", base, image(nil))
			state, ok := errors.AsType[*ucloud.StateError](err)
			if !ok || state.State != c.want || state.Want == "" || !strings.Contains(err.Error(), `"offbake-run-db"`) {
				t.Errorf("got %v, want state %q", err, c.want)
			}
			if gone != (c.want != "") {
				t.Errorf("got it ended %v", gone)
			}
			if n := len(s.calls("CreateUHostInstance")); n != 1 {
				t.Errorf("got %d hosts asked for, want 1", n)
			}
		})
	}
}

// TestEndingIsRefused: a key that may not end hosts is told so, and not asked for ever.
func TestEndingIsRefused(t *testing.T) {
	s := newScripted(t)
	s.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
		switch form.Get("Action") {
		case "DescribeUHostInstance":
			reply(w, "TotalCount", 1, "UHostSet", []any{map[string]any{"UHostId": "uhost-1", "Name": "offbake-run-db", "State": "Stopped"}})
		case "TerminateUHostInstance":
			reply(w, "RetCode", 299, "Message", "no permission")
		}
		return true
	}
	err := s.cloud(t).Terminate(t.Context(), "offbake-run-db")
	e, ok := errors.AsType[*ucloud.Error](err)
	if !ok || e.Kind() != ucloud.Permission || e.Action != "TerminateUHostInstance" ||
		!strings.HasPrefix(err.Error(), `ending host "offbake-run-db": `) {
		t.Errorf("got %v, want the refusal", err)
	}
}

// TestStatesOfEnding: whatever state a host is in, the right thing ends it.
func TestStatesOfEnding(t *testing.T) {
	for state, want := range map[string][]string{
		"Running":      {"PoweroffUHostInstance", "TerminateUHostInstance"},
		"Rebooting":    {"PoweroffUHostInstance", "TerminateUHostInstance"},
		"Stopped":      {"TerminateUHostInstance"},
		"Install Fail": {"TerminateUHostInstance"},
		"Initializing": {"TerminateUHostInstance"},
		"":             {"TerminateUHostInstance"},
		"no power":     {"PoweroffUHostInstance", "StopUHostInstance", "TerminateUHostInstance"}, // an API without Poweroff
	} {
		s := newScripted(t)
		now := state
		if state == "no power" {
			now = "Running"
		}
		s.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
			switch action := form.Get("Action"); {
			case action == "DescribeUHostInstance" && now == "gone":
				return false
			case action == "DescribeUHostInstance":
				reply(w, "TotalCount", 1, "UHostSet", []any{map[string]any{"UHostId": "uhost-1", "Name": "offbake-run-db", "State": now}})
			case action == "PoweroffUHostInstance" && state == "no power":
				return false // which answers that there is no such action
			case action == "TerminateUHostInstance":
				now = "gone"
				reply(w)
			default:
				now = "Stopped"
				reply(w)
			}
			return true
		}
		if err := s.cloud(t).Terminate(t.Context(), "offbake-run-db"); err != nil {
			t.Errorf("%q: %v", state, err)
		}
		var got []string
		for _, call := range s.calls("") {
			if action := call.Get("Action"); action != "DescribeUHostInstance" {
				got = append(got, action)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", state, got, want)
		}
	}
}

// TestBaseIsTheOneThatWasPlanned: Create knows what Base found, and looks again where it did not ask.
func TestBaseIsTheOneThatWasPlanned(t *testing.T) {
	s := newScripted(t)
	s.images = append(s.images, baseImage("uimage-2", "CentOS 7.2 64位", 1))
	c := s.cloud(t)
	for _, id := range []string{"uimage-2", "uimage-base79"} {
		if _, err := c.Create(t.Context(), "offbake-run-db", provision.Base{ID: id}, image(nil)); err == nil {
			t.Fatal("got no error of an API that has no such action")
		}
		calls := s.calls("CreateUHostInstance")
		if got := calls[len(calls)-1].Get("ImageId"); got != id {
			t.Errorf("got a host of %s, want %s", got, id)
		}
	}
	var lost *ucloud.BaseError
	other := image(func(i *manifest.Image) { i.Name = "x" })
	if _, err := c.Create(t.Context(), "offbake-run-db", provision.Base{ID: "uimage-3"}, other); !errors.As(err, &lost) {
		t.Errorf("got %v, want a *BaseError", err)
	}
}
