package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/ucloud"
)

// The exit codes are a contract: scripts decide on them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitVerify      = 3
	exitEgress      = 4
	exitInterrupted = 130
)

// usageError is what the user typed wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// failure is the last line of stderr with --json.
type failure struct {
	Error struct {
		Code      int    `json:"code"`
		Message   string `json:"message"`
		Hint      string `json:"hint"`
		Retryable bool   `json:"retryable"`
	} `json:"error"`
}

// report tells the error, if any, with a hint, and returns the exit code.
func (a *app) report(ctx context.Context, err error) int {
	a.close()
	if err == nil {
		return exitDone
	}
	code := exitCode(ctx, err)
	hint := a.hint(err)
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(a.err, "offbake: error: %s\n", strings.TrimRight(line, "\n"))
	}
	if hint != "" {
		fmt.Fprintf(a.err, "offbake: hint: %s\n", hint)
	}
	if a.json {
		var f failure
		f.Error.Code, f.Error.Message, f.Error.Hint, f.Error.Retryable = code, err.Error(), hint, retryable(err, code)
		line, jsonErr := json.Marshal(f)
		if jsonErr != nil {
			return code
		}
		fmt.Fprintf(a.err, "%s\n", line)
	}
	return code
}

// exitCode judges by type, never by text. What was refused weighs more than what merely failed beside it.
func exitCode(ctx context.Context, err error) int {
	switch {
	case isEgress(err):
		return exitEgress
	case isUntrusted(err):
		return exitVerify
	case isUsage(err):
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

func isEgress(err error) bool {
	return as[*provision.EgressError](err) || as[*provision.SealError](err) || errors.Is(err, transport.ErrBlocked)
}

// retryable reports whether the same command may succeed later without any change.
func retryable(err error, code int) bool {
	if code != exitFailed {
		return code == exitInterrupted
	}
	var api *ucloud.Error
	if errors.As(err, &api) {
		return api.Kind() == ucloud.Throttled || api.Kind() == ucloud.Unavailable
	}
	network := as[*transport.Error](err) || as[*transport.StatusError](err) || as[*transport.StalledError](err)
	return network && transport.Temporary(err)
}
