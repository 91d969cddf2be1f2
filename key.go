package roster

import (
	"slices"
	"time"
)

// A Scope is one thing that a key may do.
type Scope string

// The scopes. Write implies read of the same type. ScopeAdmin on a directory's
// key manages that directory alone; on an operator key it manages the server.
const (
	ScopeUsersRead   Scope = "users:read"
	ScopeUsersWrite  Scope = "users:write"
	ScopeGroupsRead  Scope = "groups:read"
	ScopeGroupsWrite Scope = "groups:write"
	ScopeEventsRead  Scope = "events:read"
	// ScopeWorkflowsRun starts, reads, cancels and retries the runs of a directory's
	// workflows. To deploy one takes ScopeAdmin: runs act by the key that has
	// deployed, so that who may start one needs no right to what it does.
	ScopeWorkflowsRun Scope = "workflows:run"
	ScopeAdmin        Scope = "admin"
	// ScopeMe reads and writes the one user that the key is bound to, as /Me.
	ScopeMe Scope = "me"
)

// Scopes are the scopes of any key, in the order of the documentation. ScopeMe
// is beside them: it is for a key that is bound to a user.
var Scopes = []Scope{ScopeUsersRead, ScopeUsersWrite, ScopeGroupsRead, ScopeGroupsWrite, ScopeEventsRead, ScopeWorkflowsRun, ScopeAdmin}

// A Key is an API key as the server keeps it: never the key itself, which is
// shown once, but its SHA-256 digest and its first characters.
type Key struct {
	ID        string    `json:"id"`
	Directory string    `json:"directory,omitempty"` // empty for an operator key, which belongs to no directory
	Name      string    `json:"name"`
	User      string    `json:"user,omitempty"` // the id of the user that /Me is; empty: the key is bound to none
	Prefix    string    `json:"prefix"`         // the first characters of the key, to tell keys apart
	Scopes    []Scope   `json:"scopes"`
	Digest    [32]byte  `json:"-"`                  // SHA-256 of the whole key
	Created   time.Time `json:"created"`            // UTC, microseconds
	Expires   time.Time `json:"expiresAt,omitzero"` // zero: never
	Revoked   time.Time `json:"revokedAt,omitzero"` // zero: not revoked
	LastUsed  time.Time `json:"lastUsed,omitzero"`  // zero: never; written at most once a minute
}

// Live reports whether k may be used at the time now.
func (k *Key) Live(now time.Time) bool {
	return (k.Revoked.IsZero() || now.Before(k.Revoked)) && (k.Expires.IsZero() || now.Before(k.Expires))
}

// Operator reports whether k belongs to no directory and so reaches them all.
func (k *Key) Operator() bool { return k.Directory == "" }

// Allows reports whether k has scope s: by name, or because it may write what
// s reads. ScopeAdmin allows everything within the key's reach.
func (k *Key) Allows(s Scope) bool {
	if slices.Contains(k.Scopes, s) || slices.Contains(k.Scopes, ScopeAdmin) {
		return true
	}
	switch s {
	case ScopeUsersRead:
		return slices.Contains(k.Scopes, ScopeUsersWrite)
	case ScopeGroupsRead:
		return slices.Contains(k.Scopes, ScopeGroupsWrite)
	}
	return false
}
