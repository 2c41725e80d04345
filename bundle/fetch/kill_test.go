package fetch_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/internal/faulttest"
)

// Environment of a child process, which is this test binary.
const (
	childCache = "FETCH_TEST_CACHE" // fetch into this folder
	childURL   = "FETCH_TEST_URL"   // from this server
	childPut   = "FETCH_TEST_PUT"   // or put what never ends
	childLimit = "FETCH_TEST_LIMIT" // no file may grow over so many bytes
)

const killFiles = 3

// killContent returns file i. The last one, whose digest is to be learnt, ends last: once it is whole, nobody asks.
func killContent(i int) []byte {
	if i == killFiles-1 {
		return content(2 << 20)
	}
	return content(1<<20 + i)
}

func TestMain(m *testing.M) {
	if os.Getenv(childCache) == "" {
		os.Exit(m.Run())
	}
	if err := child(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child() error {
	cache, err := fetch.OpenCache(os.Getenv(childCache))
	if err != nil {
		return err
	}
	if os.Getenv(childPut) != "" {
		_, err := cache.Put(context.Background(), os.Stdin)
		return err
	}
	if limit, err := strconv.ParseUint(os.Getenv(childLimit), 10, 64); err == nil {
		signal.Ignore(syscall.SIGXFSZ)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
	}
	f := &fetch.Fetcher{Cache: cache, Tries: 1, Stall: time.Minute}
	_, err = f.All(context.Background(), killRequests(os.Getenv(childURL)))
	return err
}

func killRequests(url string) []fetch.Request {
	var requests []fetch.Request
	for i := range killFiles {
		data := killContent(i)
		requests = append(requests, fetch.Request{
			Name: fmt.Sprint(i), URLs: []string{fmt.Sprintf("%s/%d", url, i)}, SHA256: digest(data), Size: int64(len(data)),
		})
	}
	// One whose digest is to be learnt: its prefix must be found by its URL.
	requests[killFiles-1].SHA256, requests[killFiles-1].Size = "", -1
	return requests
}

func start(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	var text strings.Builder
	cmd.Stderr = &text
	t.Cleanup(func() {
		if t.Failed() && text.Len() > 0 {
			t.Log("a child said: ", text.String())
		}
	})
	return cmd
}

// onDisk returns how many bytes of each file are in the cache, and whether all are there whole.
func onDisk(t *testing.T, dir string) (have [killFiles]int64, whole bool) {
	t.Helper()
	whole = true
	for i, r := range killRequests("") {
		data := killContent(i)
		sum := digest(data)
		if _, err := os.Stat(filepath.Join(dir, "sha256", sum[:2], sum)); err == nil {
			have[i] = int64(len(data))
			continue
		}
		whole = false
		pattern := sum
		if r.SHA256 == "" {
			pattern = "url-*[0-9a-f]"
		}
		found, _ := filepath.Glob(filepath.Join(dir, "partial", pattern))
		for _, path := range found {
			if fi, err := os.Stat(path); err == nil && filepath.Ext(path) == "" {
				have[i] = fi.Size()
			}
		}
	}
	return have, whole
}

func TestKill(t *testing.T) {
	files := faulttest.Files{}
	var want [][]byte
	for i := range killFiles {
		want = append(want, killContent(i))
		files[fmt.Sprintf("/%d", i)] = want[i]
	}
	srv := faulttest.NewServer(t, files)
	srv.Fail(faulttest.Fault{Kind: faulttest.Slow, N: 16 << 10, Wait: time.Millisecond})
	dir := t.TempDir()
	var sent int64
	kills := 0
	for {
		before, whole := onDisk(t, dir)
		if whole {
			break
		}
		cmd := start(t, childCache+"="+dir, childURL+"="+srv.URL)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		if killed := killAfter(t, cmd, dir, before, int64(40_000+kills*30_000), done); killed {
			kills++
		}
		for _, r := range srv.Requests() {
			i, _ := strconv.Atoi(r.Path[1:])
			sent += r.Sent
			if from := rangeStart(r.Range); from < before[i] {
				t.Errorf("after %d kills: file %d is asked for from byte %d with %d on disk", kills, i, from, before[i])
			}
		}
		srv.Forget()
		if t.Failed() || kills > 100 {
			t.Fatalf("not done after %d kills", kills)
		}
	}
	if kills < 5 {
		t.Errorf("got %d kills, want some", kills)
	}
	t.Logf("%d kills; sent %d bytes for %d", kills, sent, 4<<20)
	blobs, err := fetcher(t, dir).All(t.Context(), killRequests(srv.URL)[:killFiles-1])
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range blobs {
		wantBlob(t, b, want[i])
	}
	wantCache(t, dir, want...)
}

// killAfter kills cmd once n more bytes are on disk than before, and says whether it was still running.
func killAfter(t *testing.T, cmd *exec.Cmd, dir string, before [killFiles]int64, n int64, done chan error) bool {
	t.Helper()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("child: %v", err)
			}
			return false
		case <-time.After(time.Millisecond):
		}
		now, _ := onDisk(t, dir)
		var more int64
		for i := range now {
			more += now[i] - before[i]
		}
		if more >= n {
			cmd.Process.Kill()
			<-done
			return true
		}
	}
}

func TestKilledPutIsCleanedUp(t *testing.T) {
	dir := t.TempDir()
	cmd := start(t, childCache+"="+dir, childPut+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write(content(100_000)); err != nil {
		t.Fatal(err)
	}
	for len(files(t, dir)) == 0 {
		time.Sleep(time.Millisecond)
	}
	openCache(t, dir)
	if got := len(files(t, dir)); got != 1 {
		t.Errorf("while the child lives: got %d files, want its own to stay", got)
	}
	cmd.Process.Kill()
	cmd.Wait()
	openCache(t, dir)
	wantCache(t, dir)
}

// A limit on file sizes stands for a full disk: the same call fails, in the middle of the same write.
func TestFullDisk(t *testing.T) {
	files := faulttest.Files{}
	var want [][]byte
	for i := range killFiles {
		want = append(want, killContent(i))
		files[fmt.Sprintf("/%d", i)] = want[i]
	}
	srv := faulttest.NewServer(t, files)
	dir := t.TempDir()
	cmd := start(t, childCache+"="+dir, childURL+"="+srv.URL, childLimit+"=500000")
	var text strings.Builder
	cmd.Stderr = &text
	if err := cmd.Run(); err == nil {
		t.Fatal("the child succeeded")
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != killFiles || !strings.HasPrefix(lines[0], `fetching "0": write `) || !strings.HasSuffix(lines[0], "file too large") {
		t.Errorf("child: got %q, want a line for each file that says so", lines)
	}
	have, _ := onDisk(t, dir)
	for i, n := range have {
		if n != 500_000 {
			t.Errorf("file %d: got a prefix of %d bytes, want 500000", i, n)
		}
	}
	srv.Forget()
	blobs, err := fetcher(t, dir).All(t.Context(), killRequests(srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range blobs {
		wantBlob(t, b, want[i])
	}
	wantCache(t, dir, want...)
	for _, r := range srv.Requests() {
		if r.Range != "bytes=500000-" {
			t.Errorf("the next run: got range %q, want the rest", r.Range)
		}
	}
}
