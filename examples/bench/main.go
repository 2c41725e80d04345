// Command bench measures offbake against a floor and against the stock tools, all in one run on one machine, for only
// ratios within a run mean anything on a noisy machine.
//
// fetch: 602 files, 1.6 GB, from a server on loopback, in interleaved rounds; every contender ends in `sync -f`.
//   - floor: a bare Go loop, 8 connections, each body hashed while it is written, then copied into a tar by the kernel
//   - offbake fetch --locked, to a signed tar and to a folder
//   - aria2c, then sha256sum -c, then tar
//
// verify: offbake verify beside a bare loop that hashes the same bytes on all cores.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func main() {
	offbake := flag.String("offbake", "bin/offbake", "the `program` to measure")
	rounds := flag.Int("rounds", 5, "rounds, of which the median counts")
	small := flag.Int("small", 600, "number of files of 1 MiB")
	large := flag.Int("large", 2, "number of files of 500 MiB")
	floorURL := flag.String("floor", "", "internal: run the floor against this URL")
	hashFile := flag.String("hash", "", "internal: hash this file")
	serveDir := flag.String("serve", "", "internal: serve this folder")
	work := flag.String("work", "", "work `folder`; a temporary one when empty")
	flag.Parse()
	var err error
	switch {
	case *serveDir != "":
		err = serve(*serveDir)
	case *hashFile != "":
		err = hashFloor(*hashFile)
	case *floorURL != "":
		err = floor(*floorURL, *work)
	default:
		err = compare(options{*offbake, *rounds, *small, *large, *work})
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	offbake              string
	rounds, small, large int
	work                 string
}

// compare runs every contender in every round and prints the medians beside the floor's.
func compare(o options) error {
	dir, err := os.MkdirTemp(o.work, "offbake-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(dir, o)
	if err != nil {
		return err
	}
	defer b.close()
	contenders := b.contenders()
	results := make([][]measure, len(contenders))
	for round := range o.rounds {
		for i, c := range contenders {
			m, err := b.run(c)
			if err != nil {
				return fmt.Errorf("running %s: %w", c.name, err)
			}
			results[i] = append(results[i], m)
			fmt.Fprintf(os.Stderr, "round %d  %-34s %7.2f s  %4d MB\n", round+1, c.name, m.wall.Seconds(), m.peak>>20)
		}
	}
	floors := map[string]time.Duration{}
	fmt.Printf("%-36s %9s %9s %9s\n", "median of "+fmt.Sprint(o.rounds), "seconds", "of floor", "peak MB")
	for i, c := range contenders {
		m := median(results[i])
		if c.floor == c.name {
			floors[c.name] = m.wall
		}
		fmt.Printf("%-36s %9.2f %9.2f %9d\n", c.name, m.wall.Seconds(), m.wall.Seconds()/floors[c.floor].Seconds(), m.peak>>20)
	}
	return nil
}

func median(ms []measure) measure {
	slices.SortFunc(ms, func(a, b measure) int { return int(a.wall - b.wall) })
	return ms[len(ms)/2]
}

// contender is one way to do a job. Its out is removed before each run, unmeasured.
type contender struct {
	name  string
	floor string // the contender that it is compared with
	out   []string
	steps [][]string // commands, one after the other
}

func (b *bench) contenders() []contender {
	cache, tar, folder := b.path("cache"), b.path("out.tar"), b.path("folder")
	fetch := []string{b.offbake, "fetch", "--locked", "-q", "-f", b.path("manifest.yaml"), "--key", b.path("offbake.key"), "--cache", cache}
	self, plain := b.self, b.path("plain")
	fetchFloor, verifyFloor := "floor: bare loop to a tar", "floor: bare hash of the tar"
	return []contender{
		{fetchFloor, fetchFloor, []string{b.path("floor")}, [][]string{{self, "-floor", b.url, "-work", b.path("floor")}, {"sync", "-f", dirOf(tar)}}},
		{"offbake fetch to a signed tar", fetchFloor, []string{cache, tar}, [][]string{append(fetch, "-o", tar), {"sync", "-f", dirOf(tar)}}},
		{"offbake fetch to a signed folder", fetchFloor, []string{cache, folder}, [][]string{append(fetch, "-o", folder+"/"), {"sync", "-f", dirOf(tar)}}},
		{"aria2c + sha256sum + tar", fetchFloor, []string{plain, b.path("plain.tar")}, [][]string{
			{"aria2c", "-q", "-j8", "-x1", "--file-allocation=none", "-d", plain, "-i", b.path("urls")},
			{"sh", "-c", "cd " + plain + " && sha256sum --quiet -c ../sums"},
			{"tar", "-cf", b.path("plain.tar"), "-C", plain, "."}, {"sync", "-f", dirOf(tar)}}},
		{verifyFloor, verifyFloor, nil, [][]string{{self, "-hash", tar}}},
		{"offbake verify of the tar", verifyFloor, nil, [][]string{{b.offbake, "verify", "-q", "--pubkey", b.path("offbake.pub"), tar}}},
	}
}

func dirOf(path string) string { return filepath.Dir(path) }
