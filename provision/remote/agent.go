package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"debug/elf"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/seal"
)

//go:embed steps/*.sh
var steps embed.FS

const (
	reportLimit   = 8 << 20
	messageLimit  = 2 << 10
	agentTries    = 3
	lastSignal    = 64 // signal(7)
	agentPlatform = "linux/amd64"
)

// CheckAgent fails unless the file is a program that a host of the platform ("" is linux/amd64) can run. Connect does it
// too; callers that make a host first do it before.
func CheckAgent(path, platform string) error {
	if platform == "" {
		platform = agentPlatform
	}
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("checking agent %q: reading it as an ELF program: %w", path, err)
	}
	defer f.Close()
	machines := map[string]elf.Machine{"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64}
	want, known := machines[platform]
	switch {
	case !known:
		return fmt.Errorf("checking agent %q: there is none for platform %q", path, platform)
	case f.Machine != want:
		return fmt.Errorf("checking agent %q: got a program for %v, want %v", path, f.Machine, want)
	case f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN:
		return fmt.Errorf("checking agent %q: got ELF type %v, want a program", path, f.Type)
	}
	return nil
}

// Seal copies the agent to the host, unless it is there, and has it seal the host. allow must be seal.Address(), where
// the agent serves provision.Root. Commands with Sealed need it.
func (h *Host) Seal(ctx context.Context, allow netip.AddrPort) error {
	if err := h.seal(ctx, allow); err != nil {
		return fmt.Errorf("sealing host %q: %w", h.config.Name, err)
	}
	return nil
}

func (h *Host) seal(ctx context.Context, allow netip.AddrPort) error {
	if want := seal.Address(); allow != want {
		return fmt.Errorf("got file server %s, want %s", allow, want)
	}
	if h.config.Agent == "" {
		return errors.New("no agent is given")
	}
	var lost *LostError
	err := h.sendAgent(ctx)
	for tries := 1; tries < agentTries && errors.As(err, &lost); tries++ {
		err = h.sendAgent(ctx) // half of it does nothing
	}
	if err != nil {
		return fmt.Errorf("sending agent %q: %w", h.config.Agent, err)
	}
	client, port, err := h.ends(ctx)
	if err != nil {
		return err
	}
	_, err = h.ask(ctx, provision.Command{Argv: []string{seal.Program, seal.Verb, "seal",
		"--root", provision.Root, "--client", client, "--port", port}})
	return err
}

// ends asks the host who its client is, which a gateway between may have changed, and which port it answers on.
func (h *Host) ends(ctx context.Context) (client, port string, err error) {
	var stdout bytes.Buffer
	c := provision.Command{Argv: []string{"/bin/sh", "-c", `printf %s "$SSH_CONNECTION"`}, Stdout: &stdout}
	if err := h.runUser(ctx, c); err != nil { // sudo would hide it
		return "", "", fmt.Errorf("asking for SSH_CONNECTION: %w", err)
	}
	words := strings.Fields(stdout.String()) // sshd(8): client address, client port, server address, server port
	if len(words) == 4 {
		addr, addrErr := netip.ParseAddr(words[0])
		number, portErr := strconv.ParseUint(words[3], 10, 16)
		if addrErr == nil && portErr == nil && number != 0 {
			return addr.WithZone("").Unmap().String(), words[3], nil
		}
	}
	return "", "", fmt.Errorf("asking for SSH_CONNECTION: got %q, want two addresses and ports", stdout.String())
}

// sendAgent puts the agent on the host.
func (h *Host) sendAgent(ctx context.Context) error {
	f, err := os.Open(h.config.Agent)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return err
	}
	digest := hex.EncodeToString(hash.Sum(nil))
	how, err := h.ask(ctx, script("have", digest))
	if err != nil {
		return err
	}
	form := strings.TrimSpace(string(how))
	if form == "same" {
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	install := script("install", digest, form)
	install.Stdin = f
	if form == "gzip" {
		packed := pack(f)
		defer packed.Close()
		install.Stdin = packed
	}
	_, err = h.ask(ctx, install)
	return err
}

// pack is r in gzip form. After Close, nothing reads r any more.
func pack(r io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w, err := gzip.NewWriterLevel(in, gzip.BestSpeed)
		if err == nil {
			_, err = io.Copy(w, r)
		}
		if err == nil {
			err = w.Close()
		}
		in.CloseWithError(err)
	}()
	return packed{out, ended}
}

