package assemble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/offbake/offbake/bundle/assemble"
	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/internal/faulttest"
)

// run locks and fetches over f into demo.tar.
func (w *world) run(ctx context.Context, t *testing.T, f *fetch.Fetcher) (err error) {
	t.Helper()
	m, in := w.load(t)
	res, err := assemble.Lock(ctx, assemble.LockOptions{Inputs: in, Fetcher: f, Now: lockTime()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, res.Held.Close()) }()
	_, err = assemble.Fetch(ctx, assemble.FetchOptions{Manifest: m, Inputs: in, Lock: res.Lock, Key: testKey(t),
		Out: filepath.Join(w.out, "demo.tar"), Fetcher: f, Held: res.Held})
	return err
}

// again returns the same world with an empty cache and no output.
func (w *world) again(t *testing.T) *world {
	t.Helper()
	fresh := *w
	fresh.cache, fresh.out = t.TempDir(), t.TempDir()
	return &fresh
}

// judge requires that a run that failed left nothing, that a run after it succeeds, and that the bundle is the one of an
// undisturbed run.
func (w *world) judge(t *testing.T, err error, again *fetch.Fetcher, want []byte) {
	t.Helper()
	if err != nil {
		w.empty(t)
		if err := w.run(t.Context(), t, again); err != nil {
			t.Fatalf("the run after a failed one: %v", err)
		}
	}
	entries, dirErr := os.ReadDir(w.out)
	must(t, dirErr)
	if len(entries) != 1 {
		t.Errorf("got %v, want demo.tar alone", entries)
	}
	got, err := os.ReadFile(filepath.Join(w.out, "demo.tar"))
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("got another bundle than without the fault")
	}
}

func undisturbed(t *testing.T, w *world) []byte {
	t.Helper()
	clean := w.again(t)
	must(t, clean.run(t.Context(), t, clean.fetcher(t)))
	want, err := os.ReadFile(filepath.Join(clean.out, "demo.tar"))
	must(t, err)
	return want
}

func TestFaultSweep(t *testing.T) {
	base := newWorld(t, rpmManifest)
	want := undisturbed(t, base)
	failed := map[faulttest.Kind]int{}
	faults := []faulttest.Fault{
		{Kind: faulttest.Status, Code: http.StatusServiceUnavailable},
		{Kind: faulttest.Reset, N: 1},
		{Kind: faulttest.WrongByte},
	}
	faulttest.Sweep(t, func() http.Handler { return base.Internet }, faults, func(t *testing.T, s *faulttest.Server, fault *faulttest.Fault) {
		w := base.again(t)
		f := w.fetcherAt(t, s.URL)
		f.Jobs = 1 // the k-th request is the same one in each run
		err := w.run(t.Context(), t, f)
		if fault == nil {
			must(t, err)
		} else if err != nil {
			failed[fault.Kind]++
		}
		s.Heal()
		w.judge(t, err, f, want)
	})
	for _, f := range faults {
		if failed[f.Kind] == 0 {
			t.Errorf("%v: no run failed, so the sweep says nothing about failures", f)
		}
	}
}

func TestCancelSweep(t *testing.T) {
	base := newWorld(t, rpmManifest)
	want := undisturbed(t, base)
	for k, reached := int64(1), true; reached && !t.Failed(); k++ {
		t.Run(fmt.Sprintf("at request %d", k), func(t *testing.T) {
			w := base.again(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var n atomic.Int64
			w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if n.Add(1) == k {
					cancel()
				}
				base.ServeHTTP(rw, r)
			})
			err := w.run(ctx, t, w.fetcher(t))
			reached = n.Load() >= k
			if reached && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
			if !reached {
				must(t, err)
			}
			w.handler = base.Internet
			w.judge(t, err, w.fetcher(t), want)
		})
	}
}
