package remote

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// keyComment is the comment of every key made here: what cleans an image takes the lines away that end in it.
const keyComment = "offbake"

// Identity is what a host and its builder know of each other before the host exists: cloud-init gives the host its key
// and lets the user's key in.
type Identity struct {
	User KeyPair // ed25519
	// Host is an ECDSA key, NIST P-256: of the kinds that cloud-init can set it is the strongest that every version of it
	// knows (those before 0.7.7 know no ed25519, Launchpad bug 1461242, and CentOS 7.2 has 0.7.5).
	Host KeyPair
}

// NewIdentity makes two new key pairs.
func NewIdentity() (*Identity, error) {
	_, user, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making SSH keys: %w", err)
	}
	host, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making SSH keys: %w", err)
	}
	var id Identity
	if id.User, err = newKeyPair(user); err == nil {
		id.Host, err = newKeyPair(host)
	}
	if err != nil {
		return nil, fmt.Errorf("making SSH keys: %w", err)
	}
	return &id, nil
}

// KeyPair is a private key and its public half. fmt prints the public half only.
type KeyPair struct {
	public ssh.PublicKey
	secret func() (ssh.Signer, string) // a function, for fmt prints all else
}

func newKeyPair(private crypto.Signer) (KeyPair, error) {
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return KeyPair{}, err
	}
	block, err := ssh.MarshalPrivateKey(private, keyComment)
	if err != nil {
		return KeyPair{}, err
	}
	text := string(pem.EncodeToMemory(block))
	return KeyPair{signer.PublicKey(), func() (ssh.Signer, string) { return signer, text }}, nil
}

// Signer is the private key, for Config.Key.
func (k KeyPair) Signer() ssh.Signer {
	signer, _ := k.secret()
	return signer
}

// PrivateKey is the private key in OpenSSH's PEM form, with a newline at its end.
func (k KeyPair) PrivateKey() string {
	_, text := k.secret()
	return text
}

// PublicKey is the public half, for Config.HostKey.
func (k KeyPair) PublicKey() ssh.PublicKey { return k.public }

// AuthorizedKey is the public half as a line of authorized_keys, with the comment "offbake" and no newline.
func (k KeyPair) AuthorizedKey() string {
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(k.public)), "\n") + " " + keyComment
}

// Format prints the public half.
func (k KeyPair) Format(f fmt.State, _ rune) { fmt.Fprint(f, ssh.FingerprintSHA256(k.public)) }
