package directory

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// keyPrefix begins every key, so that a leaked one is found by a scanner.
const keyPrefix = "rk_"

// MinGivenKey is the length, in bytes, of the shortest key that an operator may
// bring along instead of having one made.
const MinGivenKey = 16

// newKey returns a key of 256 random bits.
func newKey() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return keyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// Authenticate returns the live key that token is, at most CacheFor old; any
// other token is a 401.
func (s *Service) Authenticate(ctx context.Context, token string) (*roster.Key, error) {
	now := s.now()
	digest := sha256.Sum256([]byte(token))
	s.mu.RLock()
	c, ok := s.keys[digest]
	generation := s.generation
	s.mu.RUnlock()
	if !ok || !now.Before(c.until) {
		var k *roster.Key
		err := s.store.View(ctx, func(r store.Reader) (err error) {
			k, err = r.GetKey(digest)
			return err
		})
		if errors.Is(err, store.ErrNotFound) {
			return nil, unauthorized("the key is not known here")
		}
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		c = cached[*roster.Key]{k, now.Add(CacheFor)}
		s.mu.Lock()
		if s.generation == generation {
			s.keys[digest] = c
		}
		s.mu.Unlock()
	}
	if subtle.ConstantTimeCompare(c.value.Digest[:], digest[:]) != 1 || !c.value.Live(now) {
		return nil, unauthorized("the key has expired or was revoked")
	}
	s.touch(c.value, now)
	return c.value, nil
}

func unauthorized(why string) *scim.Error {
	return scim.Errorf(401, "", "Unauthorized; %s. Send a directory's key as: Authorization: Bearer rk_…", why)
}

// touch notes that k was used, at most once a minute; Flush writes it down.
func (s *Service) touch(k *roster.Key, now time.Time) {
	s.usedMu.Lock()
	if now.Sub(s.used[k.ID]) >= time.Minute {
		s.used[k.ID] = now
	}
	s.usedMu.Unlock()
}

// Flush writes down when keys were used since the last Flush.
func (s *Service) Flush(ctx context.Context) error {
	s.usedMu.Lock()
	used := s.used
	s.used = make(map[string]time.Time)
	s.usedMu.Unlock()
	if len(used) == 0 {
		return nil
	}
	return s.store.Touch(ctx, used)
}

// A NewKey is what a key is to be.
type NewKey struct {
	Directory string // empty for an operator key
	Name      string
	Scopes    []roster.Scope // at least one
	Expires   time.Time      // zero: never
	User      string         // the id of the user of the directory that /Me is; empty: none
	// Given is the key itself, MinGivenKey bytes or more; empty: one is made.
	Given string

	replaces *[32]byte // the digest of the key that ends after overlap
	overlap  time.Duration
}

