package transport

import (
	"net/http"
	"time"
)

// NewRetry returns the retry layer alone, for tests with a network of their own and a clock that runs fast.
func NewRetry(next http.RoundTripper, tries int) http.RoundTripper {
	return &retryLayer{next: next, tries: tries}
}

// NewStall returns the stall layer alone.
func NewStall(next http.RoundTripper, window time.Duration) http.RoundTripper {
	return &stallLayer{next: next, window: window}
}
