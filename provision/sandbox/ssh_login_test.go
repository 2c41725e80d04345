package sandbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision/sandbox"
)

// login tries to log in and says which key the host showed.
func (h host) login(user string, auth gossh.AuthMethod) (shown gossh.PublicKey, err error) {
	config := clientConfig()
	config.User, config.Auth = user, []gossh.AuthMethod{auth}
	config.HostKeyCallback = gossh.HostKeyCallback(func(_ string, _ net.Addr, key gossh.PublicKey) error {
		shown = key
		return nil
	})
	c, err := gossh.Dial("tcp", h.address(), config)
	if err == nil {
		err = c.Close()
	}
	return shown, err
}

func TestSSHPassword(t *testing.T) {
	h := start(t, sandbox.Options{Boot: newProcess(t).boot}, nil)
	other, _, _ := keyPair(t, "other")
	for _, tc := range []struct {
		what, user string
		auth       gossh.AuthMethod
		ok         bool
	}{
		{"the password", "root", gossh.Password(password), true},
		{"a wrong one", "root", gossh.Password(password + "x"), false},
		{"none", "root", gossh.Password(""), false},
		{"another user", "ubuntu", gossh.Password(password), false},
		{"an unknown key", "root", gossh.PublicKeys(other), false},
	} {
		if _, err := h.login(tc.user, tc.auth); (err == nil) != tc.ok {
			t.Errorf("%s: got %v, want success %t", tc.what, err, tc.ok)
		}
	}
}

// cloudConfig is user data as offbake gives it: JSON behind the line that cloud-init looks for.
func cloudConfig(t *testing.T, v map[string]any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return "#cloud-config\n" + string(text)
}

