package rpm_test

import (
	"bytes"
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/internal/faulttest"
)

// signedForm is a small package with one kind of signature.
type signedForm struct {
	name   string
	file   []byte
	public []byte // the key that signed it
	rpm    bool   // rpm 4.18 can judge it
}

// signedForms are packages of rpmbuild, signed by rpmsign with keys of gpg, and two kinds that rpm 4.18 does not make: what
// CentOS 7 has, and what rpm 6 makes.
func signedForms(tb testing.TB) []signedForm {
	tb.Helper()
	path := faulttest.MustBuildRPM(tb, tb.TempDir(), faulttest.RPMSpec{Name: "small", Description: "x", Tags: "%define __gpg_reserved_space 64\n",
		Files: map[string]faulttest.RPMFile{"/usr/share/small": {Content: "small\n"}}}, nil)
	unsigned, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	gpg := newGPG(tb)
	rsaKey, dsaKey, edKey, master := gpg.newKey("rsa2048", "sign"), gpg.newKey("dsa1024", "sign"), gpg.newKey("ed25519", "sign"), gpg.newKey("ed25519", "cert")
	gpg.run("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-add-key", master, "ed25519", "sign", "never")
	form := func(name, key string, args ...string) signedForm {
		return signedForm{name, gpg.rpmsign(key, unsigned, args...), gpg.public(key), true}
	}
	forms := []signedForm{
		form("RSA over the header", rsaKey), form("RSA over the header and over both", rsaKey, "--rpmv3"),
		form("DSA over the header", dsaKey), form("DSA over the header and over both", dsaKey, "--rpmv3"),
		form("EdDSA over the header", edKey), form("EdDSA over the header and over both", edKey, "--rpmv3"),
		form("EdDSA subkey over the header", master),
	}
	header, err := readHeader(unsigned)
	if err != nil {
		tb.Fatal(err)
	}
	main, both := unsigned[header.Start:header.End], unsigned[header.Start:]
	old, modern := newKey(tb, packet.PubKeyAlgoRSA, 0), newKey(tb, packet.PubKeyAlgoECDSA, 0)
	sum := md5.Sum(both)
	common := []item{text(sha1Tag, fmt.Sprintf("%x", sha1.Sum(main))), int32s(sizeTag, uint32(len(both)))}
	v3 := func(hash crypto.Hash, withHeader bool) []byte {
		sigs := append(slices.Clone(common), bin(pgpTag, signV3(tb, old, both, hash)), bin(md5Tag, sum[:]), int32s(1007, 42))
		if withHeader {
			sigs = append([]item{bin(rsaTag, signV3(tb, old, main, hash))}, sigs...)
		}
		return assemble(sigs, main, unsigned[header.End:])
	}
	b64 := base64.StdEncoding.EncodeToString(signV4(tb, modern, main, time.Time{}))
	return append(forms,
		signedForm{"version 3 RSA over the header and over both, as CentOS 7", v3(crypto.SHA256, true), armored(tb, old), true},
		signedForm{"version 3 RSA with SHA-1 over both alone, as CentOS 5", v3(crypto.SHA1, false), armored(tb, old), true},
		signedForm{"ECDSA over the header", assemble([]item{bin(dsaTag, signV4(tb, modern, main, time.Time{})),
			text(sha256Tag, fmt.Sprintf("%x", sha256.Sum256(main)))}, main, unsigned[header.End:]), armored(tb, modern), false},
		signedForm{"ECDSA as rpm 6 has it", assemble([]item{text(sha256Tag, fmt.Sprintf("%x", sha256.Sum256(main))),
			texts(openPGPTag, b64), bin(999, make([]byte, 16))}, main, unsigned[header.End:]), armored(tb, modern), false})
}

// dataOf is where the data of a tag is in the signature header, from and to; the same twice when it is not there.
func dataOf(file []byte, tag int) (from, to int) {
	const sizeOf = "\x00\x01\x01\x02\x04\x08\x00\x01" // of the types that count
	count := int(file[96+11])
	for e := range count {
		entry := file[96+16*(e+1):][:16]
		if int(binary.BigEndian.Uint32(entry)) == tag {
			from = 96 + 16*(count+1) + int(binary.BigEndian.Uint32(entry[8:]))
			return from, from + int(binary.BigEndian.Uint32(entry[12:]))*int(sizeOf[entry[7]])
		}
	}
	return 0, 0
}

