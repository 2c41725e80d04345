package serve_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
)

// childEnv makes the test binary serve the folder it holds and print its address.
const childEnv = "SERVE_TEST_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(childEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := serve.Store(serve.StoreOptions{Dir: dir, Bucket: "bkt", Keys: []serve.Key{testKey}, Strict: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("http://" + l.Addr().String())
	fmt.Println(http.Serve(l, s))
	os.Exit(1)
}

// child is a server in a process of its own. No file may grow above maxFile KiB, if that is not 0.
func child(t *testing.T, dir string, maxFile int) (address string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	if maxFile > 0 {
		cmd = exec.Command("sh", "-c", fmt.Sprintf(`ulimit -f %d && exec "$0"`, maxFile*2), os.Args[0]) // in 512 bytes
	}
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill = func() {
		once.Do(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "http://") {
		t.Fatalf("got %q, %v", line, err)
	}
	return strings.TrimSpace(line), kill
}

// A server is killed while it is written to. What it answered 200 to is there afterwards, whole; all else is there whole
// or not at all; nothing temporary is left; uploads go on.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	var id string
	for round := range 3 {
		address, kill := child(t, dir, 0)
		if round == 0 {
			id = initiateAt(t, address, "big")
		}
		if status := putAt(address, fmt.Sprintf("/big?partNumber=%d&uploadId=%s", round, id), "big", block('p')); status != 200 {
			t.Fatalf("part %d: got status %d", round, status)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for w := range 3 {
			wg.Go(func() {
				for i := 0; ; i++ {
					key := fmt.Sprintf("%d-%d-%d", round, w, i)
					if putAt(address, "/"+key, key, bytes.Repeat([]byte(key), 20_000)) != 200 {
						return // killed
					}
					mu.Lock()
					acknowledged[key] = true
					enough := len(acknowledged) > 6*(round+1)
					mu.Unlock()
					if enough {
						kill()
					}
				}
			})
		}
		wg.Wait()
	}
	s := start(t, serve.StoreOptions{Dir: dir})
	for _, key := range s.keys(t, 1000) {
		if got := s.get(t, key); !bytes.Equal(got, bytes.Repeat([]byte(key), 20_000)) {
			t.Errorf("%s: got %d other bytes", key, len(got))
		}
		delete(acknowledged, key)
	}
	if len(acknowledged) > 0 {
		t.Errorf("lost: %v", acknowledged)
	}
	if got := s.files(t, "tmp"); len(got) != 0 {
		t.Errorf("temporary files are left: %q", got)
	}
	etag := ufile.PartETag(block('p'))
	s.finish(t, "big", id, etag, etag, etag).want(t, 200, 0)
	if got := s.get(t, "big"); !bytes.Equal(got, bytes.Repeat([]byte("p"), 3*ufile.BlockSize)) {
		t.Errorf("big: got %d other bytes", len(got))
	}
}

// putAt answers 0 when the server is gone.
func putAt(address, target, key string, body []byte) int {
	req, err := http.NewRequest("PUT", address+target, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", testKey.Authorization(ufile.Request{Method: "PUT", Bucket: "bkt", Key: key}))
	resp, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func initiateAt(t *testing.T, address, key string) string {
	t.Helper()
	req, err := http.NewRequest("POST", address+"/"+key+"?uploads", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", testKey.Authorization(ufile.Request{Method: "POST", Bucket: "bkt", Key: key}))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var state struct{ UploadID string }
	if err := json.NewDecoder(resp.Body).Decode(&state); err != nil || state.UploadID == "" {
		t.Fatalf("got %+v, %v", state, err)
	}
	return state.UploadID
}

// Writes fail in the middle, as on a full disk: the client is told, nothing is left of what failed, and what was there
// stays and can be read.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	address, kill := child(t, dir, 1024)
	if status := putAt(address, "/k", "k", []byte("before")); status != 200 {
		t.Fatalf("got status %d", status)
	}
	id := initiateAt(t, address, "big")
	for target, key := range map[string]string{"/k": "k", "/new": "new", "/big?partNumber=0&uploadId=" + id: "big"} {
		if status := putAt(address, target, key, block('x')[:2<<20]); status != 500 {
			t.Errorf("%s: got status %d, want 500", target, status)
		}
	}
	if left, err := os.ReadDir(dir + "/tmp"); err != nil || len(left) != 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
	if status := putAt(address, "/later", "later", []byte("works")); status != 200 {
		t.Errorf("afterwards: got status %d", status)
	}
	kill()
	s := start(t, serve.StoreOptions{Dir: dir})
	if got := s.get(t, "k"); string(got) != "before" {
		t.Errorf("the object is now %d bytes", len(got))
	}
	s.wantAbsent(t, "new")
	if list, err := s.sdk(t).ListParts(id, 0, 0); err != nil || len(list.Parts) != 0 {
		t.Errorf("got the parts %+v, %v; want none", list.Parts, err)
	}
	s.part(t, "big", id, 0, block('y')).want(t, 200, 0) // room again
	s.finish(t, "big", id, ufile.PartETag(block('y'))).want(t, 200, 0)
	if got := s.get(t, "big"); !bytes.Equal(got, block('y')) {
		t.Error("big: got other bytes")
	}
}
