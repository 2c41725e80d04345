// Package assemble makes a lock out of a manifest, and a bundle out of a lock.
package assemble