func TestCloudInitKeys(t *testing.T) {
	user, _, line := keyPair(t, "offbake")
	hostKey, private, public := keyPair(t, "")
	p := newProcess(t)
	write(t, filepath.Join(p.root, "etc/ssh/ssh_host_rsa_key"), "of the image")
	write(t, filepath.Join(p.root, "root/.ssh/authorized_keys"), "# somebody's")
	h := start(t, sandbox.Options{Boot: p.boot}, values{"UserData": encoded(cloudConfig(t, map[string]any{
		"ssh_keys":            map[string]string{"ed25519_private": private, "ed25519_public": public},
		"ssh_authorized_keys": []string{line},
		"ssh_pwauth":          false,
		"package_update":      false,
	}))})
	shown, err := h.login("root", gossh.PublicKeys(user))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shown.Marshal(), hostKey.PublicKey().Marshal()) {
		t.Error("the host showed another key than the injected one")
	}
	if _, err := h.login("root", gossh.Password(password)); err == nil {
		t.Error("password where ssh_pwauth is false: got nil, want an error")
	}
	keys := filepath.Join(p.root, "root/.ssh/authorized_keys")
	if got := content(t, keys); got != "# somebody's\n"+line+"\n" {
		t.Errorf("authorized_keys: got %q", got)
	}
	if _, err := os.Stat(filepath.Join(p.root, "etc/ssh/ssh_host_rsa_key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the image's own host key: got %v, want that it is gone", err)
	}
	file := filepath.Join(p.root, "etc/ssh/ssh_host_ed25519_key")
	onDisk, err := gossh.ParsePrivateKey([]byte(content(t, file)))
	if err != nil || !bytes.Equal(onDisk.PublicKey().Marshal(), shown.Marshal()) {
		t.Errorf("host key on disk: got another one, %v", err)
	}
	if got := content(t, file+".pub"); !strings.Contains(public, strings.TrimSpace(got)) {
		t.Errorf("public host key on disk: got %q", got)
	}

	// What is taken out lets nobody in: the bake's cleaning does it before it is through.
	write(t, keys, "# somebody's\n")
	if _, err := h.login("root", gossh.PublicKeys(user)); err == nil {
		t.Error("a key that was taken out of authorized_keys: got nil, want an error")
	}
	write(t, keys, line+"\n")
	h.restart(t)
	if again, err := h.login("root", gossh.PublicKeys(user)); err != nil || !bytes.Equal(again.Marshal(), shown.Marshal()) {
		t.Errorf("after a restart: got another host key, %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	h.restart(t)
	if again, err := h.login("root", gossh.PublicKeys(user)); err != nil || bytes.Equal(again.Marshal(), shown.Marshal()) {
		t.Errorf("after a restart without a host key: got the old one or %v", err)
	}
	if content(t, file) == "" {
		t.Error("no new host key on disk")
	}
}

func (h host) restart(t *testing.T) {
	t.Helper()
	ok(t, h.s, "RebootUHostInstance", values{"UHostId": h.id})
	hostIs(t, h.s, h.id, "Running")
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCloudInitForms(t *testing.T) {
	user, _, line := keyPair(t, "somebody")
	_, private, public := keyPair(t, "")
	_, _, otherPublic := keyPair(t, "")
	key, pass := gossh.PublicKeys(user), gossh.Password(password)
	block := "#cloud-config\nssh_pwauth: no\nssh_authorized_keys:\n  - " + line + "\nssh_keys:\n  ed25519_private: |\n    " +
		strings.ReplaceAll(strings.TrimSpace(private), "\n", "\n    ") + "\n  ed25519_public: " + public + "\n"
	for _, tc := range []struct {
		what, data string
		in         []gossh.AuthMethod
		out        []gossh.AuthMethod
	}{
		{"block YAML", block, []gossh.AuthMethod{key}, []gossh.AuthMethod{pass}},
		{"a script", "#!/bin/sh\nssh_authorized_keys: [" + line + "]\n", []gossh.AuthMethod{pass}, []gossh.AuthMethod{key}},
		{"another password", "#cloud-config\nchpasswd: {list: \"bin:x\\nroot:new-one-8\\n\", expire: false}\n",
			[]gossh.AuthMethod{gossh.Password("new-one-8")}, []gossh.AuthMethod{pass}},
		{"another password, newer form", "#cloud-config\nchpasswd: {users: [{name: root, password: new-one-8, type: text}]}\n",
			[]gossh.AuthMethod{gossh.Password("new-one-8")}, []gossh.AuthMethod{pass}},
		// A host whose user data cloud-init cannot use comes up all the same.
		{"no YAML", "#cloud-config\n{{{\nssh_authorized_keys: [" + line + "]", []gossh.AuthMethod{pass}, []gossh.AuthMethod{key}},
		{"keys of another type", "#cloud-config\nssh_authorized_keys: 5\n", []gossh.AuthMethod{pass}, nil},
		{"no key", "#cloud-config\nssh_authorized_keys: [hello]\n", []gossh.AuthMethod{pass}, nil},
		{"halves that do not fit", cloudConfig(t, map[string]any{"ssh_authorized_keys": []string{line},
			"ssh_keys": map[string]string{"ed25519_private": private, "ed25519_public": otherPublic}}),
			[]gossh.AuthMethod{pass}, []gossh.AuthMethod{key}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			var log bytes.Buffer
			h := start(t, sandbox.Options{Boot: newProcess(t).boot, Log: slog.New(slog.NewTextHandler(&log, nil))},
				values{"UserData": encoded(tc.data)})
			for _, a := range tc.in {
				if _, err := h.login("root", a); err != nil {
					t.Errorf("got %v, want to be let in", err)
				}
			}
			for _, a := range tc.out {
				if _, err := h.login("root", a); err == nil {
					t.Error("got nil, want not to be let in")
				}
			}
			if err := h.s.Close(); err != nil {
				t.Error(err)
			}
			for _, secret := range []string{password, "new-one-8", strings.Split(private, "\n")[1]} {
				if strings.Contains(log.String(), secret) {
					t.Errorf("a secret is in the log:\n%s", &log)
				}
			}
		})
	}
}

// TestSSHHostKeys: without user data each host makes its own.
func TestSSHHostKeys(t *testing.T) {
	one := start(t, sandbox.Options{Boot: newProcess(t).boot}, nil)
	two := hostIn(t, one.s, nil)
	first, err := one.login("root", gossh.Password(password))
	if err != nil {
		t.Fatal(err)
	}
	second, err := two.login("root", gossh.Password(password))
	if err != nil || bytes.Equal(first.Marshal(), second.Marshal()) {
		t.Errorf("two hosts: got the same host key, or %v", err)
	}
	if one.public == two.public || one.inner == two.inner || one.public == one.inner {
		t.Errorf("addresses: got %+v and %+v, want four", one, two)
	}
}
