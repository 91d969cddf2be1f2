package durable

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/roster-scim/roster/internal/secret"
)

// A Sealer seals and opens records; secret.Keyring is one.
type Sealer interface {
	Seal(plaintext, context []byte) []byte
	Open(record, context []byte) ([]byte, error)
}

// The places in which a record opens, each with the id of its run: so nobody who
// can write to the database moves one to another run.
const (
	placeInput  = "run input"
	placeStep   = "run step"
	placeOutput = "run output"
	placeError  = "run error"
)

func (e *Engine) seal(plaintext []byte, place, id string) []byte {
	return e.opts.Seal.Seal(plaintext, secret.Context(place, id))
}

func (e *Engine) open(record []byte, place, id string) ([]byte, error) {
	b, err := e.opts.Seal.Open(record, secret.Context(place, id))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	return b, nil
}

// sealError returns an error that DBOS keeps as it is: the other types of errors
// it would store with their text, and complain of them in the log.
func (e *Engine) sealError(err error, id string) error {
	return &dbos.PortableWorkflowError{Message: base64.StdEncoding.EncodeToString(e.seal([]byte(err.Error()), placeError, id))}
}

// openError returns the text of an error that sealError made.
func (e *Engine) openError(err error, id string) (string, error) {
	p, ok := errors.AsType[*dbos.PortableWorkflowError](err)
	if !ok {
		return "", fmt.Errorf("%s: %w", placeError, secret.ErrDamaged)
	}
	record, err := base64.StdEncoding.DecodeString(p.Message)
	if err != nil {
		return "", fmt.Errorf("%s: %w", placeError, secret.ErrDamaged)
	}
	text, err := e.open(record, placeError, id)
	return string(text), err
}

// checkKey opens the input of the newest run and of the oldest.
func (e *Engine) checkKey(ctx context.Context) error {
	for _, order := range []string{"DESC", "ASC"} {
		ids, err := e.db.ids(ctx, `SELECT workflow_uuid FROM {}workflow_status ORDER BY created_at `+order+` LIMIT 1`)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := e.run(ctx, id); err != nil {
				return fmt.Errorf("its runs are sealed with a key that is not in the file of keys (ROSTER_SECRET_KEY_FILE): %w", err)
			}
		}
	}
	return nil
}

// kept is what a step gave, sealed. One with an error is kept nowhere.
type kept struct {
	record []byte
	err    error
}

// A codec writes what DBOS keeps as text: what is ours is sealed before it comes
// here, and the rest is the moments at which a Sleep ends.
type codec struct{}

var _ dbos.Serializer[any] = codec{}

// Name names the form in each row.
func (codec) Name() string { return "roster-1" }

// Encode refuses a kept with an error, which it returns: thereby nothing is kept.
func (codec) Encode(v any) (*string, error) {
	var s string
	switch v := v.(type) {
	case nil:
		s = "n"
	case []byte:
		if v == nil {
			s = "n"
			break
		}
		s = "b" + base64.StdEncoding.EncodeToString(v)
	case kept:
		if v.err != nil {
			return nil, v.err
		}
		s = "k" + base64.StdEncoding.EncodeToString(v.record)
	case int64:
		s = "i" + strconv.FormatInt(v, 10)
	default:
		return nil, fmt.Errorf("the engine does not keep a %T", v)
	}
	return &s, nil
}

// Decode is the reverse of Encode.
func (codec) Decode(s *string) (any, error) {
	if s == nil || *s == "n" {
		return nil, nil
	}
	if *s == "" {
		return nil, secret.ErrDamaged
	}
	text := (*s)[1:]
	if (*s)[0] == 'i' {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
		return nil, secret.ErrDamaged
	}
	b, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err == nil && (*s)[0] == 'b':
		return b, nil
	case err == nil && (*s)[0] == 'k':
		return kept{record: b}, nil
	}
	return nil, secret.ErrDamaged
}
