package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// chunk is how many bytes are copied between two looks at the context.
const chunk = 64 << 20

// copyHeld copies a file that was hashed when it came in from its start, without looking at the bytes: in the kernel
// where that can be done (copy_file_range). dst is written at its offset.
func copyHeld(ctx context.Context, dst, src *os.File, f File) error {
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading %q: %w", src.Name(), cause(err))
	}
	for left := f.Size; left > 0; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := dst.ReadFrom(&io.LimitedReader{R: src, N: min(left, chunk)})
		if err != nil {
			return fmt.Errorf("copying %q: %w", f.Path, cause(err))
		}
		if n == 0 {
			return sizeMismatch(f, f.Size-left)
		}
		left -= n
	}
	return nil
}

// copyHashed copies src to dst and checks size and digest on the way.
func copyHashed(ctx context.Context, dst io.Writer, src io.ReadCloser, f File) error {
	return pump(ctx, dst, newChecked(src, f), f)
}

// pump copies the content of f from a reader that checks it.
func pump(ctx context.Context, dst io.Writer, src io.Reader, f File) error {
	buf := make([]byte, min(f.Size+1, bufferSize))
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := src.Read(buf)
		if _, werr := dst.Write(buf[:n]); werr != nil {
			return fmt.Errorf("writing %q: %w", f.Path, cause(werr))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// checkData compares small content with the index.
func checkData(data []byte, f File) error {
	if int64(len(data)) != f.Size {
		return sizeMismatch(f, int64(len(data)))
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != f.SHA256 {
		return &MismatchError{Path: f.Path, Got: "sha256 " + got, Want: f.SHA256}
	}
	return nil
}

// openContent opens the file behind a content and checks its kind and size. held says that its bytes were hashed by
// this process through this descriptor, which the caller of the package closes.
func openContent(c Content, f File) (src *os.File, held bool, err error) {
	src, held = c.File, true
	if src == nil {
		if src, err = os.Open(c.Path); err != nil {
			return nil, false, fmt.Errorf("reading %q: %w", c.Path, cause(err))
		}
		held = false
	}
	fi, err := src.Stat()
	switch {
	case err != nil:
		err = fmt.Errorf("reading %q: %w", src.Name(), cause(err))
	case !fi.Mode().IsRegular():
		err = fmt.Errorf("reading %q: not a regular file", src.Name())
	case fi.Size() != f.Size:
		err = sizeMismatch(f, fi.Size())
	}
	if err != nil && !held {
		src.Close()
	}
	return src, held, err
}
