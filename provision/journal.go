package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/offbake/offbake/internal/atomicfile"
	"github.com/offbake/offbake/manifest"
)

// journal names every host that a run has asked for and not seen end. An entry is on disk before its host is asked for
// and goes only after the host is gone, so that whatever kills this process, somebody knows what to end.
//
// The folder holds one HOST.json for each and a RUN.lock for each run, which is locked (flock) while the run lives.
type journal struct {
	dir  string
	run  string
	lock *os.File
}

// entry is the content of a HOST.json.
type entry struct {
	Schema string `json:"schema"`
	Host   string `json:"host"`
	Image  string `json:"image"`
	Run    string `json:"run"`
	Target Target `json:"target"`
	Kept   bool   `json:"kept"` // for the user to look at
	// Captured says that the image of the host is whole and counts: only the host is left to end.
	Captured bool      `json:"captured"`
	CopyTo   []string  `json:"copy_to,omitempty"` // where copies of the image may be
	Created  time.Time `json:"created"`
}

const (
	journalSchema = "offbake/journal/1"
	entrySuffix   = ".json"
	lockSuffix    = ".lock"
)

// end ends the host, and what was captured from it unless that is a finished image.
func (e entry) end(ctx context.Context, cloud Cloud) error {
	if e.Captured {
		return cloud.Terminate(ctx, e.Host)
	}
	return cloud.Discard(ctx, e.Host, e.CopyTo)
}

// Target is where hosts are made and whose they are: it tells those of one cloud, region and account from others. Whoever
// looks elsewhere finds nothing, and must not take it for gone.
type Target struct {
	API     string `json:"api"`
	Region  string `json:"region"`
	Zone    string `json:"zone"`
	Project string `json:"project"`
	Owner
}

// Owner is what of a Target the manifest's cloud does not say.
type Owner struct {
	Account  string `json:"account,omitempty"`  // names the account without giving away a key; "" where there is none
	Store    string `json:"store,omitempty"`    // where disks that are imported lie meanwhile
	Endpoint string `json:"endpoint,omitempty"` // of the store
}

func (o Owner) target(c manifest.Cloud) Target { return Target{c.API, c.Region, c.Zone, c.Project, o} }

// Leftover is a host that the journal names and no living run holds.
type Leftover struct {
	Host    string
	Image   string
	Target  Target
	Kept    bool // for the user to look at, until the image is baked again
	Created time.Time
}

// Leftovers lists what Clean would end, for every target.
func Leftovers(dir string) ([]Leftover, error) {
	entries, err := (&journal{dir: dir}).dead()
	out := make([]Leftover, len(entries))
	for i, e := range entries {
		out[i] = Leftover{e.Host, e.Image, e.Target, e.Kept, e.Created}
	}
	return out, err
}

// Forget takes a host out of the journal without ending it: its cloud is gone, or somebody ended it otherwise. A host that
// a living run holds stays.
func Forget(dir, host string) error {
	left, err := Leftovers(dir)
	if !slices.ContainsFunc(left, func(l Leftover) bool { return l.Host == host }) {
		return errors.Join(fmt.Errorf("forgetting %q: the journal names no such host that is left", host), err)
	}
	return (&journal{dir: dir}).forget(host)
}

// Hosts names every host that the journal in dir names, those of living runs included.
func Hosts(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+entrySuffix))
	if err != nil {
		return nil, err
	}
	for i, path := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(path), entrySuffix)
	}
	return paths, nil
}

// openJournal begins a run. The caller closes it.
func openJournal(dir, run string) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the journal: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, run+lockSuffix), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the journal: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %q: %w", f.Name(), err), os.Remove(f.Name()), f.Close())
	}
	return &journal{dir: dir, run: run, lock: f}, nil
}

// close ends the run; entries that are left are nobody's then.
func (j *journal) close() error { return errors.Join(os.Remove(j.lock.Name()), j.lock.Close()) }

func (j *journal) path(host string) string { return filepath.Join(j.dir, host+entrySuffix) }

// intend writes the entry of a host to disk.
func (j *journal) intend(e entry) error {
	e.Schema, e.Run = journalSchema, j.run
	data, err := json.Marshal(e)
	if err == nil {
		err = atomicfile.WriteFile(j.path(e.Host), append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// forget removes the entry of a host that is gone.
func (j *journal) forget(host string) error {
	if err := os.Remove(j.path(host)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clearing the journal: %w", err)
	}
	return nil
}

// dead returns the entries of runs that live no more; also beside an error, which tells of those that cannot be read.
func (j *journal) dead() ([]entry, error) {
	paths, err := filepath.Glob(filepath.Join(j.dir, "*"+entrySuffix))
	if err != nil {
		return nil, err
	}
	var out []entry
	var errs faults
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its run has just ended it
		}
		var e entry
		if err == nil {
			err = json.Unmarshal(data, &e)
		}
		if err != nil || e.Schema != journalSchema || e.Host+entrySuffix != filepath.Base(path) {
			errs.add(fmt.Errorf("reading the journal: %q is no entry: %w", path, cmp.Or(err, errNotEntry)))
			continue
		}
		alive, err := j.alive(e.Run)
		if err != nil {
			return nil, err
		}
		if !alive {
			out = append(out, e)
		}
	}
	return out, errs.err()
}

var errNotEntry = errors.New("unknown content")

// alive reports whether a process still holds the lock of a run. The lock file of a run that was killed is removed.
func (j *journal) alive(run string) (bool, error) {
	if run == j.run {
		return true, nil
	}
	f, err := os.Open(filepath.Join(j.dir, run+lockSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the journal: %w", err)
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("locking %q: %w", f.Name(), err)
	}
	return false, os.Remove(f.Name())
}

// Clean ends every host at the target, which is the cloud's, that the journal names and no living run holds, those kept to
// look at included, and what was captured from those whose bake did not finish. It returns the hosts' names. It goes on
// after an error; what could not be ended stays in the journal.
func Clean(ctx context.Context, cloud Cloud, dir string, at Target) ([]string, error) {
	return clean(ctx, cloud, dir, func(e entry) bool { return e.Target == at })
}

func clean(ctx context.Context, cloud Cloud, dir string, which func(entry) bool) (ended []string, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	j := &journal{dir: dir}
	entries, err := j.dead()
	var errs faults
	errs.add(err)
	for _, e := range entries {
		if !which(e) {
			continue
		}
		if err := e.end(ctx, cloud); err != nil {
			errs.add(fmt.Errorf("ending host %q: %w", e.Host, err))
			continue
		}
		errs.add(j.forget(e.Host))
		ended = append(ended, e.Host)
	}
	return ended, errs.err()
}
