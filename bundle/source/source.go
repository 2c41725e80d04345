// Package source says what an entry of the manifest means: which files it stands for, where they lie, which digest
// each has and what vouches for it.
package source
