// Command internet serves the demo's small internet on loopback: what releases.hashicorp.com, github.com and a yum
// repository would, with keys of its own. It writes the public keys where the demo's manifest names them, prints its
// address when it is ready, and runs until a signal ends it.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/offbake/offbake/internal/faulttest"
)

func main() {
	standin := flag.String("standin", "", "the built `program` of examples/standin")
	out := flag.String("out", ".", "`folder` that takes keys/ and the packages")
	flag.Parse()
	if err := run(*standin, *out); err != nil {
		fmt.Fprintf(os.Stderr, "internet: %v\n", err)
		os.Exit(1)
	}
}

func run(standin, out string) error {
	program, err := os.ReadFile(standin)
	if err != nil {
		return err
	}
	cluster, err := faulttest.NewCluster(program, filepath.Join(out, "internet-files"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(out, "keys"), 0o755); err != nil {
		return err
	}
	for name, key := range map[string][]byte{"releases.asc": cluster.ReleasesKey, "rpms.asc": cluster.PackagesKey} {
		if err := os.WriteFile(filepath.Join(out, "keys", name), key, 0o644); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	server := &http.Server{Handler: cluster, ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}
