package directory

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/roster-scim/roster/scim"
)

// CursorTimeout is how long a cursor is good for.
const CursorTimeout = time.Hour

// cursorSecret is as long as the key of AES-256.
const cursorSecret = 32

// newCursorSecret is kept in the store, so that every node honours the cursors
// of every other, before and after a restart.
func newCursorSecret() string {
	b := make([]byte, cursorSecret)
	_, _ = rand.Read(b) // never fails
	return string(b)
}

// A position is a place in the order of a list: that of one resource.
type position struct {
	typ int    // its type, by the place in Query.Select
	key string // of the Order; empty without one
	id  string
}

// A cursor leads to the page behind a position (RFC 9865).
type cursor struct {
	position
	back   bool      // the page before it
	issued time.Time // to the second
	total  int64     // of a list with a filter
	count  int       // of the first page
}

// cursorVersion begins every cursor: another form of it gets another one.
const cursorVersion = 1

// saltSize keeps the salts of all cursors there will ever be apart.
const saltSize = 16

// seal returns c as a client sees it: in letters that need no escape in a URL,
// encrypted, and bound to the list that binding describes.
func (s *Service) seal(c *cursor, binding []byte) string {
	b := binary.AppendUvarint([]byte{cursorVersion, 0}, uint64(c.issued.Unix()))
	if c.back {
		b[1] = 1
	}
	b = binary.AppendUvarint(b, uint64(c.total))
	b = binary.AppendUvarint(b, uint64(c.count))
	b = binary.AppendUvarint(b, uint64(c.typ))
	b = binary.AppendUvarint(b, uint64(len(c.key)))
	b = append(append(b, c.key...), c.id...)
	salt := make([]byte, saltSize, saltSize+len(b)+16)
	_, _ = rand.Read(salt) // never fails
	aead, nonce := s.aead(salt)
	return base64.RawURLEncoding.EncodeToString(aead.Seal(salt, nonce, b, binding))
}

// open is the reverse of seal. A text that seal has not made, or made for another
// list, is a 400 invalidCursor, an old one a 400 expiredCursor.
func (s *Service) open(text string, binding []byte) (*cursor, error) {
	invalid := scim.Errorf(400, scim.InvalidCursor, "this is no cursor of this list: send one with the filter, the order and the key that it was given for, or an empty one for the first page")
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(sealed) < saltSize || strings.ContainsAny(text, "\r\n") { // which the decoder passes over
		return nil, invalid
	}
	aead, nonce := s.aead(sealed[:saltSize])
	b, err := aead.Open(nil, nonce, sealed[saltSize:], binding)
	if err != nil || len(b) < 2 || b[0] != cursorVersion {
		return nil, invalid
	}
	c := &cursor{back: b[1] == 1}
	b = b[2:]
	var numbers [5]uint64
	for i := range numbers {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, invalid
		}
		numbers[i], b = n, b[size:]
	}
	if numbers[4] > uint64(len(b)) {
		return nil, invalid
	}
	c.issued, c.total, c.count, c.typ = time.Unix(int64(numbers[0]), 0), int64(numbers[1]), int(numbers[2]), int(numbers[3])
	c.key, c.id = string(b[:numbers[4]]), string(b[numbers[4]:])
	if s.now().Sub(c.issued) > CursorTimeout {
		return nil, scim.Errorf(400, scim.ExpiredCursor, "this cursor is older than %v: begin again with an empty one", CursorTimeout)
	}
	return c, nil
}

// aead returns the cipher of one cursor. AES-GCM under one key would allow no
// more random nonces than a busy server needs in weeks, so each cursor has a key
// of its own, which the salt makes of the secret.
func (s *Service) aead(salt []byte) (aead cipher.AEAD, nonce []byte) {
	mac := hmac.New(sha256.New, s.cursorSecret)
	mac.Write(salt)
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		panic(err) // the key is of the wrong size
	}
	if aead, err = cipher.NewGCM(block); err != nil {
		panic(err) // AES has the block size of GCM
	}
	return aead, make([]byte, aead.NonceSize())
}

// binding describes the list that a cursor of q belongs to.
func (d *Directory) binding(q *Query) []byte {
	var b strings.Builder
	part := func(s string) {
		b.Write(binary.AppendUvarint(nil, uint64(len(s))))
		b.WriteString(s)
	}
	part(d.ID)
	for _, s := range q.Scopes {
		part(string(s))
	}
	for _, s := range q.Select {
		part("type")
		part(s.Type.Name)
		if s.Filter != nil {
			part("filter")
			part(s.Filter.String())
		}
		if s.Order != nil {
			part("order")
			part(s.Order.String())
		}
	}
	return []byte(b.String())
}
