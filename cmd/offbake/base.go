package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/local"
	"github.com/offbake/offbake/provision/ucloud"
)

func (a *app) baseCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "base",
		Short: "Look at base images: which there are, and which packages they have",
		Long: `"list" shows the base images of the manifest's region. "query" prints a script that prints the package set of the host
it runs on, in the form of rpms.base; "dump" makes a host of a base image, runs that script there, and ends the host.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.baseListCmd(), a.baseQueryCmd(), a.baseDumpCmd())
	return cmd
}

func (a *app) baseListCmd() *cobra.Command {
	var filter string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the base images of the region",
		Long: `Lists the base images of the manifest's region and zone: id, name, size in GiB, features and the day
its maintenance ends. Without a manifest, region, zone and project come from UCLOUD_REGION, UCLOUD_ZONE and UCLOUD_PROJECT_ID.` +
			"\n" + exitStatus,
		Example: "  offbake base list --filter 'CentOS 7\\.' --var region=cn-bj2 --var az=cn-bj2-02",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			match, err := regexp.Compile(filter)
			if err != nil {
				return usagef("--filter: %w", err)
			}
			target, keys, err := a.siteCloud()
			if err != nil {
				return err
			}
			cloud, err := a.ucloud(target, keys, "")
			if err != nil {
				return err
			}
			images, err := cloud.Bases(cmd.Context(), match)
			if err != nil {
				return err
			}
			var lines []string
			for _, i := range images {
				words := []string{i.ID, i.Name, fmt.Sprintf("%d GiB", i.Size), strings.Join(i.Features, ","), i.EOL}
				if !i.Available {
					words = append(words, "not available")
				}
				lines = append(lines, strings.TrimRight(strings.Join(words, "  "), " "))
			}
			return a.result(struct {
				Schema string             `json:"schema"`
				Images []ucloud.BaseImage `json:"images"`
			}{"offbake/base-list/1", images}, lines...)
		},
	}
	cmd.Flags().StringVar(&filter, "filter", "", "only images whose name matches `RE`")
	return cmd
}

func (a *app) baseQueryCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "query",
		Short: "Print a script that prints the package set of the host it runs on",
		Long: `Prints a POSIX sh script. Run it on a machine made of the base image and keep what it prints, gzipped if you like: a
manifest names the file under artifacts.rpms.base.` + "\n" + exitStatus,
		Example: "  offbake base query | ssh root@machine sh | gzip -n >base/centos-7.9.rpmqa.gz",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.out, "#!/bin/sh\n# The packages of this host, as a manifest's artifacts.rpms.base takes them.\nLC_ALL=C exec %s\n",
				shellLine(rpm.Query()))
			return err
		},
	}
}

// shellLine quotes each word for a POSIX shell where it must be.
func shellLine(words []string) string {
	plain := regexp.MustCompile(`^[A-Za-z0-9_/.:=@%+-]+$`)
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if !plain.MatchString(w) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

func (a *app) baseDumpCmd() *cobra.Command {
	var o struct{ image, base string }
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Make a host of a base image and print its package set",
		Long: `Makes a host of the base that an image of the manifest asks for, prints its packages in the form of artifacts.rpms.base,
and ends the host. With --base it is a guest of this machine on a root file system, and no cloud is asked.` + "\n" + exitStatus,
		Example: "  offbake base dump --image consul-server --var-file site.json >base/centos-7.9.rpmqa\n" +
			"  offbake base dump --base centos7.tar.zst >base/centos7.rpmqa",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := a.dump(cmd.Context(), o.image, o.base)
			if err != nil {
				return err
			}
			_, err = a.out.Write(set)
			return err
		},
	}
	cmd.Flags().StringVar(&o.image, "image", "", "`NAME` of the image whose base is asked (default the manifest's first)")
	cmd.Flags().StringVar(&o.base, "base", "", "a root file system on this machine, a folder or `ROOTFS`.tar[.gz|.zst], instead of a cloud's base image")
	return cmd
}

func (a *app) dump(ctx context.Context, image, base string) ([]byte, error) {
	if base != "" {
		state, err := a.stateDir()
		if err != nil {
			return nil, err
		}
		cloud, err := local.New(local.Config{Base: base, Work: filepath.Join(state, "guests"), Progress: a.progress()})
		if err != nil {
			return nil, err
		}
		r := provision.Request{Cloud: cloud, Journal: filepath.Join(state, "journal")}
		return provision.Dump(ctx, r, manifest.Image{Name: "dump"})
	}
	m, vars, err := a.siteManifest()
	if err != nil {
		return nil, err
	}
	names := m.ImageNames()
	if image == "" && len(names) > 0 {
		image = names[0]
	}
	img, err := m.Image(image, vars)
	if err != nil {
		return nil, &usageError{err}
	}
	img.Cloud = a.located(img.Cloud)
	keys := a.cloudKeys(vars)
	cloud, err := a.ucloud(img.Cloud, keys, "")
	if err != nil {
		return nil, err
	}
	journal, err := a.cloudJournal()
	if err != nil {
		return nil, err
	}
	return provision.Dump(ctx, provision.Request{Cloud: cloud, Owner: keys.owner(), Journal: journal}, img)
}

// siteManifest is the manifest with the user's variables.
func (a *app) siteManifest() (*manifest.Manifest, *manifest.Vars, error) {
	m, err := manifest.Load(a.manifestPath())
	if err != nil {
		return nil, nil, &usageError{err}
	}
	vars, err := a.variables(m, nil)
	return m, vars, err
}

// siteVars is siteManifest, or nothing where there is no manifest at the usual place.
func (a *app) siteVars() (*manifest.Manifest, *manifest.Vars, error) {
	if _, err := os.Stat(a.manifestPath()); a.manifest == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	return a.siteManifest()
}

// siteCloud is the cloud of the manifest, or where there is none at the usual place that of the environment.
func (a *app) siteCloud() (c manifest.Cloud, k keyPair, err error) {
	m, vars, err := a.siteVars()
	if err != nil {
		return c, k, err
	}
	if m != nil {
		if c, err = m.Cloud(vars); err != nil {
			return c, k, err
		}
	}
	c.Region = cmp.Or(c.Region, a.getenv("UCLOUD_REGION"))
	c.Zone = cmp.Or(c.Zone, a.getenv("UCLOUD_ZONE"))
	c.Project = cmp.Or(c.Project, a.getenv("UCLOUD_PROJECT_ID"))
	return a.located(c), a.cloudKeys(vars), nil
}
