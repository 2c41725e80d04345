package sandbox

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	gossh "golang.org/x/crypto/ssh"
)

// cloudConfig is what a host takes from its user data; the zero value is that of a host without.
type cloudConfig struct {
	hostKey    crypto.Signer // nil for none
	authorized []string      // lines for root's authorized_keys
	noPassword bool          // passwords let nobody in
	password   string        // root's new one, "" to leave it
}

// userData is the part of cloud-config that counts here: modules ssh, set-passwords. Others are passed over, as they would
// have nothing to do in a sandbox.
type userData struct {
	Keys       map[string]string `yaml:"ssh_keys"` // KIND_private and KIND_public
	Authorized []string          `yaml:"ssh_authorized_keys"`
	PWAuth     any               `yaml:"ssh_pwauth"` // a boolean, or a word for one, or "unchanged"
	Chpasswd   struct {
		List  any `yaml:"list"` // NAME:PASSWORD, as lines or as a list
		Users []struct {
			Name     string `yaml:"name"`
			Password string `yaml:"password"`
			Type     string `yaml:"type"` // "text" for one in the clear; "hash" is its default
		} `yaml:"users"`
	} `yaml:"chpasswd"`
}

// parseUserData reads user data as cloud-init does: what does not begin with "#cloud-config" is for others.
func parseUserData(data []byte) (cloudConfig, error) {
	first, _, _ := bytes.Cut(data, []byte("\n"))
	if strings.TrimSpace(string(first)) != "#cloud-config" {
		return cloudConfig{}, nil
	}
	var u userData
	if err := yaml.Unmarshal(data, &u); err != nil {
		return cloudConfig{}, fmt.Errorf("reading cloud-config: %s", oneLine(err))
	}
	c := cloudConfig{authorized: u.Authorized, noPassword: saysNo(u.PWAuth), password: u.password()}
	for i, line := range c.authorized {
		if _, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line)); err != nil {
			return cloudConfig{}, fmt.Errorf("reading cloud-config: ssh_authorized_keys[%d] is no key", i)
		}
	}
	for _, kind := range hostKeyKinds() {
		private := u.Keys[kind+"_private"]
		if private == "" {
			continue
		}
		var err error
		if c.hostKey, err = parseHostKey([]byte(private)); err != nil {
			return cloudConfig{}, fmt.Errorf("reading cloud-config: ssh_keys.%s_private: %w", kind, err)
		}
		signer, err := gossh.NewSignerFromKey(c.hostKey)
		if err != nil {
			return cloudConfig{}, err
		}
		public, _, _, _, err := gossh.ParseAuthorizedKey([]byte(u.Keys[kind+"_public"]))
		if err != nil || !bytes.Equal(public.Marshal(), signer.PublicKey().Marshal()) {
			return cloudConfig{}, fmt.Errorf("reading cloud-config: ssh_keys.%s_public is not the key to %s_private", kind, kind)
		}
		break // a host here has one key
	}
	return c, nil
}

// hostKeyKinds are the kinds of keys that a host may have, the one that counts first where there are several. They are in
// the names of ssh_keys' members and of sshd's key files.
func hostKeyKinds() []string { return []string{"ed25519", "ecdsa", "rsa"} }

// oneLine keeps the values out of an error: user data holds keys and passwords.
func oneLine(err error) string {
	var types *yaml.TypeError
	if errors.As(err, &types) {
		return fmt.Sprintf("%d fields of another type than they should have", len(types.Errors))
	}
	return "not YAML"
}

func saysNo(v any) bool {
	switch v := v.(type) {
	case bool:
		return !v
	case string:
		return strings.EqualFold(v, "no") || strings.EqualFold(v, "false") || strings.EqualFold(v, "off") || v == "0"
	}
	return false
}

// password is what chpasswd makes root's.
func (u userData) password() (password string) {
	var lines []string
	switch list := u.Chpasswd.List.(type) {
	case string:
		lines = strings.Split(list, "\n")
	case []any:
		for _, v := range list {
			if s, ok := v.(string); ok {
				lines = append(lines, s)
			}
		}
	}
	for _, line := range lines {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "root:"); ok {
			password = p
		}
	}
	for _, user := range u.Chpasswd.Users {
		if user.Name == "root" && user.Type == "text" {
			password = user.Password
		}
	}
	return password
}

// parseHostKey reads a private key in any PEM form that OpenSSH writes.
func parseHostKey(text []byte) (crypto.Signer, error) {
	key, err := gossh.ParseRawPrivateKey(text)
	if err != nil {
		return nil, errors.New("not an unencrypted private key")
	}
	if pointer, ok := key.(*ed25519.PrivateKey); ok {
		key = *pointer
	}
	signer, ok := key.(crypto.Signer)
	if !ok || kindOf(signer) == "" {
		return nil, fmt.Errorf("got a key of %T, want one of %v", key, hostKeyKinds())
	}
	return signer, nil
}

// kindOf is the kind of a host key, "" for one that no host has.
func kindOf(key crypto.Signer) string {
	switch key.(type) {
	case ed25519.PrivateKey:
		return "ed25519"
	case *ecdsa.PrivateKey:
		return "ecdsa"
	case *rsa.PrivateKey:
		return "rsa"
	}
	return ""
}
