package bundle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/offbake/offbake/internal/atomicfile"
)

// WriteTar writes a bundle as a tar. The file appears whole, with all bytes on disk, or not at all. If path is there
// already with the very same bytes nothing is written; anything else there is an *ExistsError unless o.Force.
func WriteTar(ctx context.Context, path string, o Output) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %q: %w", path, err)
		}
	}()
	data, err := o.check()
	if err != nil {
		return err
	}
	if done, err := o.present(ctx, path, data, false); done || err != nil {
		return err
	}
	f, err := atomicfile.Create(path, 0o644)
	if err != nil {
		return cause(err)
	}
	defer func() { err = errors.Join(err, f.Abort()) }()
	if err := writeTar(ctx, f.File, data, o); err != nil {
		return err
	}
	return cause(f.Commit())
}

func writeTar(ctx context.Context, f *os.File, data []byte, o Output) error {
	w := tarWriter{f: f, buf: bufio.NewWriterSize(f, bufferSize)}
	for _, m := range o.meta(data) {
		if err := w.small(File{Path: m.name, Size: int64(len(m.data)), Mode: "0644"}, m.data); err != nil {
			return err
		}
	}
	for _, file := range o.Index.Files {
		if err := w.content(ctx, file, o.Contents[file.Path]); err != nil {
			return err
		}
	}
	return w.end()
}

// tarWriter writes entries. It keeps count of what must have been written, and end compares.
type tarWriter struct {
	f   *os.File
	buf *bufio.Writer // over f: headers, paddings and small content
	n   int64
}

// header writes the header of an entry and counts all of it, content and padding included.
func (w *tarWriter) header(f File) error {
	h, err := tarHeader(f.Path, f.Size, f.Mode)
	if err != nil {
		return err
	}
	w.n += int64(len(h)) + f.Size + padding(f.Size)
	_, err = w.buf.Write(h)
	return cause(err)
}

func (w *tarWriter) pad(size int64) error {
	_, err := w.buf.Write(make([]byte, padding(size)))
	return cause(err)
}

func (w *tarWriter) small(f File, data []byte) error {
	if err := w.header(f); err != nil {
		return err
	}
	if _, err := w.buf.Write(data); err != nil {
		return cause(err)
	}
	return w.pad(f.Size)
}

func (w *tarWriter) content(ctx context.Context, f File, c Content) (err error) {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if c.File == nil && c.Path == "" {
		if err := checkData(c.Data, f); err != nil {
			return err
		}
		return w.small(f, c.Data)
	}
	src, held, err := openContent(c, f)
	if err != nil {
		return err
	}
	if !held {
		defer func() { err = errors.Join(err, src.Close()) }()
	}
	if err := w.header(f); err != nil {
		return err
	}
	if err := w.buf.Flush(); err != nil {
		return cause(err)
	}
	if held {
		err = copyHeld(ctx, w.f, src, f)
	} else {
		err = copyHashed(ctx, w.f, src, f)
	}
	if err != nil {
		return err
	}
	return w.pad(f.Size)
}

// end writes the end of the tar and checks that the file has exactly the bytes that were meant to be written.
func (w *tarWriter) end() error {
	w.n += tarEnd
	if _, err := w.buf.Write(make([]byte, tarEnd)); err != nil {
		return cause(err)
	}
	if err := w.buf.Flush(); err != nil {
		return cause(err)
	}
	at, err := w.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return cause(err)
	}
	fi, err := w.f.Stat()
	if err != nil {
		return cause(err)
	}
	if at != w.n || fi.Size() != w.n {
		return fmt.Errorf("got a file of %d bytes written up to %d, want %d", fi.Size(), at, w.n)
	}
	return nil
}