// unsealed says which bytes of a package nothing in it covers, as Verify's contract lists them: the lead but for magic,
// major version and type of signature, and the size of the uncompressed payload. More are those of the tags given.
func unsealed(file []byte, more ...int) func(i int) bool {
	return func(i int) bool {
		for _, tag := range append(more, 1007) {
			if from, to := dataOf(file, tag); i >= from && i < to {
				return true
			}
		}
		return i == 5 || i >= 6 && i < 78 || i >= 80 && i < 96
	}
}

// flips alters each bit of file that is in turn, and returns which bytes have one that accepted does not refuse.
func flips(file []byte, bits func(i int) []int, accepted func(file []byte) bool) (tried int, unseen []int) {
	workers := runtime.GOMAXPROCS(0)
	found := make([][]int, workers)
	var count atomic.Int64
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			mine := bytes.Clone(file)
			for i := w; i < len(mine); i += workers {
				for _, bit := range bits(i) {
					mine[i] ^= 1 << bit
					count.Add(1)
					if accepted(mine) {
						found[w] = append(found[w], i)
					}
					mine[i] ^= 1 << bit
				}
			}
		})
	}
	group.Wait()
	unseen = slices.Concat(found...)
	slices.Sort(unseen)
	return int(count.Load()), slices.Compact(unseen)
}

// sweptBits are all bits of the bytes from the end of the lead to a place, and one of each byte before and of each stride-th
// byte after; all bits in the long version.
func sweptBits(place, stride int) func(i int) []int {
	whole := os.Getenv("OFFBAKE_SWEEP") == "whole"
	return func(i int) []int {
		switch {
		case whole || i >= 96 && i < place:
			return []int{0, 1, 2, 3, 4, 5, 6, 7}
		case i < 96 || i%stride == 0:
			return []int{i / stride % 8}
		}
		return nil
	}
}

// indexEnd is where the index of the signature header ends: what is before it says what all the rest means.
func indexEnd(file []byte) int { return 96 + 16*(int(file[96+11])+1) }

// TestVerifySweep has packages of each kind of signature.
func TestVerifySweep(t *testing.T) {
	t.Parallel()
	forms := signedForms(t)
	t.Run("altered", func(t *testing.T) { testAltered(t, forms) })
	t.Run("as rpm", func(t *testing.T) { testAgreesWithRPM(t, forms) })
}

// testAltered alters a bit of each byte of a package of each kind of signature, and every bit of the signature
// header's index; in the long version every bit of all. What Verify does not refuse, and nothing else, is what its contract
// leaves to a digest of the whole file.
func testAltered(t *testing.T, forms []signedForm) {
	for _, form := range forms {
		keys := keyring(t, form.public)
		if _, err := verify(form.file, keys); err != nil {
			t.Errorf("%s: %v", form.name, err)
			continue
		}
		tried, unseen := flips(form.file, sweptBits(indexEnd(form.file), 1), func(file []byte) bool {
			_, err := verify(file, keys)
			return err == nil
		})
		allowed := unsealed(form.file)
		for _, i := range unseen {
			if !allowed(i) {
				t.Errorf("%s: byte %d of %d altered, and not refused", form.name, i, len(form.file))
			}
		}
		if len(unseen) > 96+4 {
			t.Errorf("%s: got %d bytes that Verify leaves to the file's digest", form.name, len(unseen))
		}
		t.Logf("%s: %d bits altered, %d bytes left to the file's digest", form.name, tried, len(unseen))
	}
}

