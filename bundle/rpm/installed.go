package rpm

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// QueryFormat makes `rpm -qa --qf` print the package set of a host, which is the form of rpms.base in a manifest: for each
// package a line P (name, epoch, version, release, architecture), then what it provides (p), requires (r), conflicts with
// (c), obsoletes (o), and its files (f). Its tags and its formatter, which prints the sign of a comparison or nothing,
// are those of rpm 4.8 (2010) and of every later one; CentOS 7 has 4.11.
const QueryFormat = `P|%{NAME}|%{EPOCHNUM}|%{VERSION}|%{RELEASE}|%{ARCH}\n` +
	`[p|%{PROVIDENAME}|%{PROVIDEFLAGS:depflags}|%{PROVIDEVERSION}\n]` +
	`[r|%{REQUIRENAME}|%{REQUIREFLAGS:depflags}|%{REQUIREVERSION}\n]` +
	`[c|%{CONFLICTNAME}|%{CONFLICTFLAGS:depflags}|%{CONFLICTVERSION}\n]` +
	`[o|%{OBSOLETENAME}|%{OBSOLETEFLAGS:depflags}|%{OBSOLETEVERSION}\n]` +
	`[f|%{FILENAMES}\n]`

// Query is the command that prints the package set of a host.
func Query() []string { return []string{"rpm", "-qa", "--qf", QueryFormat} }

const (
	maxInstalled     = 50_000    // packages: a desktop with everything has 5000
	maxInstalledSize = 128 << 20 // of all lines: a machine with 3000 packages has 30 MB
	maxInstalledLine = 1 << 20
)

// ReadInstalled reads what a host has installed, as Query prints it, compressed or not. Files may be
// left out; those that are there count as provided. Of a Package only name, version, architecture, dependencies and Files
// are set. Public keys, which rpm keeps as packages named gpg-pubkey, are left out. What is no such listing is an error
// that names the line.
func ReadInstalled(r io.Reader) ([]*Package, error) {
	plain, err := decompress(r)
	if err != nil {
		return nil, fmt.Errorf("reading installed packages: %w", err)
	}
	defer plain.Close()
	limited := &io.LimitedReader{R: plain, N: maxInstalledSize}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxInstalledLine)
	p := installedParser{strings: map[string]string{}, evrs: map[string]*EVR{}}
	n := 0
	for lines.Scan() {
		n++
		if err := p.line(lines.Text()); err != nil {
			return nil, fmt.Errorf("reading installed packages: line %d: %w", n, err)
		}
	}
	err = lines.Err()
	if err == nil && limited.N == 0 {
		err = errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("reading installed packages: after line %d: %w", n, err)
	}
	return slices.DeleteFunc(p.packages, func(p *Package) bool { return p.Name == "gpg-pubkey" }), nil
}

type installedParser struct {
	packages []*Package
	strings  map[string]string
	evrs     map[string]*EVR
	inFiles  bool // the line before was a file's, whose name may go on: it may hold line breaks
}

func (p *installedParser) line(s string) error {
	kind, rest, found := strings.Cut(s, "|")
	if !found || len(kind) != 1 || !strings.Contains("Pprcof", kind) {
		if p.inFiles || s == "(none)" { // (none) stands for an empty list
			return nil
		}
		return fmt.Errorf("got %.80q, want P, p, r, c, o or f and a bar", s)
	}
	p.inFiles = kind == "f"
	if kind == "P" {
		return p.begin(strings.Split(rest, "|"))
	}
	if len(p.packages) == 0 {
		return fmt.Errorf("got %.80q before any package", s)
	}
	pkg := p.packages[len(p.packages)-1]
	if kind == "f" {
		pkg.Files = append(pkg.Files, p.intern(rest))
		return nil
	}
	d, err := p.dep(rest)
	if err != nil {
		return err
	}
	switch kind {
	case "p":
		pkg.Provides = append(pkg.Provides, d)
	case "r":
		pkg.Requires = append(pkg.Requires, d)
	case "c":
		pkg.Conflicts = append(pkg.Conflicts, d)
	case "o":
		pkg.Obsoletes = append(pkg.Obsoletes, d)
	}
	return nil
}

func (p *installedParser) begin(fields []string) error {
	if len(p.packages) == maxInstalled {
		return fmt.Errorf("got more than %d packages: %w", maxInstalled, errTooLarge)
	}
	if len(fields) != 5 {
		return fmt.Errorf("got %d fields of a package, want name, epoch, version, release and architecture", len(fields))
	}
	for i, f := range fields {
		if !isWord(f) {
			return fmt.Errorf("got %.80q in field %d of a package", f, i+1)
		}
		fields[i] = p.intern(f)
	}
	epoch := fields[1]
	if epoch == "(none)" {
		epoch = "0"
	}
	if strings.Trim(epoch, "0123456789") != "" {
		return fmt.Errorf("got epoch %.80q of package %q", epoch, fields[0])
	}
	p.packages = append(p.packages, &Package{Name: fields[0], EVR: EVR{Epoch: epoch, Version: fields[2], Release: fields[3]},
		Arch: fields[4]})
	return nil
}

// dep reads "NAME|COMPARISON|VERSION"; a name may itself hold a bar.
func (p *installedParser) dep(s string) (Dep, error) {
	i := strings.LastIndexByte(s, '|')
	j := strings.LastIndexByte(s[:max(i, 0)], '|')
	if j < 0 {
		return Dep{}, fmt.Errorf("got %.80q, want a name, a comparison and a version", s)
	}
	name, comparison, version := s[:j], strings.TrimSpace(s[j+1:i]), s[i+1:]
	if !printable(name) {
		return Dep{}, fmt.Errorf("got a dependency on %.80q", name)
	}
	flags, err := parseOperator(comparison)
	if err != nil {
		return Dep{}, err
	}
	if flags == 0 || version == "" {
		return Dep{Name: p.intern(name)}, nil
	}
	if !isWord(version) {
		return Dep{}, fmt.Errorf("got version %.80q in a dependency on %q", version, name)
	}
	evr := p.evrs[version]
	if evr == nil {
		parsed := ParseEVR(p.intern(version))
		evr = &parsed
		p.evrs[version] = evr
	}
	return Dep{Name: p.intern(name), EVR: evr, Flags: flags}, nil
}

func (p *installedParser) intern(s string) string {
	if known, ok := p.strings[s]; ok {
		return known
	}
	s = strings.Clone(s)
	p.strings[s] = s
	return s
}
