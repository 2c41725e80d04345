// Package assemble makes a lock out of a manifest (Lock) and a bundle out of a lock (Fetch), one call each.
//
// A bundle is a pure function of the lock, the manifest's text, the local files that it names and the signing key: what
// is derived (unpacked programs, repository metadata, mirror documents, the SBOM) is made of the inputs alone, in one
// order, and no clock, folder, environment or state of the cache has a part in it. Everything is verified before it is
// used, and the output appears whole or not at all. Large files are never in memory.
package assemble
