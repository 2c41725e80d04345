package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/offbake/offbake/provision/sandbox"
)

func (a *app) sandboxCmd() *cobra.Command {
	var o sandboxOptions
	cmd := &cobra.Command{
		Use:   "sandbox --base ROOTFS",
		Short: "A UCloud on this machine, to try bakes and Packer templates against",
		Long: `Serves UCloud's API and UFile on loopback, with hosts that are guests of this machine: each has an SSH server on an address
of its own (127.213.0.0/16, port 22), a private one and, if it is asked for, a public one. Base images are the root file
system given. When it is ready it prints one line of JSON: api, endpoint, bucket, public_key, private_key, project, region,
zone, vpc, subnet, images. UCLOUD_API_BASE_URL points offbake at api, and the vendor's SDKs; in templates for
Packer it is base_url. A signal ends it and its hosts; custom images, objects and keys stay in --dir.

--fault lets things go wrong: ACTION[:N]=KIND, for the N-th call of an action or each (* is any action). KIND is
retcode:CODE, 503, drop, drop-reply, hang, stuck, stuck-disk, install-fail or unavailable.` + "\n" + exitStatus,
		Example: "  offbake sandbox --base rootfs.tar.zst --dir cloud >cloud.json\n" +
			"  offbake sandbox --base rootfs.tar.zst --fault CreateUHostInstance:1=install-fail",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.sandbox(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.base, "base", "", "root file system of the base images, a folder or `ROOTFS`.tar[.gz|.zst]")
	f.StringVar(&o.dir, "dir", "", "`DIR` for images, objects and keys (default one that is removed at the end)")
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "loopback `ADDR` of the API; port 0 takes a free one")
	f.StringArrayVar(&o.faults, "fault", nil, "what goes wrong, `ACTION[:N]=KIND`; repeatable")
	return cmd
}

type sandboxOptions struct {
	base, dir, listen string
	faults            []string
}

// sandbox serves until ctx ends.
func (a *app) sandbox(ctx context.Context, o sandboxOptions) (err error) {
	if o.base == "" {
		return usagef("sandbox needs --base ROOTFS")
	}
	var rules []sandbox.Rule
	for _, text := range o.faults {
		r, err := sandbox.ParseFault(text)
		if err != nil {
			return usagef("--fault: %w", err)
		}
		rules = append(rules, r)
	}
	if os.Geteuid() != 0 {
		return errors.New("starting a sandbox: its hosts are guests of this machine, which need root")
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "offbake-sandbox-"); err != nil {
			return fmt.Errorf("starting a sandbox: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	s, err := sandbox.New(sandbox.Options{Dir: o.dir, Base: o.base, Listen: o.listen, Fault: sandbox.Faults(rules...), Log: a.log()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	line, err := json.Marshal(s.Ready())
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.out, "%s\n", line); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// log is for servers: a line a call on stderr, unless --quiet.
func (a *app) log() *slog.Logger {
	if a.quiet {
		return nil
	}
	return slog.New(slog.NewTextHandler(a.err, nil))
}
