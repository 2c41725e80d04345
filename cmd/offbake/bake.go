package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/offbake/offbake/provision"
)

func (a *app) bakeCmd() *cobra.Command {
	var o bakeOptions
	cmd := &cobra.Command{
		Use:   "bake --offline BUNDLE|STORE/NAME/VERSION",
		Short: "Make machine images from a bundle and nothing else",
		Long: `Starts a host from the base of each image, gives it the bundle's files, seals it off from everything but the file
server, runs recipes and the user's own scripts, checks and cleans the host, and captures it as an image. An attempt of a
recipe or script to reach anything else ends it with exit 4. Images that are there already, with the same inputs, are not
made again. Whatever fails, no host is left.

The manifest is the bundle's own copy; -f may override its store and cloud. Builders: ucloud makes custom images of hosts
in UCloud, which take the files from the store (or by --transfer ssh) and are sealed by a copy of this program; its API is
at UCLOUD_API_BASE_URL or cloud.api. local makes a root file system from a root file system (--base), in --out. import does
that with a disk image (--base), uploads the disk and has UCloud import it: no host is made there. Results also go to
offbake-images.json and offbake-images.auto.tfvars.json.` +
			"\n" + exitStatus,
		Example: "  offbake bake --offline ufile://bundles/offbake/nomad-cluster/1.0.0 --endpoint http://10.0.0.2:9000 --var-file site.json\n" +
			"  offbake bake --offline nomad-cluster-1.0.0.tar --builder local --base centos7.tar.zst --out images",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := a.bakeJob(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			defer job.close()
			if o.dryRun {
				return job.plan(cmd.Context())
			}
			res, err := job.bake(cmd.Context())
			if len(res.Images) > 0 {
				err = errors.Join(err, provision.WriteResults(o.out, res.Images))
			}
			if err != nil {
				return err
			}
			return a.result(bakeResult{"offbake/bake/1", res.Images}, imageLines(res.Images)...)
		},
	}
	o.add(cmd)
	return cmd
}

type bakeOptions struct {
	offline, allowUnsigned, rebuild, dryRun bool
	images                                  []string
	builder, base, out, agent, format       string
	endpoint, transfer, onError             string
	parallel                                int
}

func (o *bakeOptions) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.offline, "offline", false, "seal the hosts: nothing but the bundle is reached")
	f.StringArrayVar(&o.images, "image", nil, "bake only the image `NAME`; repeatable")
	f.StringVar(&o.builder, "builder", "", "what makes the images; `KIND` is ucloud, local or import (default local with --base, else ucloud)")
	f.StringVar(&o.base, "base", "", "local: the root file system to start from, a folder or `ROOTFS`.tar[.gz|.zst]; import: a disk image")
	f.StringVar(&o.format, "format", "RAW", "import: what the disk is uploaded as, RAW or qcow2")
	f.StringVar(&o.agent, "agent", "", "ucloud: the offbake program for hosts, where this `FILE` is not theirs to run (default this program)")
	f.StringVar(&o.out, "out", ".", "`DIR` for images and results")
	f.StringVar(&o.endpoint, "endpoint", "", "region host or `URL` of the UFile service that holds the bundle")
	f.IntVar(&o.parallel, "parallel", 0, "make at most `N` images at once (default all)")
	f.StringVar(&o.transfer, "transfer", "store", "how hosts get the bundle's files: store or ssh")
	f.StringVar(&o.onError, "on-error", "clean", "what becomes of the host of an image that failed: clean, or keep until it is baked again")
	f.BoolVar(&o.rebuild, "rebuild", false, "make images again though nothing has changed")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done, and stop")
	f.BoolVar(&o.allowUnsigned, "allow-unsigned", false, "for trials: do not ask who signed the bundle")
}

// The builders.
const (
	builderLocal  = "local"
	builderUCloud = "ucloud"
	builderImport = "import"
)

// check refuses what flags alone show to be wrong, and fills in the builder.
func (o *bakeOptions) check() error {
	if o.builder == "" {
		o.builder = builderUCloud
		if o.base != "" {
			o.builder = builderLocal
		}
	}
	switch {
	case !o.offline:
		return usagef("bake needs --offline: it is the only way that images are made from the bundle alone")
	case o.builder != builderLocal && o.builder != builderUCloud && o.builder != builderImport:
		return usagef("--builder %q is not known, want ucloud, local or import", o.builder)
	case o.builder != builderUCloud && o.base == "":
		return usagef("--builder %s needs --base", o.builder)
	case o.builder == builderUCloud && o.base != "":
		return usagef("--base is for --builder local and import; a cloud's base image is the manifest's images.NAME.base")
	case o.format != "RAW" && o.format != "qcow2":
		return usagef("--format %q is not known, want RAW or qcow2", o.format)
	case o.transfer != "store" && o.transfer != "ssh":
		return usagef("--transfer %q is not known, want store or ssh", o.transfer)
	case o.onError != "clean" && o.onError != "keep":
		return usagef("--on-error %q is not known, want clean or keep", o.onError)
	case o.parallel < 0:
		return usagef("--parallel %d is negative", o.parallel)
	}
	// It is made with the first image: what fails before leaves nothing.
	if info, err := os.Stat(o.out); err == nil && !info.IsDir() {
		return usagef("--out %q is not a folder", o.out)
	}
	return nil
}

type bakeResult struct {
	Schema string                  `json:"schema"`
	Images []provision.ImageResult `json:"images"`
}

func imageLines(images []provision.ImageResult) []string {
	var lines []string
	for _, i := range images {
		how := fmt.Sprintf("%d s", i.Seconds)
		if i.Reused {
			how = "unchanged"
		}
		words := []string{i.Name, i.Made.String(), how}
		for _, c := range i.Copies {
			words = append(words, "copy "+c.String()+" in "+c.Region)
		}
		lines = append(lines, strings.Join(words, "  "))
	}
	return lines
}
