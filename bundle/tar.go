package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"time"
)

// A tar of this format is a pure function of the index, the signatures and the files' bytes: entries in one order,
// headers with nothing to choose. The writer makes the headers, and the reader makes them again and compares bytes,
// so an entry with anything unusual about it is refused without a rule of its own.

const block = 512 // bytes: the unit of tar

// tarEnd is what follows the last entry: two zero blocks, no more.
const tarEnd = 2 * block

// tarHeader returns the header blocks of one entry. A PAX header for path or size comes first where the ustar fields
// do not hold them (a path that is not ASCII or is over 100 bytes, a size of 8 GiB and more).
func tarHeader(path string, size int64, mode string) ([]byte, error) {
	h := tar.Header{
		Typeflag: tar.TypeReg,
		Name:     path,
		Size:     size,
		Mode:     int64(File{Mode: mode}.perm()),
		ModTime:  time.Unix(0, 0),
		// Without this, paths up to 255 bytes would be split over two fields of ustar instead.
		Format: tar.FormatPAX,
	}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&h); err != nil {
		return nil, fmt.Errorf("making the tar header of %q: %w", path, err)
	}
	return b.Bytes(), nil
}

// padding is the number of zero bytes after n bytes of content.
func padding(n int64) int64 { return -n & (block - 1) }
