package rpm

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
)

// signatureKinds are the tags that rpm 4.4 to 6.0 write into a signature header, with the type of each.
func signatureKinds() map[tag]uint32 {
	return map[tag]uint32{
		sigPublicKeys: typeStringArray, sigDSAHeader: typeBin, sigRSAHeader: typeBin, sigSHA1Header: typeString, sigLongSize: typeInt64,
		sigLongArchiveSize: typeInt64, sigSHA256Header: typeString, sigFileSignatures: typeStringArray, sigFileSigLength: typeInt32,
		sigVerity: typeStringArray, sigVerityAlgo: typeInt32, sigOpenPGP: typeStringArray, sigSHA3Header: typeString,
		sigReserved: typeBin, sigSize: typeInt32, sigPGP: typeBin, sigMD5: typeBin, sigGPG: typeBin, sigPayloadSize: typeInt32,
		sigReservedSpace: typeBin,
	}
}

// checkSignatureHeader requires that a signature header holds nothing but what rpm writes, in the way it writes it, and in
// room for more nothing: nobody signed it, and an altered entry must not make a digest or a signature go away.
func checkSignatureHeader(x *index) error {
	kinds := signatureKinds()
	for t, e := range x.entries {
		if kind, known := kinds[t]; !known || e.kind != kind {
			return fmt.Errorf("got tag %d of type %d in the signature header: %w", t, e.kind, ErrMalformed)
		}
		if number := e.kind == typeInt32 || e.kind == typeInt64; number && e.count != 1 || t == sigMD5 && e.count != md5.Size {
			return fmt.Errorf("got tag %d with %d values in the signature header: %w", t, e.count, ErrMalformed)
		}
		if (t == sigReserved || t == sigReservedSpace) && !isZero(e.data) {
			return fmt.Errorf("got data in the reserved space of the signature header: %w", ErrMalformed)
		}
	}
	return checkLayout(x)
}

// checkLayout requires that data follows data, with as many zeros between as alignment wants, and the region's trailer comes
// last.
func checkLayout(x *index) error {
	entries := slices.SortedFunc(maps.Values(x.entries), func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	start := introSize + (len(entries)+1)*entrySize
	trailer := int(parseEntryInfo(x.blob[introSize:]).offset)
	entries = append(entries, entry{at: trailer, data: make([]byte, entrySize)})
	end := 0
	for _, e := range entries {
		gap := map[uint32]int{typeInt16: -end & 1, typeInt32: -end & 3, typeInt64: -end & 7}[e.kind]
		if e.at != end+gap || !isZero(x.blob[start+end:start+e.at]) {
			return fmt.Errorf("got a signature header with data at %d, want it at %d: %w", e.at, end+gap, ErrMalformed)
		}
		end = e.at + len(e.data)
	}
	if start+end != len(x.blob) {
		return fmt.Errorf("got %d bytes after the signature header's data: %w", len(x.blob)-start-end, ErrMalformed)
	}
	return nil
}

func isZero(data []byte) bool { return len(bytes.Trim(data, "\x00")) == 0 }

// headerSignatures are those over the main header, wholeSignatures those over header and payload. In the slots that rpm had
// before version 6 a signature is alone and must be good; rpm 6 gathers those of any number of keys.
func headerSignatures(d *decoder) ([]*signature, error) {
	list, err := parseSignatures(d.binary(sigRSAHeader), d.binary(sigDSAHeader))
	if err != nil {
		return nil, err
	}
	for _, text := range d.texts(sigOpenPGP) {
		blob, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || base64.StdEncoding.EncodeToString(blob) != text { // the decoder passes over line breaks
			return nil, fmt.Errorf("got an OpenPGP signature in bad base64: %w", ErrBadSignature)
		}
		more, err := parseSignatures(blob)
		if err != nil {
			return nil, err
		}
		more[0].oneOfMany = true
		list = append(list, more[0])
	}
	return list, nil
}

func wholeSignatures(d *decoder) ([]*signature, error) {
	return parseSignatures(d.binary(sigPGP), d.binary(sigGPG))
}

// parseSignatures reads the blobs that are there.
func parseSignatures(blobs ...[]byte) ([]*signature, error) {
	var list []*signature
	for _, blob := range blobs {
		if blob == nil {
			continue
		}
		s, err := parseSignature(blob)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}
