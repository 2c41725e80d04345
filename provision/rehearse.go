package provision

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
)

// Rehearsal is what to rehearse.
type Rehearsal struct {
	Cloud    Cloud        // makes hosts of one base
	Journal  string       // folder, as that of a Request
	Plans    []solve.Plan // what each image asks of yum or dnf
	Files    []bundle.File
	Open     func(path string) (io.ReadCloser, error) // reads one of Files
	Weak     bool                                     // install weak dependencies too
	Progress *progress.Reporter
	Verbose  bool // tells each line that hosts print
}

// RehearsalError is a transaction that the package manager of a host refused, or could not finish.
type RehearsalError struct {
	Image string
	By    string   // recipe or script
	Tail  []string // the last lines that the host printed
	Err   error
}

func (e *RehearsalError) Error() string {
	s := fmt.Sprintf("rehearsing image %q: %s: %v", e.Image, e.By, e.Err)
	if len(e.Tail) > 0 {
		s += fmt.Sprintf(", after %q", strings.Join(e.Tail, "\n"))
	}
	return s
}

func (e *RehearsalError) Unwrap() error { return e.Err }

// Rehearse has the package manager of a fresh host for each plan make the plan's calls, with what Files hold as the only
// repository. The hosts get everything through their connection; they have no need of a network. No image is made, and every
// host is ended, whatever happens. The error joins those of all plans: a *RehearsalError where a call failed.
func Rehearse(ctx context.Context, r Rehearsal) (err error) {
	if !slices.ContainsFunc(r.Plans, func(p solve.Plan) bool { return len(p.Calls) > 0 }) {
		r.Progress.Line("nothing to rehearse: no image installs packages")
		return nil
	}
	repo, err := openRepository(ctx, r.Files, r.Open)
	if err != nil {
		return err
	}
	j, err := openJournal(r.Journal, strings.ToLower(rand.Text()[:8]))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	b := &baking{Request: &Request{Cloud: r.Cloud, Offline: true, Progress: r.Progress, Verbose: r.Verbose, Weak: r.Weak}, journal: j}
	var errs faults
	for _, plan := range r.Plans {
		if len(plan.Calls) > 0 && ctx.Err() == nil {
			errs.add(r.plan(ctx, b, repo, plan))
		}
	}
	// What a cancelled command returns is any builder's own; that it was cancelled is what the caller wants to know.
	if cause := context.Cause(ctx); cause != nil && !errors.Is(errs.err(), cause) {
		errs.add(fmt.Errorf("rehearsing: %w", cause))
	}
	return errs.err()
}

// plan rehearses one plan on a host of its own.
func (r *Rehearsal) plan(ctx context.Context, b *baking, repo *repository, plan solve.Plan) (err error) {
	r.Progress.Line("%s: rehearsing", plan.Name)
	img := manifest.Image{Name: plan.Name}
	base, err := r.Cloud.Base(ctx, img)
	if err != nil {
		return fmt.Errorf("rehearsing image %q: finding the base image: %w", plan.Name, err)
	}
	e := entry{Host: "offbake-" + b.journal.run + "-" + plan.Name, Image: plan.Name, Created: time.Now().UTC()}
	if err := b.journal.intend(e); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.end(ctx, e)) }()
	host, err := r.Cloud.Create(ctx, e.Host, base, img)
	if err != nil {
		return fmt.Errorf("rehearsing image %q: making the host: %w", plan.Name, err)
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	s := &session{host: host, out: b.output(&ImagePlan{Name: plan.Name})}
	if err := r.stage(ctx, s, plan); err != nil {
		return fmt.Errorf("rehearsing image %q: %w", plan.Name, err)
	}
	if err := s.configure(ctx, repo, b.Request); err != nil {
		return rehearsalError(plan, "setting up packages", err)
	}
	for _, c := range plan.Calls {
		env := exports(map[string]string{"OFFBAKE": Root, "HOME": "/root"})
		if err := s.shell(ctx, env+text("steps/prelude.sh")+callScript(c), false); err != nil {
			return rehearsalError(plan, c.By, err)
		}
	}
	r.Progress.Line("%s: rehearsed", plan.Name)
	return nil
}

func rehearsalError(plan solve.Plan, by string, err error) error {
	e := &RehearsalError{Image: plan.Name, By: by, Err: err}
	var printed *printedError
	if errors.As(err, &printed) {
		e.Tail = printed.tail
	}
	return e
}

// stage brings the repository and the package files of the plan to the host.
func (r *Rehearsal) stage(ctx context.Context, s *session, plan solve.Plan) error {
	for _, f := range r.Files {
		wanted := strings.HasPrefix(f.Path, "rpms/") || slices.ContainsFunc(plan.Calls, func(c solve.Call) bool {
			return slices.ContainsFunc(c.Files, func(file solve.File) bool { return file.Path == f.Path })
		})
		if !wanted {
			continue
		}
		open := func() (io.ReadCloser, error) { return r.Open(f.Path) }
		if err := s.send(ctx, hostPath(f.Path), f.SHA256, f.Mode, open); err != nil {
			return err
		}
	}
	return nil
}

// callScript is a call as recipes make it, for the functions of steps/prelude.sh.
func callScript(c solve.Call) string {
	var b strings.Builder
	for _, name := range c.Upgrade { // as in recipes/yum.sh
		fmt.Fprintf(&b, "if rpm -q %[1]s >/dev/null 2>&1; then pm upgrade -y %[1]s; fi\n", quote(name))
	}
	if c.Absent && len(c.Install) > 0 {
		b.WriteString("packages")
		for _, name := range c.Install {
			b.WriteString(" " + quote(name))
		}
		b.WriteString("\n")
		c.Install = nil
	}
	b.WriteString("set --\n")
	for _, name := range c.Install {
		fmt.Fprintf(&b, "set -- \"$@\" %s\n", quote(name))
	}
	for _, f := range c.Files { // as in recipes/docker.sh
		fmt.Fprintf(&b, "file=%s\n", quote(hostPath(path.Clean(f.Path))))
		b.WriteString("installed=$(rpm -qp --qf '%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}' \"$file\")\n" +
			"rpm -q \"$installed\" >/dev/null 2>&1 || set -- \"$@\" \"$file\"\n")
	}
	b.WriteString("[ $# -eq 0 ] || pm install -y \"$@\"\n")
	return b.String()
}