// TestVerifyHeadersSweep alters the headers of real packages: every bit of the signature header's index, and one of each byte
// of the lead and of some 1000 bytes after the index; in the long version every bit. Their payload is not there, and with it
// what says whether what covers it is good: signature, MD5 and size of both.
func TestVerifyHeadersSweep(t *testing.T) {
	t.Parallel()
	var armored []byte
	for _, name := range []string{"RPM-GPG-KEY-CentOS-7", "RPM-GPG-KEY-docker-ce"} {
		data, err := os.ReadFile("testdata/keys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		armored = append(append(armored, data...), '\n')
	}
	keys := keyring(t, armored)
	paths, err := filepath.Glob("testdata/headers/*.hdr")
	if err != nil || len(paths) != 6 {
		t.Fatalf("got %v, %v, want six headers", paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		header, err := readHeader(data)
		if err != nil {
			t.Fatal(err)
		}
		tried, unseen := flips(data, sweptBits(indexEnd(data), 1+len(data)/1000), func(file []byte) bool {
			_, err := rpm.VerifyHeader(bytes.NewReader(file), keys)
			return err == nil
		})
		nothing, ofPayload := unsealed(data), 0
		allowed := unsealed(data, sizeTag, pgpTag, md5Tag)
		for _, i := range unseen {
			if !allowed(i) {
				t.Errorf("%s: byte %d altered, and not refused; the header begins at %d", path, i, header.Start)
			}
			if !nothing(i) {
				ofPayload++
			}
		}
		t.Logf("%s: %d bits altered; not seen: %d bytes of what covers the payload, %d of the lead and what nothing covers",
			filepath.Base(path), tried, ofPayload, len(unseen)-ofPayload)
	}
}

// judge has keys for Verify and, in a database of its own, for stock rpm.
type judge struct {
	keys *rpm.Keyring
	dir  string
}

func newJudge(tb testing.TB, public []byte) judge {
	tb.Helper()
	j := judge{keyring(tb, public), tb.TempDir()}
	writeFiles(tb, j.dir, map[string][]byte{"key.asc": public})
	if out, err := j.rpmkeys("--import", j.dir+"/key.asc"); err != nil {
		tb.Fatalf("importing a key: %v: %s", err, out)
	}
	return j
}

func (j judge) rpmkeys(args ...string) (string, error) {
	cmd := exec.Command("rpmkeys", append([]string{"--dbpath", j.dir + "/db", "--define", "_pkgverify_level all"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+j.dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// rpm is stock rpm's verdict on a package: nil, or what is wrong.
func (j judge) rpm(tb testing.TB, file []byte) error {
	tb.Helper()
	writeFiles(tb, j.dir, map[string][]byte{"x.rpm": file})
	out, err := j.rpmkeys("-Kv", j.dir+"/x.rpm")
	switch {
	case err == nil:
		return nil
	case strings.Contains(out, "NOKEY"):
		return rpm.ErrUnknownKey
	case strings.Contains(out, "NOTFOUND") && !strings.Contains(out, "BAD"):
		return rpm.ErrUnsigned
	}
	return errors.New(out)
}

// testAgreesWithRPM holds verdicts against those of rpmkeys -K with rpm's strictest level.
func testAgreesWithRPM(t *testing.T, forms []signedForm) {
	stranger := newJudge(t, armored(t, newKey(t, packet.PubKeyAlgoRSA, 0)))
	for _, form := range forms {
		if !form.rpm {
			continue
		}
		maker := newJudge(t, form.public)
		h, err := readHeader(form.file)
		if err != nil {
			t.Fatal(err)
		}
		signature := int64(indexEnd(form.file) + 60) // within the first signature
		for _, tt := range []struct {
			name  string
			alter int64 // byte that is altered; 0 for none
			judge judge
			want  error // nil, or that both say so; ErrBadSignature for any fault
		}{
			{"as signed", 0, maker, nil},
			{"another key", 0, stranger, rpm.ErrUnknownKey},
			{"the signature altered", signature, maker, rpm.ErrBadSignature},
			{"the header altered", h.Start + 40, maker, rpm.ErrBadSignature},
			{"the header's end altered", h.End - 20, maker, rpm.ErrBadSignature},
			{"the payload altered", h.End + 1, maker, rpm.ErrBadSignature},
		} {
			file := bytes.Clone(form.file)
			if tt.alter > 0 {
				file[tt.alter] ^= 4
			}
			_, ours := verify(file, tt.judge.keys)
			theirs := tt.judge.rpm(t, file)
			if (ours == nil) != (tt.want == nil) || (theirs == nil) != (tt.want == nil) {
				t.Errorf("%s, %s: got %v, rpm says %v, want %v", form.name, tt.name, ours, theirs, tt.want)
			}
			if tt.want == rpm.ErrUnknownKey && (!errors.Is(ours, tt.want) || !errors.Is(theirs, tt.want)) {
				t.Errorf("%s, %s: got %v, rpm says %v, want %v", form.name, tt.name, ours, theirs, tt.want)
			}
		}
		unsigned := assemble([]item{text(sha256Tag, fmt.Sprintf("%x", sha256.Sum256(form.file[h.Start:h.End])))},
			form.file[h.Start:h.End], form.file[h.End:])
		_, ours := verify(unsigned, maker.keys)
		if theirs := maker.rpm(t, unsigned); !errors.Is(ours, rpm.ErrUnsigned) || !errors.Is(theirs, rpm.ErrUnsigned) {
			t.Errorf("%s, not signed: got %v, rpm says %v, want %v", form.name, ours, theirs, rpm.ErrUnsigned)
		}
	}
}
