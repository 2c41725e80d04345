package local

import (
	"context"
	"io"
	"net/url"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/guest"
)

// Files is the bundle as local hosts see it: every file at the gateway, under its bundle path.
type Files struct {
	// Source opens a bundle path and checks what it reads against the index: (*bundle.Bundle).Open.
	Source func(path string) (io.ReadCloser, error)
}

var _ provision.Files = Files{}

// URL is where Config.Handler must serve a bundle path.
func (f Files) URL(_ context.Context, path string) (string, error) {
	u := url.URL{Scheme: "http", Host: gatewayHost(), Path: "/" + path}
	return u.String(), nil
}

// Server is the folder files/ at the gateway.
func (f Files) Server(context.Context) (provision.FileServer, error) {
	return provision.FileServer{URL: "http://" + gatewayHost() + "/files", Allow: guest.Address()}, nil
}

// Open reads a bundle path on this machine.
func (f Files) Open(path string) (io.ReadCloser, error) { return f.Source(path) }

// gatewayHost leaves the port out: it is HTTP's own.
func gatewayHost() string { return guest.Address().Addr().String() }
