package fetch_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/bundle/fetch"
)

// load is what is fetched: counts of files by size in bytes.
type load map[int64]int

// BenchmarkFetch measures All beside a bare Go loop in the same run: 8 connections, hashed in the stream, written, and
// nothing else. ratio is the median of their quotients, cpu-ratio that of the processor time.
func BenchmarkFetch(b *testing.B) {
	for name, l := range map[string]load{
		"602 files 1.6 GB":     {100 << 20: 12, 10 << 20: 30, 256 << 10: 560},
		"10000 files of 4 KiB": {4 << 10: 10_000},
	} {
		b.Run(name, func(b *testing.B) {
			requests := serveLoad(b, l)
			var wall, cpu []float64
			bare := func(dir string) { bareLoop(b, dir, requests) }
			ours := func(dir string) { fetchAll(b, dir, requests) }
			for i := 0; b.Loop(); i++ {
				var took, used [2]time.Duration
				for k := range 2 {
					which := (i + k) % 2 // each goes first every other time: the first leaves the disk busy
					took[which], used[which] = timed(b, []func(string){bare, ours}[which])
				}
				wall = append(wall, took[1].Seconds()/took[0].Seconds())
				cpu = append(cpu, used[1].Seconds()/used[0].Seconds())
			}
			slices.Sort(wall)
			slices.Sort(cpu)
			b.ReportMetric(wall[len(wall)/2], "ratio")
			b.ReportMetric(cpu[len(cpu)/2], "cpu-ratio")
		})
	}
}

// timed returns the time and the processor time that run takes, the server's included.
func timed(b *testing.B, run func(dir string)) (wall, cpu time.Duration) {
	dir, err := os.MkdirTemp("", "fetch-bench-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	start, used := time.Now(), processorTime(b)
	run(dir)
	return time.Since(start), processorTime(b) - used
}

func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serveLoad serves files of which each is a window of one random file, over sendfile.
func serveLoad(b *testing.B, l load) (requests []fetch.Request) {
	b.Helper()
	data := content(101 << 20)
	path := filepath.Join(b.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var at, size int64
		fmt.Sscanf(req.URL.Path, "/%d/%d", &at, &size)
		f, err := os.Open(path)
		if err != nil {
			panic(err)
		}
		defer f.Close()
		f.Seek(at, io.SeekStart)
		w.Header().Set("Content-Length", fmt.Sprint(size))
		io.CopyN(w, f, size)
	})}
	go srv.Serve(listener)
	b.Cleanup(func() { srv.Close() })
	url := "http://" + listener.Addr().String()
	var at int64
	for size, n := range l {
		for range n {
			at += 7
			requests = append(requests, fetch.Request{
				Name: fmt.Sprint(at), URLs: []string{fmt.Sprintf("%s/%d/%d", url, at, size)},
				SHA256: digest(data[at : at+size]), Size: size,
			})
		}
	}
	return requests
}

func fetchAll(b *testing.B, dir string, requests []fetch.Request) {
	f := &fetch.Fetcher{Cache: openCache(b, dir)}
	blobs, err := f.All(b.Context(), requests)
	if err != nil {
		b.Fatal(err)
	}
	for _, blob := range blobs {
		blob.Close()
	}
}

func bareLoop(b *testing.B, dir string, requests []fetch.Request) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, DisableCompression: true}}
	defer client.CloseIdleConnections()
	next := make(chan fetch.Request)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			buf := make([]byte, 256<<10)
			for r := range next {
				resp, err := client.Get(r.URLs[0])
				if err != nil {
					b.Error(err)
					continue
				}
				f, err := os.Create(filepath.Join(dir, r.Name))
				if err != nil {
					b.Error(err)
					continue
				}
				h := sha256.New()
				if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, h)}, struct{ io.Reader }{resp.Body}, buf); err != nil {
					b.Error(err)
				}
				resp.Body.Close()
				f.Close()
				if hex.EncodeToString(h.Sum(nil)) != r.SHA256 {
					b.Error("wrong digest")
				}
			}
		})
	}
	for _, r := range requests {
		next <- r
	}
	close(next)
	wg.Wait()
}
