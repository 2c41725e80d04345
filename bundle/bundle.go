// Package bundle is the bundle format, version 1: its index, its layout as a tar and as a folder, how one is
// written, opened, verified and read at random without unpacking. docs/format.md is the normative text.
//
// A bundle is data from outside until Verify says otherwise: nothing here trusts a path, a size or a mode before the
// signed index vouches for it. Signatures themselves are package sign's.
package bundle
