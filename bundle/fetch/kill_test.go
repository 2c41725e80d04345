package fetch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
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
	childFiles = "FETCH_TEST_FILES" // no more files may be open
	childOnly  = "FETCH_TEST_ONLY"  // fetch so many of the files only
)

// victim is what child processes fetch: files /0, /1, … of a server. The digest of the last one is to be learnt: its
// prefix must be found by its URL. A run that comes when it is whole fetches it again, and has to.
type victim struct {
	want  [][]byte
	sums  []string
	files faulttest.Files
}

func newVictim() *victim {
	v := &victim{want: [][]byte{content(300_000), content(300_001), content(600_000)}, files: faulttest.Files{}}
	for i, data := range v.want {
		v.sums = append(v.sums, digest(data))
		v.files[fmt.Sprintf("/%d", i)] = data
	}
	return v
}

func (v *victim) requests(url string) []fetch.Request {
	var requests []fetch.Request
	for i, data := range v.want {
		requests = append(requests, fetch.Request{
			Name: fmt.Sprint(i), URLs: []string{fmt.Sprintf("%s/%d", url, i)}, SHA256: v.sums[i], Size: int64(len(data)),
		})
	}
	last := &requests[len(requests)-1]
	last.SHA256, last.Size = "", -1
	return requests
}

// path returns where file i is once it is whole.
func (v *victim) path(dir string, i int) string {
	return filepath.Join(dir, "sha256", v.sums[i][:2], v.sums[i])
}

// onDisk returns how many bytes of each file are in the cache, and whether all are there whole.
func (v *victim) onDisk(dir string) (have []int64, whole bool) {
	whole = true
	for i, sum := range v.sums {
		have = append(have, 0)
		if fi, err := os.Stat(v.path(dir, i)); err == nil {
			have[i] = fi.Size()
			continue
		}
		whole = false
		pattern := sum
		if i == len(v.sums)-1 {
			pattern = "url-*"
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

// fetchAll fetches what is missing in this process and checks what is there then.
func (v *victim) fetchAll(t *testing.T, dir, url string) {
	t.Helper()
	blobs, err := fetcher(t, dir).All(t.Context(), v.requests(url))
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range blobs {
		wantBlob(t, b, v.want[i])
	}
	wantCache(t, dir, v.want...)
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
	if limit, err := strconv.ParseUint(os.Getenv(childFiles), 10, 64); err == nil {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
	}
	f := &fetch.Fetcher{Cache: cache, Tries: 1, Stall: time.Minute}
	requests := newVictim().requests(os.Getenv(childURL))
	if n, err := strconv.Atoi(os.Getenv(childOnly)); err == nil {
		requests = requests[:n]
	}
	_, err = f.All(context.Background(), requests)
	return err
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

func TestKill(t *testing.T) {
	const each = 45_000 // bytes of a file that the server sends to one process; then it stalls
	v := newVictim()
	srv := faulttest.NewServer(t, v.files)
	srv.Fail(faulttest.Fault{Kind: faulttest.Stall, N: each})
	dir := t.TempDir()
	var kills, resumed int
	for {
		before, whole := v.onDisk(dir)
		if whole {
			break
		}
		var room int64 // 0 where the last kill came just before a rename
		for i, n := range before {
			room += min(each, int64(len(v.want[i]))-n)
		}
		only := len(v.want)
		if _, err := os.Stat(v.path(dir, only-1)); err == nil {
			only--
		}
		cmd := start(t, childCache+"="+dir, childURL+"="+srv.URL, fmt.Sprint(childOnly, "=", only))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if v.killAfter(t, cmd, dir, before, 1+rand.Int64N(max(room, 1))) {
			kills++
		}
		for _, r := range srv.Requests() {
			i, _ := strconv.Atoi(r.Path[1:])
			if from := rangeStart(r.Range); from < before[i] {
				t.Errorf("after %d kills: file %d is asked for from byte %d with %d on disk", kills, i, from, before[i])
			} else if from > 0 {
				resumed++
			}
		}
		srv.Forget()
		if t.Failed() || kills > 500 {
			t.Fatalf("not done after %d kills", kills)
		}
	}
	if least := len(v.want[2])/each - 1; kills < least || resumed < least {
		t.Errorf("got %d kills and %d resumed requests, want at least %d", kills, resumed, least)
	}
	t.Logf("%d kills, %d resumed requests", kills, resumed)
	for i, sum := range v.sums {
		b, err := openCache(t, dir).Lookup(t.Context(), sum)
		if err != nil {
			t.Fatal(err)
		}
		wantBlob(t, b, v.want[i])
	}
	wantCache(t, dir, v.want...) // opening it above removed what a kill between two steps left
}

// killAfter kills cmd once n more bytes are on disk than before, and says whether it was still running.
func (v *victim) killAfter(t *testing.T, cmd *exec.Cmd, dir string, before []int64, n int64) bool {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("child: %v", err)
			}
			return false
		case <-time.After(time.Millisecond):
		}
		now, _ := v.onDisk(dir)
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
	v := newVictim()
	srv := faulttest.NewServer(t, v.files)
	dir := t.TempDir()
	lines := failingChild(t, childCache+"="+dir, childURL+"="+srv.URL, childLimit+"=200000")
	if len(lines) != len(v.want) || !strings.HasPrefix(lines[0], `fetching "0": write `) || !strings.HasSuffix(lines[0], "file too large") {
		t.Errorf("child: got %q, want a line for each file that says so", lines)
	}
	have, _ := v.onDisk(dir)
	for i, n := range have {
		if n != 200_000 {
			t.Errorf("file %d: got a prefix of %d bytes, want 200000", i, n)
		}
	}
	srv.Forget()
	v.fetchAll(t, dir, srv.URL)
	for _, r := range srv.Requests() {
		if r.Range != "bytes=200000-" {
			t.Errorf("the next run: got range %q, want the rest", r.Range)
		}
	}
}

func TestTooManyToHoldOpen(t *testing.T) {
	v := newVictim()
	srv := faulttest.NewServer(t, v.files)
	dir := t.TempDir()
	lines := failingChild(t, childCache+"="+dir, childURL+"="+srv.URL, childFiles+"=66")
	if want := "holding 3 files open: got a limit of 66, want 67 (ulimit -n)"; len(lines) != 1 || lines[0] != want {
		t.Errorf("child: got %q, want %q", lines, want)
	}
	if got := srv.Requests(); len(got) != 0 {
		t.Errorf("requests: got %+v, want none", got)
	}
	wantCache(t, dir)
}

// failingChild runs a child that must fail and returns what it says.
func failingChild(t *testing.T, env ...string) []string {
	t.Helper()
	cmd := start(t, env...)
	var text strings.Builder
	cmd.Stderr = &text
	if err := cmd.Run(); err == nil {
		t.Fatal("the child succeeded")
	}
	return strings.Split(strings.TrimSpace(text.String()), "\n")
}
