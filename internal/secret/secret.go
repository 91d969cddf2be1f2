// Package secret seals what must not be read in a database: the keys of
// connections, secret inputs, and what the runs of workflows keep.
//
// A Keyring is a file of keys. Its first key seals; all of them open, so that a
// new key in front makes no record unreadable. A record is
//
//	version (1 byte, 1) | id of the key (8 bytes) | salt (24 bytes) | ciphertext and tag of AES-256-GCM
//
// The AES key and the nonce of each record are derived by HKDF-SHA256 (RFC 5869)
// from the key of the file and the random salt, so no AES key seals two records,
// and the number of records is no concern: after 2^80 of them under one key of
// the file the chance that two have one salt is 2^-32. (One AES key for all, with
// random nonces of 96 bits, would allow 2^32.) One record holds at most MaxPlain
// bytes.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// MaxPlain is the most that Seal takes, in bytes.
const MaxPlain = 1 << 30

const (
	version  = 1
	idSize   = 8
	saltSize = 24
	keySize  = 32
	header   = 1 + idSize + saltSize
	tagSize  = 16
)

// Overhead is how many bytes a record is longer than what it holds.
const Overhead = header + tagSize

// The errors of Open, to be asked for with errors.Is.
var (
	// ErrNoKey: the keyring lacks the key that sealed the record.
	ErrNoKey = errors.New("no such key")
	// ErrDamaged: the record is none, was changed, or stood in another place.
	ErrDamaged = errors.New("damaged")
)

// A Keyring seals and opens records. It may be used by many goroutines, and never
// shows its keys: whatever prints it prints "***".
type Keyring struct {
	path string // of the file that it was read from, which Open reads again for a key that it lacks

	mu   sync.RWMutex
	keys []*key // at least one; the first seals
}

// A key is reached by a pointer alone, so that fmt shows no more than an address
// of one that lies in some other struct.
type key struct {
	id     [idSize]byte
	secret [keySize]byte
}

// newKey gives a secret its id, which is derived from it: so a key cannot stand
// under the id of another one.
func newKey(secret []byte) *key {
	k := new(key)
	copy(k.secret[:], secret)
	id, err := hkdf.Key(sha256.New, secret, nil, "roster key id", idSize)
	if err != nil {
		panic(err) // it asks for too much: a mistake in this package
	}
	copy(k.id[:], id)
	return k
}

// randomKey returns a new key.
func randomKey() *key {
	var b [keySize]byte
	rand.Read(b[:]) // never fails
	return newKey(b[:])
}

func (k *key) name() string { return hex.EncodeToString(k.id[:]) }

// derive returns the cipher and the nonce of one record.
func (k *key) derive(salt []byte) (cipher.AEAD, []byte) {
	const nonceSize = 12
	b, err := hkdf.Key(sha256.New, k.secret[:], salt, "roster record 1", keySize+nonceSize)
	if err != nil {
		panic(err) // it asks for too much: a mistake in this package
	}
	block, err := aes.NewCipher(b[:keySize])
	if err != nil {
		panic(err) // the size of the key is right
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // so is that of the block
	}
	return aead, b[keySize:]
}

// Context words the place of a record: the record opens in that place alone. No
// two lists of parts give the same context.
func Context(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

// bind returns what is authenticated beside the ciphertext.
func bind(record, context []byte) []byte {
	return append(slices.Clone(record[:header]), context...)
}

// Seal returns a record that holds plaintext, at most MaxPlain bytes, and that
// opens with this context alone. It panics when there is more: what is sealed is
// bounded long before.
func (r *Keyring) Seal(plaintext, context []byte) []byte {
	if len(plaintext) > MaxPlain {
		panic(fmt.Sprintf("seal %d bytes: %d is the most", len(plaintext), MaxPlain))
	}
	r.mu.RLock()
	k := r.keys[0]
	r.mu.RUnlock()
	record := make([]byte, header, Overhead+len(plaintext))
	record[0] = version
	copy(record[1:], k.id[:])
	salt := record[1+idSize:]
	rand.Read(salt) // never fails
	aead, nonce := k.derive(salt)
	return aead.Seal(record, nonce, plaintext, bind(record, context))
}

// Open returns what a record holds: never nil with a nil error. The error is an
// ErrNoKey, which names the key, or an ErrDamaged. A key that the keyring lacks is
// looked for in its file again, where it may be since.
func (r *Keyring) Open(record, context []byte) ([]byte, error) {
	id, err := keyOf(record)
	if err != nil {
		return nil, err
	}
	k := r.find(id)
	if k == nil {
		if err := r.Reload(); err != nil {
			return nil, fmt.Errorf("key %x: %w: %w", id, ErrNoKey, err)
		}
		if k = r.find(id); k == nil {
			return nil, fmt.Errorf("key %x: %w in %s: put the file there that has it", id, ErrNoKey, r.path)
		}
	}
	aead, nonce := k.derive(record[1+idSize : header])
	plaintext, err := aead.Open(make([]byte, 0, len(record)-Overhead), nonce, record[header:], bind(record, context))
	if err != nil {
		return nil, fmt.Errorf("record under key %x: %w: it was changed, or belongs elsewhere", id, ErrDamaged)
	}
	return plaintext, nil
}

// KeyID returns the id of the key that sealed a record, or an ErrDamaged.
func KeyID(record []byte) (string, error) {
	id, err := keyOf(record)
	return hex.EncodeToString(id), err
}

func keyOf(record []byte) ([]byte, error) {
	switch {
	case len(record) < Overhead:
		return nil, fmt.Errorf("record of %d bytes: %w: it is cut off", len(record), ErrDamaged)
	case record[0] != version:
		return nil, fmt.Errorf("record of version %d: %w: this program knows version %d", record[0], ErrDamaged, version)
	}
	return record[1 : 1+idSize], nil
}

func (r *Keyring) find(id []byte) *key {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.keys {
		if string(k.id[:]) == string(id) {
			return k
		}
	}
	return nil
}

// IDs returns the ids of the keys: the first is that of the one that seals.
func (r *Keyring) IDs() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids := make([]string, len(r.keys))
	for i, k := range r.keys {
		ids[i] = k.name()
	}
	return ids
}

const masked = "***"

// Format prints "***" for every verb.
func (r *Keyring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// String returns "***".
func (r *Keyring) String() string { return masked }

// MarshalText returns "***", for JSON and logs too.
func (r *Keyring) MarshalText() ([]byte, error) { return []byte(masked), nil }
