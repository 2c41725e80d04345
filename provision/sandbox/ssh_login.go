package sandbox

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// login says who may log in to a host, and how the host shows who it is.
type login struct {
	password string // root's; "" lets nobody in by password
	hostKey  gossh.Signer
	// authorized returns root's authorized_keys as it now is: a key that is taken out of it lets nobody in any more.
	authorized func() []byte
}

func (l login) hasPassword(user, password string) bool {
	got, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(l.password))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && user == "root" && l.password != ""
}

func (l login) hasKey(user string, key gossh.PublicKey) bool {
	found := 0
	for text := l.authorized(); len(text) > 0; {
		known, _, _, rest, err := gossh.ParseAuthorizedKey(text)
		if err != nil {
			break // no key in what is left
		}
		found |= subtle.ConstantTimeCompare(known.Marshal(), key.Marshal())
		text = rest
	}
	return found == 1 && user == "root"
}

// identity is what a host keeps in memory about itself between starts.
type identity struct {
	config  cloudConfig
	hostKey crypto.Signer // nil before the first start
}

// make gives a new host its identity. Where the user data cannot be read it is that of a host without, and the error says
// why.
func (i *identity) make(data []byte) error {
	config, err := parseUserData(data)
	i.config, i.hostKey = config, config.hostKey
	if i.hostKey == nil {
		_, key, _ := ed25519.GenerateKey(nil) // cannot fail without a reader of one's own
		i.hostKey = key
	}
	return err
}

// login is that of a host that starts: its first start is cloud-init's, later ones go by what the host has on disk.
func (i *identity) login(password string, m *Machine, first bool) (login, error) {
	l := login{password: password}
	switch {
	case i.config.noPassword:
		l.password = ""
	case i.config.password != "":
		l.password = i.config.password
	}
	if m.Root == "" {
		l.authorized = func() []byte { return []byte(strings.Join(i.config.authorized, "\n")) }
	} else {
		l.authorized = func() []byte { return readAuthorized(m.Root) }
		if err := i.settle(m.Root, first); err != nil {
			return login{}, fmt.Errorf("putting keys in place: %w", err)
		}
	}
	var err error
	l.hostKey, err = gossh.NewSignerFromKey(i.hostKey)
	return l, err
}

// settle brings the host's disk and its identity in agreement.
func (i *identity) settle(root string, first bool) error {
	t, err := openTree(root)
	if err != nil {
		return err
	}
	defer t.close()
	if first {
		return i.config.apply(t, i.hostKey)
	}
	i.hostKey, err = t.keepHostKey(i.hostKey)
	return err
}

// readAuthorized is what sshd does at each login.
func readAuthorized(root string) []byte {
	t, err := openTree(root)
	if err != nil {
		return nil
	}
	defer t.close()
	text, err := t.readFile(authorizedKeysFile)
	if err != nil {
		return nil // nobody
	}
	return text
}
