package solve_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
)

// TestMain is the child of a benchmark where it is told so: memory is a process's.
func TestMain(m *testing.M) {
	if dir := os.Getenv("OFFBAKE_SOLVE_REPO"); dir != "" {
		if err := loadAndSolve(dir, os.Getenv("OFFBAKE_SOLVE_NAMES")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// loadAndSolve loads a repository and installs names from it, "" for none and "all" for each by itself.
func loadAndSolve(dir, names string) error {
	repo, err := rpm.LoadRepo(context.Background(), rpm.RepoOptions{ID: "bench"}, opener(dir))
	if err != nil || names == "" {
		return err
	}
	pool := solve.NewPool(solve.PoolOptions{Repos: []*rpm.Repo{repo}})
	jobs := []scenarioJob{{Install: []string{names}}}
	if names == "all" {
		w := &world{scenario: &scenario{Repos: []scenarioRepo{{Packages: repo.Packages}}}}
		jobs = w.eachName(false)
	}
	for _, j := range jobs {
		if s, err := solveJob(pool, j); err != nil || !s.solved() && names != "all" {
			return fmt.Errorf("%v: %v, %w", j, s, err)
		}
	}
	return nil
}

// child runs loadAndSolve in a process of its own; peak is its memory, MiB.
func child(b *testing.B, dir, names string) (took time.Duration, peak float64) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "OFFBAKE_SOLVE_REPO="+dir, "OFFBAKE_SOLVE_NAMES="+names)
	return timed(b, cmd, 0)
}

// timed runs a command that has to end with an exit status.
func timed(b *testing.B, cmd *exec.Cmd, status int) (took time.Duration, peak float64) {
	b.Helper()
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took = time.Since(start)
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != status {
		b.Fatalf("running %v: %v: %s", cmd.Args, err, out)
	}
	return took, float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
}

func cs9(b *testing.B) string {
	b.Helper()
	from, err := filepath.Abs("../testdata/cs9-baseos")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	linkRepo(b, from, dir)
	return dir
}

// BenchmarkOne loads CentOS Stream 9 BaseOS and installs one package, beside `dnf install --assumeno` with a cold cache.
func BenchmarkOne(b *testing.B) {
	dir := cs9(b)
	for b.Loop() {
		ours, peak := child(b, dir, "yum-utils")
		cmd := exec.Command("dnf", "--nogpgcheck", "--noplugins", "--releasever=9", "--forcearch=x86_64", "--setopt=reposdir=/dev/null",
			"--setopt=cachedir="+b.TempDir(), "--setopt=install_weak_deps=0", "--repofrompath=cs9,file://"+dir, "--repo=cs9",
			"--installroot="+b.TempDir(), "--assumeno", "install", "yum-utils")
		theirs, theirPeak := timed(b, cmd, 1) // "Operation aborted."
		b.ReportMetric(ours.Seconds()/theirs.Seconds(), "x-dnf-cold")
		b.ReportMetric(peak, "MiB-peak")
		b.ReportMetric(theirPeak, "MiB-peak-dnf")
		b.ReportMetric(theirs.Seconds(), "s-dnf")
	}
}

// BenchmarkAll loads it once and installs each of its 883 names, beside dnf's API in one process.
func BenchmarkAll(b *testing.B) {
	dir := cs9(b)
	for b.Loop() {
		ours, peak := child(b, dir, "all")
		o := startOracle(b)
		reply, err := o.ask(oracleRequest{Repos: []oracleRepo{{ID: "cs9", Dir: dir}}, All: true})
		if err != nil {
			b.Fatal(err)
		}
		if len(reply.Answers) != 883 {
			b.Fatalf("got %d answers of dnf, want 883", len(reply.Answers))
		}
		b.ReportMetric(ours.Seconds()/(reply.Load+reply.Solve), "x-dnf-all-883")
		b.ReportMetric(peak, "MiB-peak")
		b.ReportMetric(reply.Load+reply.Solve, "s-dnf")
	}
}

// BenchmarkLarge loads a primary of 13,500 packages.
func BenchmarkLarge(b *testing.B) {
	dir := b.TempDir()
	size := largeRepo(b, dir)
	for b.Loop() {
		took, peak := child(b, dir, "")
		b.ReportMetric(peak, "MiB-peak")
		b.ReportMetric(float64(size)/(1<<20), "MiB-primary")
		b.ReportMetric(took.Seconds(), "s-load")
	}
}

// largeRepo writes CentOS Stream 9 BaseOS twelve times over, with other names each time.
func largeRepo(b *testing.B, dir string) (size int) {
	b.Helper()
	var text strings.Builder
	eachLine(b, filepath.Join(cs9(b), "repodata/*-primary.xml.gz"), func(line string) { text.WriteString(line + "\n") })
	begin, end := strings.Index(text.String(), "<package "), strings.LastIndex(text.String(), "</metadata>")
	packages := text.String()[begin:end]
	var stored bytes.Buffer
	zip, open := gzip.NewWriter(&stored), sha256.New()
	out := io.MultiWriter(zip, open)
	put := func(s string) {
		size += len(s)
		if _, err := io.WriteString(out, s); err != nil {
			b.Fatal(err)
		}
	}
	put(`<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="13500">`)
	name := regexp.MustCompile(`<name>|<rpm:entry name="`)
	for i := range 12 {
		put(name.ReplaceAllString(packages, fmt.Sprintf("${0}x%d-", i)))
	}
	put("</metadata>")
	if err := zip.Close(); err != nil {
		b.Fatal(err)
	}
	repomd := fmt.Sprintf(`<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"><checksum type="sha256">%x</checksum>`+
		`<open-checksum type="sha256">%x</open-checksum><location href="repodata/primary.xml.gz"/></data></repomd>`,
		sha256.Sum256(stored.Bytes()), open.Sum(nil))
	if err := os.MkdirAll(dir+"/repodata", 0o755); err != nil {
		b.Fatal(err)
	}
	for file, data := range map[string][]byte{"repomd.xml": []byte(repomd), "primary.xml.gz": stored.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, "repodata", file), data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return size
}
