package store_test

import (
	"errors"
	"testing"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/sign"
	"github.com/offbake/offbake/bundle/store"
)

// A newer bundle in the store refuses an older one if it is genuine, and only then.
func TestPushRefusesDowngrade(t *testing.T) {
	newer := newVersion(t, "1.10.0", map[string][]byte{"files/a": []byte("new")})
	older := newVersion(t, "1.9.0", map[string][]byte{"files/a": []byte("old")})
	for name, c := range map[string]struct {
		keys    []sign.Public
		refused bool
	}{
		"signed by a trusted key": {[]sign.Public{newer.pub, older.pub}, true},
		"signed by a stranger":    {[]sign.Public{older.pub}, false},
	} {
		t.Run(name, func(t *testing.T) {
			st := newService(t, serve.StoreOptions{}).open(t, store.Options{})
			trust := func(b *bundle.Bundle) error { _, err := b.Trust(c.keys, false); return err }
			push := func(s *sample) error {
				_, err := store.Push(t.Context(), store.PushOptions{Store: st, Bundle: s.Bundle, Trust: trust})
				return err
			}
			if err := push(newer); err != nil {
				t.Fatal(err)
			}
			err := push(older)
			var downgrade *store.DowngradeError
			if got := errors.As(err, &downgrade); got != c.refused || !got && err != nil {
				t.Fatalf("got %v, want refused %t", err, c.refused)
			}
			if c.refused {
				wantAbsent(t, st, "test/1.9.0/bundle.json")
				wantAbsent(t, st, "test/1.9.0/files/a")
			}
			if err := push(newer); err != nil {
				t.Errorf("pushing the newest again: %v", err)
			}
		})
	}
	t.Run("what is there may be confirmed", func(t *testing.T) {
		st := newService(t, serve.StoreOptions{}).open(t, store.Options{})
		trust := func(b *bundle.Bundle) error {
			_, err := b.Trust([]sign.Public{newer.pub, older.pub}, false)
			return err
		}
		for _, s := range []*sample{older, newer, older} {
			if _, err := store.Push(t.Context(), store.PushOptions{Store: st, Bundle: s.Bundle, Trust: trust}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
