package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/offbake/offbake/provision"
)

// TestExitCodeOfTheSeal has what a host's seal can end with.
func TestExitCodeOfTheSeal(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		code int
		hint string
	}{
		{"an attempt", &provision.EgressError{Script: "x.sh"}, exitEgress, "manifest's artifacts"},
		{"a broken seal", &provision.SealError{Script: "x.sh"}, exitEgress, "leave ip rules, routes and the agent alone"},
		{"a script that failed", &provision.ExitError{Code: 4}, exitFailed, ""},
	} {
		err := errors.Join(errors.New("another image"), fmt.Errorf("baking: %w", &provision.StepError{Err: tt.err}))
		if code := exitCode(t.Context(), err); code != tt.code {
			t.Errorf("%s: got exit code %d, want %d", tt.name, code, tt.code)
		}
		if hint := new(app).hint(err); !strings.Contains(hint, tt.hint) || tt.hint == "" && hint != "" {
			t.Errorf("%s: got hint %q, want %q", tt.name, hint, tt.hint)
		}
	}
}
