package rpm

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Keyring is the set of OpenPGP keys that may have signed a package.
type Keyring struct {
	keys map[uint64][]signingKey
}

// signingKey is a primary key or subkey, with what its owner says about it.
type signingKey struct {
	public  *packet.PublicKey
	primary *packet.PublicKey
	revoked bool
	cannot  bool // not meant for signing
	periods []period
}

// period is a time in which a key is valid. end is zero when there is none.
type period struct {
	start, end time.Time
}

// ParseKeys reads one or more ASCII-armored public key blocks, as in the gpgkey files of repositories. Text around the
// blocks is passed over. Keys that cannot sign are left out; a file without any key that can is an error.
func ParseKeys(armored []byte) (*Keyring, error) {
	k := &Keyring{keys: map[uint64][]signingKey{}}
	rest := bufio.NewReader(bytes.NewReader(armored)) // of armor.Decode's own kind: it would read ahead in another
	for {
		block, err := armor.Decode(rest)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading OpenPGP keys: %w", err)
		}
		if block.Type != openpgp.PublicKeyType {
			return nil, fmt.Errorf("reading OpenPGP keys: got a block of type %q, want %q", block.Type, openpgp.PublicKeyType)
		}
		entities, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return nil, fmt.Errorf("reading OpenPGP keys: %w", err)
		}
		for _, e := range entities {
			k.add(e)
		}
	}
	if len(k.keys) == 0 {
		return nil, fmt.Errorf("reading OpenPGP keys: no key that can sign")
	}
	return k, nil
}

func (k *Keyring) add(e *openpgp.Entity) {
	self, _ := e.PrimarySelfSignature() // verified by ReadKeyRing, as are the bindings of subkeys and all revocations
	if self == nil {
		return
	}
	primary := signingKey{
		public:  e.PrimaryKey,
		primary: e.PrimaryKey,
		revoked: len(e.Revocations) > 0,
		cannot:  self.FlagsValid && !self.FlagSign,
		periods: []period{validity(e.PrimaryKey, self)},
	}
	k.put(primary)
	for _, sub := range e.Subkeys {
		k.put(signingKey{
			public:  sub.PublicKey,
			primary: e.PrimaryKey,
			revoked: primary.revoked || len(sub.Revocations) > 0,
			cannot:  !sub.Sig.FlagsValid || !sub.Sig.FlagSign, // only with this flag is the cross-signature there
			periods: append([]period{validity(sub.PublicKey, sub.Sig)}, primary.periods...),
		})
	}
}

func (k *Keyring) put(key signingKey) {
	if key.public.PubKeyAlgo.CanSign() && !key.cannot {
		k.keys[key.public.KeyId] = append(k.keys[key.public.KeyId], key)
	}
}

func validity(key *packet.PublicKey, self *packet.Signature) period {
	p := period{start: key.CreationTime}
	if self.KeyLifetimeSecs != nil && *self.KeyLifetimeSecs != 0 {
		p.end = key.CreationTime.Add(time.Duration(*self.KeyLifetimeSecs) * time.Second)
	}
	return p
}

func (p period) contains(t time.Time) bool {
	return !t.Before(p.start) && (p.end.IsZero() || t.Before(p.end))
}

// validAt says whether the key, and the primary key it belongs to, were valid at a time.
func (s signingKey) validAt(t time.Time) bool {
	for _, p := range s.periods {
		if !p.contains(t) {
			return false
		}
	}
	return true
}
