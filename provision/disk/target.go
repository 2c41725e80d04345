package disk

import (
	"context"
	"os"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

// Target is where images go: a store that the cloud can read, and the cloud. All functions are needed; they retry what is
// safe to repeat, and what they return is final.
type Target struct {
	// Upload stores all of f, whose sha256 is given, under key.
	Upload func(ctx context.Context, key string, f *os.File, sha256 string) error
	// URL is where the cloud reads the object; good for as long as an import may take (24 h).
	URL func(ctx context.Context, key string) (string, error)
	// Delete removes the object. One that is not there is no error.
	Delete func(ctx context.Context, key string) error
	// Import has the cloud make an image of a disk, waits until it is available and makes the copies that r.Image asks for.
	// On error no image is left.
	Import func(ctx context.Context, r ImportRequest) (provision.Made, error)
	// Find is provision.Cloud's.
	Find func(ctx context.Context, img manifest.Image, key string) (provision.Made, bool, error)
	// Discard is provision.Cloud's, for images whose description ends in the host's name.
	Discard func(ctx context.Context, host string, copyTo []string) error
}

// ImportRequest is what ImportCustomImage wants to know (facts/ucloud.md, section 6.1).
type ImportRequest struct {
	Name        string // of the image
	Description string // carries input address and host
	URL         string // of the disk; a secret where the bucket is private
	Format      Format
	System      System
	Image       manifest.Image // its Cloud tells region and project
}

// System is an operating system in the cloud's words.
type System struct {
	Type string // CentOS, Ubuntu, RedHat, Debian or Other
	Name string // such as "CentOS 7.9 64位", or Other
}

// objectKey is where the disk of a host lies in the store: beside all bundles, for none may be called so.
func objectKey(host string) string { return "_import/" + host + ".disk" }
