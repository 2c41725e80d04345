package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/sign"
)

var errNoTrust = errors.New("no public key to trust was given")

// trusted loads the public keys of --pubkey, or of OFFBAKE_PUBKEY (several are separated as in PATH).
func (a *app) trusted() ([]sign.Public, error) {
	texts := a.pubkeys
	if len(texts) == 0 {
		texts = filepath.SplitList(a.getenv("OFFBAKE_PUBKEY"))
	}
	var keys []sign.Public
	for _, text := range texts {
		key, err := sign.LoadPublic(text)
		if err != nil {
			return nil, &usageError{err}
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// openTrusted opens a bundle and checks its signature; without a trusted key there is no use of it.
func (a *app) openTrusted(path string, allowUnsigned bool) (*bundle.Bundle, []string, error) {
	b, err := bundle.Open(path)
	if err != nil {
		return nil, nil, err
	}
	keyids, err := a.trust(b, path, allowUnsigned)
	if err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	return b, keyids, nil
}

func (a *app) trust(b *bundle.Bundle, name string, allowUnsigned bool) ([]string, error) {
	keys, err := a.trusted()
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 && !allowUnsigned {
		return nil, fmt.Errorf("verifying %q: %w", name, errNoTrust)
	}
	if allowUnsigned {
		a.progress().Line("warning: %s is used without asking who signed it (--allow-unsigned)", name)
	}
	keyids, err := b.Trust(keys, allowUnsigned)
	if err != nil {
		return nil, fmt.Errorf("verifying %q: %w", name, err)
	}
	return keyids, nil
}

// genuine is a judge of other bundles than the one that a command is about: signed by a trusted key, or not.
func (a *app) genuine(allowUnsigned bool) (func(*bundle.Bundle) error, error) {
	keys, err := a.trusted()
	if err != nil {
		return nil, err
	}
	return func(b *bundle.Bundle) error {
		_, err := b.Trust(keys, allowUnsigned)
		return err
	}, nil
}

// signingKey unlocks the key of --key or OFFBAKE_KEY before the first download: it is nil with unsigned.
func (a *app) signingKey(ctx context.Context, unsigned bool) (*sign.Key, error) {
	path := a.key
	if path == "" {
		path = a.getenv("OFFBAKE_KEY")
	}
	if unsigned {
		if a.key != "" {
			return nil, usagef("--unsigned and --key exclude each other")
		}
		a.progress().Line("warning: the bundle will not be signed; nobody should trust it (--unsigned)")
		return nil, nil
	}
	if path == "" {
		return nil, &usageError{errNoKey}
	}
	key, err := sign.LoadKey(path, func() (string, error) { return a.password(ctx, "password for "+path+": ") })
	if isNotExist(err) {
		return nil, &usageError{err}
	}
	return key, err
}

var errNoKey = errors.New("no key to sign with was given")

// password reads OFFBAKE_KEY_PASSWORD, else asks on the terminal. It never appears in an argument or an output.
func (a *app) password(ctx context.Context, prompt string) (string, error) {
	if p := a.getenv("OFFBAKE_KEY_PASSWORD"); p != "" {
		return p, nil
	}
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", &usageError{errNoPassword}
	}
	text, err := a.ask(ctx, int(f.Fd()), prompt)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return strings.TrimRight(text, "\r\n"), nil
}

// ask reads a line of a terminal that does not show it. When ctx ends the terminal is left as it was found; the read
// itself cannot be called off and ends with the process.
func (a *app) ask(ctx context.Context, fd int, prompt string) (string, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(a.err, prompt)
	defer fmt.Fprintln(a.err)
	typed := make(chan string, 1)
	failed := make(chan error, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		if err != nil {
			failed <- err
			return
		}
		typed <- string(text)
	}()
	select {
	case text := <-typed:
		return text, nil
	case err := <-failed:
		return "", err
	case <-ctx.Done():
		return "", errors.Join(context.Cause(ctx), term.Restore(fd, before))
	}
}

var errNoPassword = errors.New("the key needs a password: OFFBAKE_KEY_PASSWORD is empty and there is no terminal to ask on")
