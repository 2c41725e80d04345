package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/manifest"
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

// TestExitCodeOfLock has what locking RPMs can end with.
func TestExitCodeOfLock(t *testing.T) {
	lacks := []source.Distribution{{Name: "CentOS 7", Repos: []source.Standard{{Name: "base", URL: "https://vault.example/os/"}, {Name: "extras"}}}}
	for _, tt := range []struct {
		name string
		err  error
		code int
		hint string
	}{
		{"standard repositories lack", &source.UnsolvableError{Lacks: lacks}, exitFailed,
			"add to artifacts.rpms.repos what CentOS 7 has: base (such as https://vault.example/os/), extras"},
		{"a bare base", &source.UnsolvableError{Bare: true, Missing: []source.Missing{{Dep: "libc.so.6", NeededBy: []string{"a-1-1.noarch"}}}},
			exitFailed, "offbake base query"},
		{"what is for another host, on a bare base", &source.UnsolvableError{Bare: true,
			Missing: []source.Missing{{Dep: "lib", NeededBy: []string{"a-1-1.noarch"}, Where: "is for another architecture", Near: true}}},
			exitFailed, "name a repository that has it"},
		{"a spec with a slip, on a bare base", &source.UnsolvableError{Bare: true, Missing: []source.Missing{{Dep: "naon"}}}, exitFailed, "name a repository that has it"},
		{"what is excluded, on a bare base", &source.UnsolvableError{Bare: true, Others: []string{"a is excluded by rpms.exclude"}}, exitFailed, ""},
		{"something that is nowhere", &source.UnsolvableError{Missing: []source.Missing{{Dep: "nano"}}}, exitFailed, "another version under artifacts.rpms.install"},
		{"what excludes itself", &source.UnsolvableError{Others: []string{"a conflicts with b"}}, exitFailed, ""},
		{"a package without signature", &source.SignatureError{Err: rpm.ErrUnsigned}, exitVerify, "artifacts.rpms.unsigned"},
		{"metadata without signature", &source.SignatureError{Err: &source.RepomdError{Repo: "base", Err: fmt.Errorf("%w: %w", fs.ErrNotExist, rpm.ErrUnsigned)}},
			exitVerify, "who runs the repository has to sign it"},
		{"metadata with junk for a signature", &source.SignatureError{Err: &source.RepomdError{Repo: "base", Err: rpm.ErrUnsigned}}, exitVerify,
			"who runs the repository has to sign it"},
		{"another's signature", &source.SignatureError{Err: rpm.ErrUnknownKey}, exitVerify, ""},
		{"a base that is none", &manifest.Error{Field: "artifacts.rpms.base"}, exitUsage, ""},
	} {
		err := fmt.Errorf("locking %q: %w", "rpms", tt.err)
		if code := exitCode(t.Context(), err); code != tt.code {
			t.Errorf("%s: got exit code %d, want %d", tt.name, code, tt.code)
		}
		if hint := new(app).hint(err); !strings.Contains(hint, tt.hint) || tt.hint == "" && hint != "" {
			t.Errorf("%s: got hint %q, want %q", tt.name, hint, tt.hint)
		}
	}
}

// TestHintOfARehearsal: who ended it himself needs no advice.
func TestHintOfARehearsal(t *testing.T) {
	failed := &provision.RehearsalError{Image: "a", By: "recipe", Err: &provision.ExitError{Code: 1}}
	if hint := new(app).hint(failed); !strings.Contains(hint, "root file system") {
		t.Errorf("got hint %q, want one", hint)
	}
	failed.Err = context.Canceled
	if hint := new(app).hint(failed); hint != "" {
		t.Errorf("after an interrupt: got hint %q, want none", hint)
	}
}
