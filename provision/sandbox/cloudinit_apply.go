package sandbox

import (
	"crypto"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"io/fs"
	"path"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

const (
	sshFolder          = "/etc/ssh"
	authorizedKeysFile = "/root/.ssh/authorized_keys"
)

// apply does to a host's files what cloud-init does at the first start: new host keys in place of those that the image
// brought, and the user data's keys. A base without SSH gets no host key files.
func (c cloudConfig) apply(t *tree, hostKey crypto.Signer) error {
	if t.isDir(sshFolder) {
		entries, err := t.readDir(sshFolder)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "ssh_host_") {
				continue
			}
			if err := t.remove(path.Join(sshFolder, e.Name())); err != nil {
				return err
			}
		}
		if err := t.writeHostKey(hostKey); err != nil {
			return err
		}
	}
	if len(c.authorized) == 0 {
		return nil
	}
	folder := path.Dir(authorizedKeysFile)
	for _, dir := range []string{path.Dir(folder), folder} {
		if err := t.mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	text, err := t.readFile(authorizedKeysFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	for _, line := range c.authorized {
		text = append(text, strings.TrimSpace(line)+"\n"...)
	}
	return t.writeFile(authorizedKeysFile, text, 0o600)
}

// hostKeyFile is where sshd keeps a key of a kind.
func hostKeyFile(kind string) string { return sshFolder + "/ssh_host_" + kind + "_key" }

func (t *tree) writeHostKey(key crypto.Signer) error {
	block, err := gossh.MarshalPrivateKey(key, "")
	if err != nil {
		return err
	}
	signer, err := gossh.NewSignerFromKey(key)
	if err != nil {
		return err
	}
	file := hostKeyFile(kindOf(key))
	return errors.Join(
		t.writeFile(file, pem.EncodeToMemory(block), 0o600),
		t.writeFile(file+".pub", gossh.MarshalAuthorizedKey(signer.PublicKey()), 0o644),
	)
}

// keepHostKey is the host key at a later start: the one on disk; a new one, put there, where an image lacks it as sshd's
// start-up makes it; key for a base without SSH.
func (t *tree) keepHostKey(key crypto.Signer) (crypto.Signer, error) {
	if !t.isDir(sshFolder) {
		return key, nil
	}
	for _, kind := range hostKeyKinds() {
		text, err := t.readFile(hostKeyFile(kind))
		if err == nil {
			return parseHostKey(text)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	_, made, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	return made, t.writeHostKey(made)
}
