package faulttest

import (
	"fmt"
	"net/http"
	"testing"
)

// Sweep calls run once against a server without faults and counts the requests it makes, n; then, for each fault and
// each k from 1 to n, against a fresh server whose k-th request suffers the fault. next makes the server's content anew
// for each run. run says what must hold; fault is nil in the clean run. Sweep returns how many runs it made.
func Sweep(t *testing.T, next func() http.Handler, faults []Fault, run func(t *testing.T, s *Server, fault *Fault)) int {
	t.Helper()
	var n int
	t.Run("clean", func(t *testing.T) {
		s := NewServer(t, next())
		run(t, s, nil)
		n = len(s.Requests())
	})
	if n == 0 && !t.Failed() {
		t.Fatal("sweep: the clean run made no request")
	}
	for _, fault := range faults {
		for k := 1; k <= n; k++ {
			fault.Request = k
			t.Run(fmt.Sprintf("%s at request %d", fault, k), func(t *testing.T) {
				s := NewServer(t, next())
				s.Fail(fault)
				run(t, s, &fault)
			})
		}
	}
	return 1 + len(faults)*n
}
