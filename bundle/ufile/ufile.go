// Package ufile holds the facts of the UFile (US3) wire protocol that a client and a server must agree on: ETags,
// request signatures, return codes, limits, and how the paths of a bundle become object keys.
//
// Everything here is a pure function of its arguments. Sending and answering requests is for packages store and serve.
package ufile

// Limits of the service.
const (
	// BlockSize is the number of bytes that an ETag hashes as one block, and of every part of a multipart upload but
	// the last.
	BlockSize = 4 << 20
	// MaxPut is the largest body, in bytes, of a PUT that is not a part.
	MaxPut = 512 << 20
	// MaxForm is the largest file, in bytes, of a POST form.
	MaxForm = 1 << 30
	// MaxCopy is the largest object, in bytes, that is copied by one request.
	MaxCopy = 100 << 20
	// MaxObject is the largest object, in bytes.
	MaxObject = 5 << 40
	// MaxParts is the number of parts of the largest object. Parts count from 0.
	MaxParts = MaxObject / BlockSize
	// MaxKey is the longest key, in bytes of UTF-8.
	MaxKey = 1024
	// MaxMeta is the room, in bytes, for the names and values of an object's metadata.
	MaxMeta = 8 << 10
	// MaxList is the most entries of one page of a listing.
	MaxList = 1000
)

// Headers of the protocol.
const (
	// MetaPrefix begins the header of each of an object's own metadata; names are letters, digits and '-'.
	MetaPrefix = "X-Ufile-Meta-"
	// MetaSHA256 carries the sha256 of an object that offbake put, in lower-case hex.
	MetaSHA256 = MetaPrefix + "Sha256"
	// CopySource names the object that a PUT copies, as /BUCKET/KEY; CopySourceRange the bytes of it that a part takes.
	CopySource      = "X-Ufile-Copy-Source"
	CopySourceRange = "X-Ufile-Copy-Source-Range"
	// MetadataDirective says whether a copy has its source's metadata (COPY) or the request's (REPLACE).
	MetadataDirective = "X-Ufile-Metadata-Directive"
	// ObjectACL is what PUT ?acl sets.
	ObjectACL = "X-Ufile-Object-Acl"
	// SessionHeader names the request in every answer.
	SessionHeader = "X-SessionId"
)

// The query of a presigned URL.
const (
	QueryExpires   = "Expires" // Unix seconds
	QuerySignature = "Signature"
	QueryPublicKey = "UCloudPublicKey"
)