type packed struct {
	*io.PipeReader
	ended <-chan struct{}
}

func (p packed) Close() error {
	p.PipeReader.Close()
	<-p.ended
	return nil
}

// script is a command that runs one of our shell files.
func script(name string, args ...string) provision.Command {
	text, _ := steps.ReadFile("steps/" + name + ".sh")
	return provision.Command{Argv: append([]string{"/bin/sh", "-c", string(text), name}, args...)}
}

// ask runs a command of ours as root and returns what it prints. Its error has what it said on standard error.
func (h *Host) ask(ctx context.Context, c provision.Command) ([]byte, error) {
	stdout, stderr := &limited{limit: reportLimit}, &limited{limit: messageLimit}
	c.Stdout, c.Stderr = stdout, stderr
	err := h.runRoot(ctx, c)
	var exit *provision.ExitError
	switch {
	case errors.As(err, &exit):
		return nil, fmt.Errorf("running %s: %w%s", brief(c.Argv), err, said(stderr.buf.Bytes()))
	case err != nil:
		return nil, err
	case stdout.over:
		return nil, fmt.Errorf("running %s: it printed more than %d bytes", brief(c.Argv), reportLimit)
	}
	return stdout.buf.Bytes(), nil
}

func said(text []byte) string {
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return ""
	}
	return fmt.Sprintf(", after %q", text)
}

// limited keeps the first bytes of what is written to it.
type limited struct {
	limit int
	buf   bytes.Buffer
	over  bool
}

func (l *limited) Write(p []byte) (int, error) {
	keep := min(len(p), l.limit-l.buf.Len())
	l.over = l.over || keep < len(p)
	l.buf.Write(p[:keep])
	return len(p), nil
}

// runSealed runs a command in a network of its own, by the agent.
func (h *Host) runSealed(ctx context.Context, c provision.Command) error {
	report := seal.Folder + "/report-" + strings.ToLower(rand.Text())
	c.Argv = append([]string{seal.Program, seal.Verb, "run", "--report", report, "--"}, c.Argv...)
	err := h.runRoot(ctx, c)
	var exit *provision.ExitError
	switch {
	case !errors.As(err, &exit):
		return err
	case exit.Code > 128 && exit.Code <= 128+lastSignal:
		return h.afterSignal(ctx, err)
	case exit.Code < seal.ExitEgress || exit.Code > seal.ExitBroken:
		return err
	}
	text, reportErr := h.ask(ctx, script("report", report))
	switch {
	case reportErr != nil:
		return fmt.Errorf("reading the agent's report on host %q: %w", h.config.Name, reportErr)
	case len(text) == 0:
		return err // the command's own status
	case exit.Code == seal.ExitBroken:
		return &provision.SealError{What: printable(strings.TrimSpace(string(text)))}
	case exit.Code == seal.ExitUnable:
		return fmt.Errorf("running a sealed command on %q: %s", h.config.Name, printable(strings.TrimSpace(string(text))))
	}
	attempts, err := readAttempts(text)
	if err == nil && len(attempts) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return fmt.Errorf("reading the agent's report on host %q: %w", h.config.Name, err)
	}
	return &provision.EgressError{Attempts: attempts}
}

// afterSignal looks at the seal where it may have been the agent that a signal ended, before it could look itself.
func (h *Host) afterSignal(ctx context.Context, err error) error {
	_, askErr := h.ask(ctx, provision.Command{Argv: []string{seal.Program, seal.Verb, "background"}})
	var exit *provision.ExitError
	if errors.As(askErr, &exit) {
		return &provision.SealError{What: askErr.Error()}
	}
	return err
}

// Background is what the agent has seen of the host's own daemons since Seal.
func (h *Host) Background(ctx context.Context) ([]provision.Attempt, error) {
	text, err := h.ask(ctx, provision.Command{Argv: []string{seal.Program, seal.Verb, "background"}})
	var attempts []provision.Attempt
	if err == nil {
		attempts, err = readAttempts(text)
	}
	if err != nil {
		return nil, fmt.Errorf("host %q: %w", h.config.Name, err)
	}
	return attempts, nil
}

func readAttempts(text []byte) ([]provision.Attempt, error) {
	var list []provision.Attempt
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("got %q: %w", text[:min(len(text), 80)], err)
	}
	return list, nil
}
