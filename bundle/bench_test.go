package bundle_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle"
)

// load is an output of n held files of size bytes each, and those files.
func load(b *testing.B, n, size int) (bundle.Output, []*os.File) {
	b.Helper()
	dir := b.TempDir()
	files, data := map[string]string{}, make([]byte, size)
	random := rand.NewChaCha8([32]byte{})
	var held []*os.File
	paths := map[string]*os.File{}
	for i := range n {
		random.Read(data)
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { f.Close() })
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		name := fmt.Sprintf("files/%04d", i)
		files[name], paths[name] = string(data), f
		held = append(held, f)
	}
	o := mustOutput(b, files)
	for name, f := range paths {
		o.Contents[name] = bundle.Content{File: f}
	}
	return o, held
}

// BenchmarkWriteTar prints how much longer WriteTar takes than a bare kernel copy of the same files into one file
// that is synced too, interleaved.
func BenchmarkWriteTar(b *testing.B) {
	o, held := load(b, 200, 1<<20)
	dir := b.TempDir()
	var bare, ours time.Duration
	b.SetBytes(200 << 20)
	for b.Loop() {
		bare += took(func() error { return bareCopy(filepath.Join(dir, "bare"), held) }, b)
		ours += took(func() error { return bundle.WriteTar(b.Context(), filepath.Join(dir, "ours.tar"), o) }, b)
		for _, name := range []string{"bare", "ours.tar"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(ours.Seconds()/bare.Seconds(), "x-bare")
}

func bareCopy(path string, held []*os.File) error {
	dst, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, f := range held {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err := dst.ReadFrom(f); err != nil {
			return err
		}
	}
	if err := dst.Sync(); err != nil {
		return err
	}
	return dst.Close()
}

// BenchmarkVerify prints how much longer Open and Verify take than a bare sha256 of the same bytes by as many
// goroutines, interleaved.
func BenchmarkVerify(b *testing.B) {
	o, held := load(b, 200, 1<<20)
	path := filepath.Join(b.TempDir(), "x.tar")
	if err := bundle.WriteTar(b.Context(), path, o); err != nil {
		b.Fatal(err)
	}
	keys := trusted(b)
	var bare, ours time.Duration
	b.SetBytes(200 << 20)
	for b.Loop() {
		bare += took(func() error { return bareSum(held) }, b)
		ours += took(func() error {
			t, err := bundle.Open(path)
			if err != nil {
				return err
			}
			defer t.Close()
			_, err = t.Verify(b.Context(), bundle.VerifyOptions{Keys: keys})
			return err
		}, b)
	}
	b.ReportMetric(ours.Seconds()/bare.Seconds(), "x-bare")
}

func bareSum(held []*os.File) error {
	var wg sync.WaitGroup
	work := make(chan *os.File)
	var mu sync.Mutex
	var failed error
	for range 2 {
		wg.Go(func() {
			buf := make([]byte, 1<<20)
			for f := range work {
				h := sha256.New()
				if _, err := io.CopyBuffer(h, struct{ io.Reader }{io.NewSectionReader(f, 0, 1<<40)}, buf); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
				h.Sum(nil)
			}
		})
	}
	for _, f := range held {
		work <- f
	}
	close(work)
	wg.Wait()
	return failed
}

func took(f func() error, b *testing.B) time.Duration {
	start := time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkOpen is a bundle of 20,000 files: memory and time follow the index, not the content.
func BenchmarkOpen(b *testing.B) {
	files := map[string]string{}
	for i := range 20_000 {
		files[fmt.Sprintf("rpms/Packages/package-%05d-1.0-1.el7.x86_64.rpm", i)] = "x"
	}
	path := writeTar(b, mustOutput(b, files))
	b.ReportAllocs()
	for b.Loop() {
		t, err := bundle.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		t.Close()
	}
}
