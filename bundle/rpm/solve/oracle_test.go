package solve_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
)

// oracle is dnf's Python API in a process of its own, testdata/oracle.py.
type oracle struct {
	mu  sync.Mutex
	in  io.WriteCloser
	out *bufio.Reader
}

// oracleRequest asks for the jobs in one world.
type oracleRequest struct {
	Repos     []oracleRepo      `json:"repos"`
	Installed []oracleInstalled `json:"installed"` // never nil: an empty root has an empty database
	Exclude   []string          `json:"exclude,omitempty"`
	Modules   []string          `json:"modules,omitempty"` // streams to enable, "name:stream"
	Platform  string            `json:"platform,omitempty"`
	Jobs      []oracleJob       `json:"jobs,omitempty"`
	All       bool              `json:"all,omitempty"`  // a job for each name of an offered package, instead of Jobs
	Weak      bool              `json:"weak,omitempty"` // of All
}

type oracleRepo struct {
	ID       string `json:"id"`
	Dir      string `json:"dir"`
	Priority int    `json:"priority,omitempty"`
	Hotfixes bool   `json:"hotfixes,omitempty"`
}

type oracleJob struct {
	Install []string `json:"install,omitempty"`
	Upgrade []string `json:"upgrade,omitempty"`
	Weak    bool     `json:"weak,omitempty"`
}

// oracleInstalled is an installed package; a dependency is its name, flags as RPMSENSE has them, and version.
type oracleInstalled struct {
	Name        string   `json:"name"`
	Epoch       string   `json:"epoch"`
	Version     string   `json:"version"`
	Release     string   `json:"release"`
	Arch        string   `json:"arch"`
	Provides    [][3]any `json:"provides,omitempty"`
	Requires    [][3]any `json:"requires,omitempty"`
	Conflicts   [][3]any `json:"conflicts,omitempty"`
	Obsoletes   [][3]any `json:"obsoletes,omitempty"`
	Recommends  [][3]any `json:"recommends,omitempty"`
	Suggests    [][3]any `json:"suggests,omitempty"`
	Supplements [][3]any `json:"supplements,omitempty"`
	Enhances    [][3]any `json:"enhances,omitempty"`
	Files       []string `json:"files,omitempty"`
}

type oracleReply struct {
	Answers []oracleAnswer `json:"answers"`
	Load    float64        `json:"load"`  // seconds
	Solve   float64        `json:"solve"` // seconds, all jobs
	Failure string         `json:"failure"`
	Refused bool           `json:"refused"` // Modules cannot be enabled
}

// oracleAnswer is dnf's transaction, or its error.
type oracleAnswer struct {
	Job     []string    `json:"job"`
	Install [][2]string `json:"install"` // what comes: name-version.arch and repository
	Remove  []string    `json:"remove"`  // what goes: replaced and obsoleted
	Error   string      `json:"error"`
	Missing bool        `json:"missing"` // nothing matches a spec
}

// startOracle starts the process, which ends with the test.
func startOracle(tb testing.TB) *oracle {
	tb.Helper()
	cmd := exec.Command("/usr/bin/python3", "testdata/oracle.py")
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	var diagnostics strings.Builder
	cmd.Stderr = &diagnostics
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil || tb.Failed() && diagnostics.Len() > 0 {
			tb.Errorf("oracle: %v: %s", err, diagnostics.String())
		}
	})
	return &oracle{in: in, out: bufio.NewReaderSize(out, 1<<20)}
}

func (o *oracle) ask(r oracleRequest) (*oracleReply, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Installed == nil {
		r.Installed = []oracleInstalled{}
	}
	line, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if _, err := o.in.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	line, err = o.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("reading oracle's answer: %w", err)
	}
	var reply oracleReply
	if err := json.Unmarshal(line, &reply); err != nil {
		return nil, err
	}
	if reply.Failure != "" {
		return nil, errors.New(reply.Failure)
	}
	return &reply, nil
}

func oracleInstalls(packages []*rpm.Package) []oracleInstalled {
	out := []oracleInstalled{}
	for _, p := range packages {
		deps := func(list []rpm.Dep) (out [][3]any) {
			for _, d := range list {
				version := ""
				if d.EVR != nil {
					version = d.EVR.String()
				}
				out = append(out, [3]any{d.Name, int(d.Flags & (rpm.Less | rpm.Greater | rpm.Equal)), version})
			}
			return out
		}
		out = append(out, oracleInstalled{Name: p.Name, Epoch: p.EVR.Epoch, Version: p.EVR.Version, Release: p.EVR.Release, Arch: p.Arch,
			Provides: deps(p.Provides), Requires: deps(p.Requires), Conflicts: deps(p.Conflicts), Obsoletes: deps(p.Obsoletes),
			Recommends: deps(p.Recommends), Suggests: deps(p.Suggests), Supplements: deps(p.Supplements), Enhances: deps(p.Enhances),
			Files: p.Files})
	}
	return out
}
