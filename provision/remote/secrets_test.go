package remote_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/remote"
)

// plain is a signer as careless callers have them: fmt prints the key.
type plain struct {
	ssh.Signer
	Private ed25519.PrivateKey
	Text    string
}

// forms are the ways in which a secret may show.
func forms(secret string) []string {
	return []string{secret, fmt.Sprint([]byte(secret)), fmt.Sprintf("%x", secret), fmt.Sprintf("%#v", []byte(secret)),
		base64.StdEncoding.EncodeToString([]byte(secret))}
}

// TestSecretsDoNotShow looks for password and key in whatever fmt makes of our values, in errors and in log lines.
func TestSecretsDoNotShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines locked
		s := &server{refuse: func(n int) bool { return n == 1 || n > 3 }}
		c := s.clientConfig()
		private := ed25519.NewKeyFromSeed([]byte("0123456789abcdefghijklmnopqrstuv"))
		c.Key = plain{c.Key, private, "text of the private key"}
		c.Log = func(line string) { fmt.Fprintln(&lines, line) }
		c.AuthPatience = 2 * time.Second
		h := connected(t, s, c)
		var texts []string
		run := func(ctx context.Context) {
			if err := h.Run(ctx, argv("cat")); err != nil {
				texts = append(texts, err.Error(), fmt.Sprintf("%+v %#v", err, err))
			}
		}
		run(t.Context())
		s.close()
		run(t.Context())
		s.close()
		run(t.Context()) // is refused
		if len(texts) == 0 {
			t.Error("no login failed, and so nothing was tried")
		}
		var refused *remote.AuthError
		_, err := remote.Connect(t.Context(), c)
		if !errors.As(err, &refused) {
			t.Errorf("got %v, want an AuthError", err)
		}
		texts = append(texts, lines.String(), fmt.Sprintf("%v %+v %#v", err, err, err))
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			for _, value := range []any{c, &c, h, struct{ C remote.Config }{c}, []any{&c, h}, map[string]any{"": h}} {
				texts = append(texts, fmt.Sprintf(verb, value))
			}
			// What a debugger's dump of the fields shows: fmt calls no method of an unexported field.
			texts = append(texts, fmt.Sprintf(verb, reflect.ValueOf(h).Elem().FieldByName("config")))
			texts = append(texts, fmt.Sprintf(verb, reflect.ValueOf(h).Elem().FieldByName("secrets")))
		}
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c, "host", h)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "host", h)
		texts = append(texts, log.String())
		all := strings.Join(texts, "\n")
		for _, secret := range []string{password, string(private), string(private.Seed()), "text of the private key"} {
			for _, form := range forms(secret) {
				if strings.Contains(all, strings.Trim(form, "[]")) {
					t.Errorf("%q shows in %s", form, all)
				}
			}
		}
		for _, want := range []string{hostName, address, "root", "the host refused"} {
			if !strings.Contains(all, want) {
				t.Errorf("%q shows nowhere", want)
			}
		}
	})
}

// TestPanicShowsNoSecret has a caller's writer panic within a command.
func TestPanicShowsNoSecret(t *testing.T) {
	c := (&server{}).clientConfig()
	defer func() {
		if text := fmt.Sprint(recover()); strings.Contains(text, password) || !strings.Contains(text, hostName) {
			t.Errorf("got %q, want the host's name and no password", text)
		}
	}()
	panic(c)
}

func TestLogLinesAreForTerminals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines locked
		s := &server{onDial: func(n int) error {
			if n == 1 {
				return &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("\x1b[31mred\n")}
			}
			return nil
		}}
		c := s.clientConfig()
		c.Log = func(line string) { fmt.Fprintln(&lines, line) }
		h := connected(t, s, c)
		long := strings.Repeat("x", 100)
		if err := h.Run(t.Context(), argv("echo", "a b", "it's", "", "two\nlines", long, "\x1b[")); err != nil {
			t.Fatal(err)
		}
		text := lines.String()
		if want := `running echo 'a b' 'it'\''s' '' … … …`; !strings.Contains(text, want) {
			t.Errorf("got %q, want %q in it", text, want)
		}
		if strings.ContainsRune(text, '\x1b') || strings.Count(text, "\n") != 3 {
			t.Errorf("got %q, want three lines without control characters", text)
		}
		lines.buf.Reset()
		h.Run(t.Context(), provision.Command{Argv: strings.Fields(strings.Repeat("ärger ", 500))})
		if n := len(lines.String()); n > 350 {
			t.Errorf("got a line of %d bytes", n)
		}
	})
}

func TestIdentity(t *testing.T) {
	id, err := remote.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := remote.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string]struct {
		key, other remote.KeyPair
		kind       string
	}{"user": {id.User, other.User, "ssh-ed25519"}, "host": {id.Host, other.Host, "ecdsa-sha2-nistp256"}} {
		signer, err := ssh.ParsePrivateKey([]byte(pair.key.PrivateKey()))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		public, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(pair.key.AuthorizedKey()))
		if err != nil || comment != "offbake" || strings.Contains(pair.key.AuthorizedKey(), "\n") {
			t.Errorf("%s: got %v and line %q", name, err, pair.key.AuthorizedKey())
		}
		for _, k := range []ssh.PublicKey{signer.PublicKey(), pair.key.PublicKey(), pair.key.Signer().PublicKey()} {
			if ssh.FingerprintSHA256(k) != ssh.FingerprintSHA256(public) || k.Type() != pair.kind {
				t.Errorf("%s: got key %s %s, want %s %s", name, k.Type(), ssh.FingerprintSHA256(k), pair.kind,
					ssh.FingerprintSHA256(public))
			}
		}
		if pair.key.AuthorizedKey() == pair.other.AuthorizedKey() {
			t.Errorf("%s: got the same key twice", name)
		}
		if !strings.HasPrefix(pair.key.PrivateKey(), "-----BEGIN OPENSSH PRIVATE KEY-----\n") ||
			!strings.HasSuffix(pair.key.PrivateKey(), "-----END OPENSSH PRIVATE KEY-----\n") {
			t.Errorf("%s: the private key is not in OpenSSH's form", name)
		}
	}
	var key any
	key, err = ssh.ParseRawPrivateKey([]byte(id.User.PrivateKey()))
	if err != nil {
		t.Fatal(err)
	}
	raw := *key.(*ed25519.PrivateKey)
	var _ crypto.Signer = raw
	printed := fmt.Sprintf("%v %+v %#v %s %x %v %+v %#v", id, id, id, id, id, *id, id.User, id.Host)
	for _, form := range append(forms(string(raw.Seed())), "PRIVATE") {
		if strings.Contains(printed, strings.Trim(form, "[]")) {
			t.Errorf("%q shows in %s", form, printed)
		}
	}
}
