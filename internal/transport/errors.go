package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Error is a request that failed. URL is redacted.
type Error struct {
	Method string
	URL    string
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Method, e.URL, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// StatusError is an answer with a status that the caller has no use for. URL is redacted.
type StatusError struct {
	Method     string
	URL        string
	Code       int
	RetryAfter time.Duration // what the server asks to wait; 0 if it does not say
}

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s: status %d %s", e.Method, e.URL, e.Code, http.StatusText(e.Code)))
}

// StalledError says that a server sent nothing for the whole window.
type StalledError struct {
	Window time.Duration
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("stalled: got no byte in %v", e.Window)
}

// Timeout marks it as a timeout, as net.Error does.
func (e *StalledError) Timeout() bool { return true }

// CheckStatus returns nil for a 2xx status, else a *StatusError; then the body is closed.
func CheckStatus(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return nil
	}
	resp.Body.Close()
	return NewStatusError(resp)
}

// NewStatusError describes resp, whose body stays the caller's.
func NewStatusError(resp *http.Response) *StatusError {
	e := &StatusError{Code: resp.StatusCode, RetryAfter: RetryAfter(resp)}
	if resp.Request != nil {
		e.Method, e.URL = resp.Request.Method, redactURL(resp.Request.URL)
	}
	return e
}

// Do sends req with c; an error is an *Error with a redacted URL, or ctx's own error when that is the reason.
func Do(c *http.Client, req *http.Request) (*http.Response, error) {
	resp, err := c.Do(req)
	if err == nil {
		return resp, nil
	}
	if ctx := req.Context(); ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, Scrub(err)
}

// Scrub returns err with its outermost *url.Error, whose text holds a whole URL, replaced by an *Error. Errors without
// one are returned as they are.
func Scrub(err error) error {
	var u *url.Error
	if !errors.As(err, &u) {
		return err
	}
	return &Error{Method: strings.ToUpper(u.Op), URL: Redact(u.URL), Err: u.Err}
}

// Redact returns raw without user info, query and fragment, for people to read. What does not parse is not shown.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(invalid URL)"
	}
	return redactURL(u)
}

func redactURL(u *url.URL) string {
	clean := *u
	clean.User, clean.Fragment, clean.RawFragment = nil, "", ""
	if clean.RawQuery != "" {
		clean.RawQuery = ""
		return clean.String() + "?…"
	}
	clean.ForceQuery = false
	return clean.String()
}