// CreateKey makes a key and returns it with its secret, which is not kept. by
// is the key that asks for it: on a directory's key nobody mints more than they
// have. nil is the operator at the machine.
func (s *Service) CreateKey(ctx context.Context, by *roster.Key, n NewKey) (*roster.Key, string, error) {
	now := s.clock()
	n.Name = strings.TrimSpace(n.Name)
	if !isName(n.Name) {
		return nil, "", scim.Errorf(400, scim.InvalidValue, "name must be 1 to 200 characters on one line: say who uses the key")
	}
	if len(n.Scopes) == 0 {
		return nil, "", scim.Errorf(400, scim.InvalidValue, "scopes is required: some of %s", scopeNames())
	}
	var scopes []roster.Scope
	for _, sc := range n.Scopes {
		if !slices.Contains(roster.Scopes, sc) && sc != roster.ScopeMe {
			return nil, "", scim.Errorf(400, scim.InvalidValue, "no scope %q: there are %s, and %s for a key of one user", clip(string(sc)), scopeNames(), roster.ScopeMe)
		}
		if sc == roster.ScopeMe && n.User == "" {
			return nil, "", scim.Errorf(400, scim.InvalidValue, "the scope %s is for a key of one user: give user, its id", sc)
		}
		if by != nil && !by.Operator() && !by.Allows(sc) {
			return nil, "", scim.Errorf(403, "", "Forbidden; a key cannot make one that may do more than itself: it lacks %s", sc)
		}
		if !slices.Contains(scopes, sc) {
			scopes = append(scopes, sc)
		}
	}
	if n.User != "" && n.Directory == "" {
		return nil, "", scim.Errorf(400, scim.InvalidValue, "an operator key has no user: make a key of the user's directory")
	}
	if !n.Expires.IsZero() && !n.Expires.After(now) {
		return nil, "", scim.Errorf(400, scim.InvalidValue, "expiresAt is in the past")
	}
	n.Expires = n.Expires.UTC().Truncate(time.Microsecond)
	if by != nil && !by.Operator() {
		end := by.Expires
		if end.IsZero() || !by.Revoked.IsZero() && by.Revoked.Before(end) {
			end = by.Revoked // in the overlap of a rotation
		}
		if !end.IsZero() && (n.Expires.IsZero() || n.Expires.After(end)) {
			return nil, "", scim.Errorf(403, "", "Forbidden; a key cannot make one that lives longer than itself: give expiresAt, %s at the latest", end.Format(time.RFC3339))
		}
	}
	secret := n.Given
	if secret == "" {
		secret = newKey()
	} else if len(secret) < MinGivenKey {
		return nil, "", scim.Errorf(400, scim.InvalidValue, "a key must have %d bytes or more", MinGivenKey)
	}
	k := &roster.Key{
		ID: uuid.NewString(), Directory: n.Directory, Name: n.Name, Scopes: scopes, User: n.User,
		Prefix: prefixOf(secret), Digest: sha256.Sum256([]byte(secret)), Created: now, Expires: n.Expires,
	}
	err := s.store.Update(ctx, func(tx store.Tx) error {
		if n.replaces != nil {
			if err := s.endKey(tx, *n.replaces, n.overlap); err != nil {
				return err
			}
		}
		if k.Directory != "" {
			if _, err := tx.GetDirectory(k.Directory); err != nil {
				return err
			}
		}
		if k.User != "" {
			if err := findUser(tx, k); err != nil {
				return err
			}
		}
		return tx.CreateKey(k)
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, "", NoDirectory(n.Directory)
	case errors.Is(err, store.ErrExists):
		return nil, "", scim.Errorf(409, scim.Uniqueness, "this key exists already")
	case err != nil:
		return nil, "", err
	}
	return k, secret, nil
}

// findUser demands that the user of a new key is one of its directory.
func findUser(tx store.Tx, k *roster.Key) error {
	if isID(k.User) {
		found, err := tx.Find(k.Directory, []string{k.User})
		if err != nil || len(found) > 0 && found[0].Type == "User" {
			return err
		}
	}
	return scim.Errorf(400, scim.InvalidValue, "user %s is no user of this directory: send the id of one", clip(k.User))
}

// prefixOf returns what may be shown of a key: little of a made one, nothing
// of a given one, which may be short.
func prefixOf(secret string) string {
	if strings.HasPrefix(secret, keyPrefix) && len(secret) > 40 {
		return secret[:len(keyPrefix)+6]
	}
	return ""
}

func scopeNames() string {
	list := make([]string, len(roster.Scopes))
	for i, s := range roster.Scopes {
		list[i] = string(s)
	}
	return strings.Join(list, ", ")
}

// ListKeys returns the keys of a directory, or of the operators for "", in the
// order of their creation.
func (s *Service) ListKeys(ctx context.Context, directory string) (list []*roster.Key, err error) {
	err = s.store.View(ctx, func(r store.Reader) (err error) {
		list, err = r.ListKeys(directory)
		return err
	})
	return list, err
}

// RotateKey makes a new key with the name and scopes of the key id, and ends
// the old one after overlap (0: at once). The new one's expiry is expires; zero
// keeps the old one's.
func (s *Service) RotateKey(ctx context.Context, by *roster.Key, directory, id string, overlap time.Duration, expires time.Time) (*roster.Key, string, error) {
	if overlap < 0 || overlap > 90*24*time.Hour {
		return nil, "", scim.Errorf(400, scim.InvalidValue, "overlap must be from 0 to 2160h")
	}
	old, err := s.findKey(ctx, directory, id)
	if err != nil {
		return nil, "", err
	}
	if !old.Live(s.now()) {
		return nil, "", scim.Errorf(409, "", "key %s has expired or was revoked: create a new one", id)
	}
	if expires.IsZero() {
		expires = old.Expires
	}
	k, secret, err := s.CreateKey(ctx, by, NewKey{
		Directory: directory, Name: old.Name, Scopes: old.Scopes, Expires: expires, User: old.User,
		replaces: &old.Digest, overlap: overlap,
	})
	s.forget(old)
	return k, secret, err
}

// RevokeKey ends a key at once; on other nodes within CacheFor.
func (s *Service) RevokeKey(ctx context.Context, directory, id string) error {
	k, err := s.findKey(ctx, directory, id)
	if err != nil {
		return err
	}
	err = s.store.Update(ctx, func(tx store.Tx) error { return s.endKey(tx, k.Digest, 0) })
	s.forget(k)
	var e *scim.Error
	if errors.As(err, &e) && e.Status == 409 {
		return nil // it has ended already
	}
	return err
}

func (s *Service) findKey(ctx context.Context, directory, id string) (*roster.Key, error) {
	list, err := s.ListKeys(ctx, directory)
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		if k.ID == id {
			return k, nil
		}
	}
	return nil, scim.Errorf(404, "", "no key %s here: list the keys to see their ids", clip(id))
}

// endKey ends a key after overlap, or earlier where that was settled before. It
// reads it again, locked, and only then the clock; one that is not live any more
// is a 409.
func (s *Service) endKey(tx store.Tx, digest [32]byte, overlap time.Duration) error {
	k, err := tx.GetKey(digest)
	if err != nil {
		return err
	}
	now := s.clock()
	if !k.Live(now) {
		return scim.Errorf(409, "", "key %s has expired or was revoked: create a new one", k.ID)
	}
	if at := now.Add(overlap); k.Revoked.IsZero() || at.Before(k.Revoked) {
		k.Revoked = at
	}
	return tx.ReplaceKey(k)
}

// forget takes a key from the cache, also out of the hands of those who are
// about to put it there.
func (s *Service) forget(k *roster.Key) {
	s.mu.Lock()
	s.generation++
	delete(s.keys, k.Digest)
	s.mu.Unlock()
}
