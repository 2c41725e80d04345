package serve_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
)

// hanging is a signed PUT on a connection of its own that has sent only the first bytes of its body.
type hanging struct{ net.Conn }

func (s *service) hang(t testing.TB, target, key string, first []byte, size int) *hanging {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	auth := s.key.Authorization(ufile.Request{Method: "PUT", Bucket: "bkt", Key: key})
	// Expect makes sure that the server has begun to read before the caller goes on.
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", target, auth, size)
	h := &hanging{conn}
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	h.send(t, first)
	return h
}

func (h *hanging) send(t testing.TB, b []byte) {
	t.Helper()
	if _, err := h.Write(b); err != nil {
		t.Log("sending the rest:", err) // the server may have answered already
	}
}

func (h *hanging) status(t testing.TB) int {
	t.Helper()
	h.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(h), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func serviceOf(t testing.TB, h http.Handler, dir string) *service {
	t.Helper()
	return &service{httptest.NewServer(h), dir, testKey}
}

// A body that ends early or stops coming leaves nothing, and the object that was there stays.
func TestCutBodies(t *testing.T) {
	s := start(t, serve.StoreOptions{Stall: 100 * time.Millisecond})
	s.put(t, "k", []byte("before"))
	cut := s.hang(t, "/k", "k", []byte("half"), 100)
	if err := cut.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if status := cut.status(t); status != 400 {
		t.Errorf("cut: got status %d, want 400", status)
	}
	stalled := s.hang(t, "/k", "k", []byte("half"), 100)
	if status := stalled.status(t); status != 400 {
		t.Errorf("stalled: got status %d, want 400", status)
	}
	if got := s.get(t, "k"); string(got) != "before" {
		t.Errorf("the object is now %q", got)
	}
	if got := s.files(t, "tmp"); len(got) != 0 {
		t.Errorf("temporary files are left: %q", got)
	}
}

// The length must be told, and be within the limit; neither costs the sending of the body.
func TestLength(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	for _, c := range []struct {
		fault, header string
		status        int
	}{
		{"chunked", "Transfer-Encoding: chunked", 411},
		{"above 512 MB", fmt.Sprintf("Content-Length: %d", ufile.MaxPut+1), 400},
	} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		auth := s.key.Authorization(ufile.Request{Method: "PUT", Bucket: "bkt", Key: "k"})
		fmt.Fprintf(conn, "PUT /k HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nExpect: 100-continue\r\n%s\r\n\r\n", auth, c.header)
		if got := (&hanging{conn}).status(t); got != c.status {
			t.Errorf("%s: got status %d, want %d", c.fault, got, c.status)
		}
	}
	s.wantAbsent(t, "k")
}
