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

// tarHeader returns the header blocks of one entry: one block of ustar, and before it a PAX header for path or size
// where the fields of ustar do not hold them (a path that is not ASCII or has no slash to be split at into 155 and
// 100 bytes, a size of 8 GiB and more). A new version of archive/tar that chose otherwise would make another format;
// a test holds the bytes.
func tarHeader(path string, size int64, mode string) ([]byte, error) {
	h := tar.Header{
		Typeflag: tar.TypeReg,
		Name:     path,
		Size:     size,
		Mode:     int64(File{Mode: mode}.perm()),
		ModTime:  time.Unix(0, 0),
		Format:   tar.FormatPAX, // or plain ustar where that suffices; never GNU's
	}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&h); err != nil {
		return nil, fmt.Errorf("making the tar header of %q: %w", path, err)
	}
	return b.Bytes(), nil
}

// padding is the number of zero bytes after n bytes of content.
func padding(n int64) int64 { return -n & (block - 1) }
