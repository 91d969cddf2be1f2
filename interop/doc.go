// Package interop drives other people's client libraries against a running
// Roster. It has tests only, and is a module of its own so that their
// dependencies are not the product's.
package interop
