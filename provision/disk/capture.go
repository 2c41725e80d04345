package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

// cleanupTimeout bounds how long it takes to delete an uploaded disk, whose own context may be over.
const cleanupTimeout = time.Minute

// Capture stops the host, writes its tree into a copy of the base while a copy of the host runs the trial, and has the
// cloud import that disk.
func (b *Cloud) Capture(ctx context.Context, h provision.Host, c provision.Capture) (provision.Made, error) {
	made, err := b.capture(ctx, h, c)
	if err != nil {
		return provision.Made{}, fmt.Errorf("capturing image %q: %w", c.Name, err)
	}
	return made, nil
}

func (b *Cloud) capture(ctx context.Context, h provision.Host, c provision.Capture) (made provision.Made, err error) {
	b.mu.Lock()
	j := b.hosts[h.Name()]
	b.mu.Unlock()
	if j == nil {
		return made, fmt.Errorf("got host %q, want one of this builder", h.Name())
	}
	f, err := makeFolder(b.c.Work, h.Name())
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, f.remove()) }()
	var path string
	if err := b.Stopped(ctx, h, c.Trial, func(ctx context.Context, tree string) (err error) {
		b.c.Progress.Line("%s: writing its disk", c.Name)
		if path, err = b.disk.write(ctx, f, tree); err != nil {
			return err
		}
		path, err = f.convertTo(ctx, b.c.Format, path)
		return err
	}); err != nil {
		return made, err
	}
	url, err := b.upload(ctx, h.Name(), c.Name, path)
	if err == nil {
		b.c.Progress.Line("%s: importing its disk", c.Name)
		b.change(h.Name(), func(j *job) { j.imported = true })
		made, err = b.c.Target.Import(ctx, ImportRequest{Name: c.Name, Description: c.Description, URL: url,
			Format: b.c.Format, System: b.c.System, Image: j.image})
	}
	if err != nil || !b.c.KeepUpload {
		// Where an image was made, that its disk stays in the store does not undo it: Terminate tries again, and tells.
		if deleteErr := b.deleteUpload(ctx, h.Name()); err != nil {
			err = errors.Join(err, deleteErr)
		}
	}
	return made, err
}

// upload stores a disk and returns where the cloud reads it.
func (b *Cloud) upload(ctx context.Context, host, image, path string) (url string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, readerAt(ctx, f))
	if err != nil {
		return "", err
	}
	b.c.Progress.Line("%s: uploading its disk, %s", image, humanize.IBytes(uint64(n)))
	b.change(host, func(j *job) { j.uploaded = true })
	if err := b.c.Target.Upload(ctx, objectKey(host), f, hex.EncodeToString(h.Sum(nil))); err != nil {
		return "", fmt.Errorf("uploading the disk: %w", err)
	}
	return b.c.Target.URL(ctx, objectKey(host))
}

// change notes something about a host of this process.
func (b *Cloud) change(host string, what func(*job)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j := b.hosts[host]; j != nil {
		what(j)
	}
}

// deleteUpload removes the disk of a host from the store.
func (b *Cloud) deleteUpload(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := b.c.Target.Delete(ctx, objectKey(host)); err != nil {
		return fmt.Errorf("deleting the uploaded disk: %w", err)
	}
	b.change(host, func(j *job) { j.uploaded = false })
	return nil
}

// Terminate ends the guest called name and removes its disk, here and in the store, also those of a process that died.
func (b *Cloud) Terminate(ctx context.Context, name string) error {
	b.mu.Lock()
	j := b.hosts[name]
	uploaded := j == nil || j.uploaded // of a host that another process made nothing is known
	b.mu.Unlock()
	err := errors.Join(b.Cloud.Terminate(ctx, name), removeFolder(filepath.Join(foldersOf(b.c.Work), name)))
	if uploaded && !b.c.KeepUpload {
		err = errors.Join(err, b.deleteUpload(ctx, name))
	}
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.hosts, name)
	}
	return err
}

// Discard is Terminate, and removes the image that was imported from the host. The cloud is not asked about a host of
// this process that came to no import.
func (b *Cloud) Discard(ctx context.Context, name string, copyTo []string) error {
	b.mu.Lock()
	j := b.hosts[name]
	none := j != nil && !j.imported
	b.mu.Unlock()
	err := b.Terminate(ctx, name)
	if b.c.KeepUpload { // an upload that led to nothing
		err = errors.Join(err, b.deleteUpload(ctx, name))
	}
	if none {
		return err
	}
	return errors.Join(err, b.c.Target.Discard(ctx, name, copyTo))
}

// Intend tells what happens here, in the store and in the cloud.
func (b *Cloud) Intend(_ context.Context, base provision.Base, img manifest.Image, c provision.Capture) (provision.Intent, error) {
	call := func(action string, parameters map[string]string) provision.Call {
		maps.DeleteFunc(parameters, func(_, value string) bool { return value == "" })
		return provision.Call{Action: action, Parameters: parameters}
	}
	host := c.Description[strings.LastIndexByte(c.Description, ' ')+1:]
	calls := []provision.Call{
		call("boot a guest", map[string]string{"base": base.ID}),
		call("boot a copy of it", map[string]string{"network": "none"}),
		call("write", map[string]string{"path": filepath.Join(foldersOf(b.c.Work), host), "format": string(b.c.Format)}),
		call("upload", map[string]string{"key": objectKey(host)}),
		call("ImportCustomImage", map[string]string{
			"Region": img.Cloud.Region, "ImageName": c.Name, "ImageDescription": c.Description, "Format": string(b.c.Format),
			"OsType": b.c.System.Type, "OsName": b.c.System.Name, "Auth": "true", "UFileUrl": "URL of " + objectKey(host),
		}),
	}
	for _, to := range img.Cloud.CopyTo { // REGION or REGION/PROJECT
		region, project, _ := strings.Cut(to, "/")
		calls = append(calls, call("CopyCustomImage", map[string]string{"TargetRegion": region, "TargetProjectId": project, "TargetImageName": c.Name}))
	}
	if !b.c.KeepUpload {
		calls = append(calls, call("delete", map[string]string{"key": objectKey(host)}))
	}
	return provision.Intent{Calls: calls}, nil
}
