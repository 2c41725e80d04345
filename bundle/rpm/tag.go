package rpm

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// tag names an entry of a header structure (rpm's rpmtag.h).
type tag uint32

const (
	tagHeaderImage      tag = 61
	tagHeaderSignatures tag = 62
	tagHeaderImmutable  tag = 63
	firstRealTag        tag = 100 // rpm's HEADER_I18NTABLE

	// Of the signature header.
	sigPublicKeys      tag = 266 // of the packager: never used
	sigDSAHeader       tag = 267 // over the main header; ECDSA and EdDSA come here too
	sigRSAHeader       tag = 268
	sigSHA1Header      tag = 269
	sigLongSize        tag = 270
	sigLongArchiveSize tag = 271
	sigSHA256Header    tag = 273
	sigFileSignatures  tag = 274 // of single files, for IMA
	sigFileSigLength   tag = 275
	sigVerity          tag = 276 // of single files, for fs-verity
	sigVerityAlgo      tag = 277
	sigOpenPGP         tag = 278 // rpm 6: base64 packets over the main header
	sigSHA3Header      tag = 279
	sigReserved        tag = 999  // rpm 6: room
	sigSize            tag = 1000 // header and payload, bytes
	sigPGP             tag = 1002 // over header and payload
	sigMD5             tag = 1004 // of header and payload
	sigGPG             tag = 1005
	sigPayloadSize     tag = 1007 // uncompressed
	sigReservedSpace   tag = 1008 // room

	// Of the main header.
	tagName              tag = 1000
	tagVersion           tag = 1001
	tagRelease           tag = 1002
	tagEpoch             tag = 1003
	tagSummary           tag = 1004
	tagDescription       tag = 1005
	tagBuildTime         tag = 1006
	tagBuildHost         tag = 1007
	tagSize              tag = 1009
	tagVendor            tag = 1011
	tagLicense           tag = 1014
	tagPackager          tag = 1015
	tagGroup             tag = 1016
	tagURL               tag = 1020
	tagArch              tag = 1022
	tagOldFilenames      tag = 1027
	tagFileSizes         tag = 1028
	tagFileModes         tag = 1030
	tagFileDevices       tag = 1033
	tagFileDigests       tag = 1035
	tagFileLinks         tag = 1036
	tagFileFlags         tag = 1037
	tagFileUsers         tag = 1039
	tagFileGroups        tag = 1040
	tagSourceRPM         tag = 1044
	tagArchiveSize       tag = 1046
	tagProvideName       tag = 1047
	tagRequireFlags      tag = 1048
	tagRequireName       tag = 1049
	tagRequireVersion    tag = 1050
	tagConflictFlags     tag = 1053
	tagConflictName      tag = 1054
	tagConflictVersion   tag = 1055
	tagChangelogTime     tag = 1080
	tagChangelogName     tag = 1081
	tagChangelogText     tag = 1082
	tagObsoleteName      tag = 1090
	tagSourcePackage     tag = 1106
	tagProvideFlags      tag = 1112
	tagProvideVersion    tag = 1113
	tagObsoleteFlags     tag = 1114
	tagObsoleteVersion   tag = 1115
	tagDirIndexes        tag = 1116
	tagBaseNames         tag = 1117
	tagDirNames          tag = 1118
	tagFileColors        tag = 1140
	tagLongFileSizes     tag = 5008
	tagLongSize          tag = 5009
	tagFileDigestAlgo    tag = 5011
	tagRecommendName     tag = 5046
	tagRecommendVersion  tag = 5047
	tagRecommendFlags    tag = 5048
	tagSuggestName       tag = 5049
	tagSuggestVersion    tag = 5050
	tagSuggestFlags      tag = 5051
	tagSupplementName    tag = 5052
	tagSupplementVersion tag = 5053
	tagSupplementFlags   tag = 5054
	tagEnhanceName       tag = 5055
	tagEnhanceVersion    tag = 5056
	tagEnhanceFlags      tag = 5057
	tagPayloadDigest     tag = 5092 // of the compressed payload, hexadecimal
	tagPayloadDigestAlgo tag = 5093 // an OpenPGP hash number
	tagPayloadDigestAlt  tag = 5097 // of the uncompressed payload
	tagPayloadSHA512     tag = 5121 // rpm 6
	tagPayloadSHA512Alt  tag = 5122
	tagPayloadSHA3       tag = 5123
	tagPayloadSHA3Alt    tag = 5124
)

// decoder reads typed values of an index and keeps the first error: a tag that is there but of another type.
type decoder struct {
	*index
	err error
}

func (d *decoder) wrong(t tag, e entry, want string) {
	if d.err == nil {
		d.err = fmt.Errorf("reading tag %d: got type %d with %d values, want %s: %w", t, e.kind, e.count, want, ErrMalformed)
	}
}

// text is the string of a tag, the first one of a translated string, "" when absent.
func (d *decoder) text(t tag) string {
	if list := d.texts(t); len(list) > 0 {
		return list[0]
	}
	return ""
}

func (d *decoder) texts(t tag) []string {
	e, ok := d.entries[t]
	if !ok {
		return nil
	}
	if e.kind != typeString && e.kind != typeStringArray && e.kind != typeI18NString {
		d.wrong(t, e, "strings")
		return nil
	}
	return strings.Split(string(e.data[:len(e.data)-1]), "\x00")
}

// number is the single value of a tag, 0 when absent.
func (d *decoder) number(t tag) int64 {
	e, ok := d.entries[t]
	if !ok {
		return 0
	}
	list := d.numbers(t)
	if len(list) != 1 {
		d.wrong(t, e, "one number")
		return 0
	}
	return list[0]
}

// numbers are the values of a tag. RPM has no negative ones but in int64, which are refused.
func (d *decoder) numbers(t tag) []int64 {
	e, ok := d.entries[t]
	if !ok {
		return nil
	}
	list := make([]int64, 0, e.count)
	for i := range e.count {
		switch e.kind {
		case typeInt16:
			list = append(list, int64(binary.BigEndian.Uint16(e.data[2*i:])))
		case typeInt32:
			list = append(list, int64(binary.BigEndian.Uint32(e.data[4*i:])))
		case typeInt64:
			list = append(list, int64(binary.BigEndian.Uint64(e.data[8*i:])))
		default:
			d.wrong(t, e, "numbers")
			return nil
		}
		if list[i] < 0 {
			d.wrong(t, e, "no negative number")
			return nil
		}
	}
	return list
}

// binary is the bytes of a tag, nil when absent.
func (d *decoder) binary(t tag) []byte {
	e, ok := d.entries[t]
	if !ok {
		return nil
	}
	if e.kind != typeBin {
		d.wrong(t, e, "bytes")
		return nil
	}
	return e.data
}
