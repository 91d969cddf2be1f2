package secret_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/internal/secret"
)

func newKeyring(tb testing.TB) (*secret.Keyring, string) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "secret.key")
	r, err := secret.Make(path)
	if err != nil {
		tb.Fatal(err)
	}
	return r, path
}

func TestKeyring_OpensWhatItSealed(t *testing.T) {
	t.Parallel()
	r, _ := newKeyring(t)
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		context := rapid.SliceOf(rapid.Byte()).Draw(t, "context")
		record := r.Seal(plain, context)
		got, err := r.Open(record, context)
		if err != nil || got == nil || !bytes.Equal(got, plain) {
			t.Fatalf("got %x, %v; want %x", got, err, plain)
		}
		if len(record) != len(plain)+secret.Overhead {
			t.Errorf("got a record of %d bytes for %d", len(record), len(plain))
		}
	})
}

func TestKeyring_RefusesEveryChangeOfARecord(t *testing.T) {
	t.Parallel()
	r, _ := newKeyring(t)
	context := secret.Context("connection", "d1", "cloud")
	record := r.Seal([]byte("canary"), context)
	for i := range record {
		for bit := range 8 {
			changed := slices.Clone(record)
			changed[i] ^= 1 << bit
			_, err := r.Open(changed, context)
			want := secret.ErrDamaged
			if i >= 1 && i <= 8 {
				want = secret.ErrNoKey
			}
			if !errors.Is(err, want) {
				t.Fatalf("byte %d, bit %d: got %v, want %v", i, bit, err, want)
			}
		}
	}
	for n := range record {
		if _, err := r.Open(record[:n], context); !errors.Is(err, secret.ErrDamaged) {
			t.Errorf("the first %d bytes: got %v, want damaged", n, err)
		}
	}
	if _, err := r.Open(append(slices.Clone(record), 0), context); !errors.Is(err, secret.ErrDamaged) {
		t.Errorf("one byte more: got %v, want damaged", err)
	}
}

func TestKeyring_RefusesARecordInAnotherPlace(t *testing.T) {
	t.Parallel()
	r, _ := newKeyring(t)
	record := r.Seal([]byte("canary"), secret.Context("connection", "d1", "cloud"))
	for _, other := range [][]byte{
		nil,
		secret.Context("connection", "d2", "cloud"),
		secret.Context("connection", "d1", "other"),
		secret.Context("connection", "d1cloud"),
		secret.Context("connection", "d1", "cloud", ""),
	} {
		if _, err := r.Open(record, other); !errors.Is(err, secret.ErrDamaged) {
			t.Errorf("context %q: got %v, want damaged", other, err)
		}
	}
}

func TestContext_NoTwoListsAreTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[a-b\x00-\x03]{0,4}`)
		a := rapid.SliceOfN(part, 0, 4).Draw(t, "a")
		b := rapid.SliceOfN(part, 0, 4).Draw(t, "b")
		if got, want := bytes.Equal(secret.Context(a...), secret.Context(b...)), slices.Equal(a, b); got != want {
			t.Fatalf("got equal contexts %v, want %v", got, want)
		}
	})
}

func TestKeyring_NoTwoRecordsAreTheSame(t *testing.T) {
	t.Parallel()
	r, _ := newKeyring(t)
	seen := make(map[string]bool)
	for range 1000 {
		record := r.Seal([]byte("canary"), nil)
		if bytes.Contains(record, []byte("canary")) {
			t.Fatal("the record shows what it holds")
		}
		seen[string(record)] = true
	}
	if got, want := len(seen), 1000; got != want {
		t.Errorf("got %d different records, want %d", got, want)
	}
}

func TestKeyring_NamesTheKeyItLacks(t *testing.T) {
	t.Parallel()
	a, _ := newKeyring(t)
	b, path := newKeyring(t)
	_, err := b.Open(a.Seal([]byte("x"), nil), nil)
	if !errors.Is(err, secret.ErrNoKey) || !strings.Contains(err.Error(), a.IDs()[0]) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want ErrNoKey that names %s and %s", err, a.IDs()[0], path)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(a.Seal([]byte("x"), nil), nil); !errors.Is(err, secret.ErrNoKey) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want ErrNoKey and that the file is gone", err)
	}
	if _, err := b.Open(b.Seal([]byte("x"), nil), nil); err != nil {
		t.Errorf("a key that was read does not open any more: %v", err)
	}
}

func TestKeyring_FindsAKeyThatWasAddedSince(t *testing.T) {
	t.Parallel()
	old, path := newKeyring(t)
	before := old.Seal([]byte("before"), nil)
	added, err := secret.Add(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := added.IDs()[1:], old.IDs(); !slices.Equal(got, want) {
		t.Errorf("got the old keys %v, want %v", got, want)
	}
	if got, err := added.Open(before, nil); err != nil || string(got) != "before" {
		t.Errorf("got %q, %v; want before", got, err)
	}
	after := added.Seal([]byte("after"), nil)
	if got, err := secret.KeyID(after); err != nil || got != added.IDs()[0] {
		t.Errorf("got key %s, %v; want %s", got, err, added.IDs()[0])
	}
	if got, err := old.Open(after, nil); err != nil || string(got) != "after" {
		t.Errorf("got %q, %v; want after", got, err)
	}
	if got, want := old.IDs(), added.IDs(); !slices.Equal(got, want) {
		t.Errorf("got keys %v after the file was read again, want %v", got, want)
	}
}

func TestKeyring_IsNeverPrinted(t *testing.T) {
	t.Parallel()
	r, path := newKeyring(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := strings.Cut(strings.TrimSpace(string(text[bytes.LastIndexByte(text[:len(text)-1], '\n')+1:])), " ")
	if len(key) != 44 {
		t.Fatalf("no key in %q", text)
	}
	var out bytes.Buffer
	holder := struct{ r *secret.Keyring }{r}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb, r, holder)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "ring", r)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "ring", r)
	b, err := json.Marshal(map[string]any{"ring": r})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	fmt.Fprint(&out, r.String())
	if got := strings.Count(out.String(), "***"); got < 11 {
		t.Errorf("got %d masks in %s", got, &out)
	}
	for _, part := range []string{key[:8], r.IDs()[0]} {
		if strings.Contains(out.String(), part) {
			t.Errorf("%q is in %s", part, &out)
		}
	}
}

func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "secret.key")
	r, err := secret.Make(path)
	if err != nil {
		f.Fatal(err)
	}
	sealed := r.Seal([]byte("canary"), []byte("place"))
	f.Add(sealed, []byte("place"))
	f.Add(sealed, []byte("other"))
	f.Add(sealed[:40], []byte("place"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, record, context []byte) {
		got, err := r.Open(record, context)
		switch genuine := bytes.Equal(record, sealed) && bytes.Equal(context, []byte("place")); {
		case genuine && (err != nil || string(got) != "canary"):
			t.Errorf("got %q, %v; want canary", got, err)
		case !genuine && err == nil:
			t.Errorf("a record that was never sealed opened as %q", got)
		case !genuine && !errors.Is(err, secret.ErrNoKey) && !errors.Is(err, secret.ErrDamaged):
			t.Errorf("got %v, want one of the errors of Open", err)
		}
	})
}
