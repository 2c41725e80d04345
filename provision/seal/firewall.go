package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"time"
)

// firewall drops what a rule without ports would let out to the client, by iptables: for kernels before 4.17 (CentOS 7),
// which have it.
type firewall struct {
	tool  string
	rules [][]string // of chain OUTPUT
	added [][]string
}

func newFirewall(client netip.Addr, port uint16) *firewall {
	f := &firewall{tool: "iptables"}
	if client.Is6() {
		f.tool = "ip6tables"
	}
	to := func(match ...string) []string {
		return append(append([]string{"-d", client.String(), "!", "-o", "lo"}, match...), "-j", "DROP")
	}
	f.rules = [][]string{
		to("-p", "tcp", "!", "--sport", strconv.Itoa(int(port))),
		to("!", "-p", "tcp"),
	}
	return f
}

// add puts the rules before all others and sees that they are there.
func (f *firewall) add(ctx context.Context) error {
	for _, rule := range f.rules {
		if err := f.run(ctx, "-I", rule); err != nil {
			return err
		}
		f.added = append(f.added, rule)
	}
	return f.check(ctx)
}

// check fails unless the rules are there.
func (f *firewall) check(ctx context.Context) error {
	for _, rule := range f.rules {
		if err := f.run(ctx, "-C", rule); err != nil {
			return err
		}
	}
	return nil
}

// remove takes back what add did.
func (f *firewall) remove() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, rule := range f.added {
		err = errors.Join(err, f.run(ctx, "-D", rule))
	}
	f.added = nil
	return err
}

// run waits (-w) for another program that changes rules at this moment.
func (f *firewall) run(ctx context.Context, what string, rule []string) error {
	path, err := lookPath(f.tool)
	if err != nil {
		return fmt.Errorf("running %s: %w", f.tool, err)
	}
	args := append([]string{"-w", what, "OUTPUT"}, rule...)
	if out, err := exec.CommandContext(ctx, path, args...).CombinedOutput(); err != nil {
		line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
		return fmt.Errorf("running %s %s: %w (%s)", f.tool, what, err, line)
	}
	return nil
}
