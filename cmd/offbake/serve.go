package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/offbake/offbake/bundle/serve"
)

func (a *app) serveCmd() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve BUNDLE|DIR --listen ADDR",
		Short: "Serve a bundle read-only, or a folder as a UFile-compatible store",
		Long: `Serves a bundle's files over HTTP, or makes a folder the object store of people without UFile: PUT, POST form, multipart,
copy, HEAD, GET with Range, lists, tags and presigned URLs, signed as the real service wants it, with its limits.
Writing needs the key pair in UCLOUD_PUBKEY and UCLOUD_SECRET, reading too unless --public is given. Prints its
address when it is ready; a signal ends it.` +
			"\n" + exitStatus,
		Example: "  UCLOUD_PUBKEY=… UCLOUD_SECRET=… offbake serve /srv/store --listen 10.0.0.2:9000 --bucket bundles",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			handler, done, err := a.serveHandler(args[0], o)
			if err != nil {
				return err
			}
			defer done()
			return a.listenAndServe(cmd.Context(), o.listen, handler)
		},
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:9000", "`ADDR` to listen on; port 0 takes a free one")
	cmd.Flags().StringVar(&o.bucket, "bucket", "", "`NAME` of the bucket that a folder is served as")
	cmd.Flags().BoolVar(&o.public, "public", false, "reading needs no signature")
	cmd.Flags().BoolVar(&o.allowUnsigned, "allow-unsigned", false, "for trials: serve a bundle without asking who signed it")
	return cmd
}

type serveOptions struct {
	listen, bucket string
	public         bool
	allowUnsigned  bool
}

// serveHandler decides what the argument is: a tar or a folder with an index is a bundle, any other folder a store.
func (a *app) serveHandler(path string, o serveOptions) (http.Handler, func(), error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("serving %q: %w", path, errors.Unwrap(err))
	}
	_, indexErr := os.Stat(filepath.Join(path, "bundle.json"))
	if !info.IsDir() || indexErr == nil {
		b, _, err := a.openTrusted(path, o.allowUnsigned)
		if err != nil {
			return nil, nil, err
		}
		return serve.Bundle(b), func() { b.Close() }, nil
	}
	if o.bucket == "" {
		return nil, nil, usagef("serving the folder %q as a store needs --bucket NAME", path)
	}
	so := serve.StoreOptions{Dir: path, Bucket: o.bucket, Public: o.public, Strict: true}
	if pub, secret := a.getenv("UCLOUD_PUBKEY"), a.getenv("UCLOUD_SECRET"); pub != "" && secret != "" {
		so.Keys = []serve.Key{{Public: pub, Private: secret}}
	} else {
		a.progress().Line("warning: UCLOUD_PUBKEY and UCLOUD_SECRET are empty; nothing can be written")
	}
	h, err := serve.Store(so)
	return h, func() {}, err
}

type serveResult struct {
	Schema string `json:"schema"`
	URL    string `json:"url"`
}

// listenAndServe answers until ctx ends, then lets running answers finish.
func (a *app) listenAndServe(ctx context.Context, addr string, h http.Handler) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening on %q: %w", addr, err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	url := "http://" + listener.Addr().String()
	if err := a.result(serveResult{"offbake/serve/1", url}, url); err != nil {
		return errors.Join(err, listener.Close())
	}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %q: %w", addr, err)
	}
	return <-stopped
}
