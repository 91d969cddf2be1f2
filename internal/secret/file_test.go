package secret_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/roster-scim/roster/internal/secret"
)

func TestMake_IsForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	_, path := newKeyring(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode().Perm(), fs.FileMode(0o600); got != want && runtime.GOOS != "windows" {
		t.Errorf("got mode %04o, want %04o", got, want)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v beside the file; want nothing", entries, err)
	}
}

func TestMake_ManyStartsHaveOneKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret.key")
	const starts = 16
	ids := make([][]string, starts)
	var wg sync.WaitGroup
	for i := range starts {
		wg.Go(func() {
			r, err := secret.Make(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = r.IDs()
		})
	}
	wg.Wait()
	for _, got := range ids {
		if !slices.Equal(got, ids[0]) {
			t.Errorf("got keys %v and %v", got, ids[0])
		}
	}
}

func TestLoad_RefusesAFileThatOthersRead(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // it has no such bits
	}
	_, path := newKeyring(t)
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := secret.Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %04o: got %v, want an error that says chmod 600", mode, err)
		}
	}
}

func TestLoad_SaysWhatIsWrongWithAFile(t *testing.T) {
	t.Parallel()
	_, path := newKeyring(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	key := lines[len(lines)-1]
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", ": holds no key"},
		{"only comments", "# nothing\n\n", ": holds no key"},
		{"twice", text + key + "\n", ":5: key " + key[:16] + " stands here a second time"},
		{"other id", strings.Replace(text, key[:16], "0123456789abcdef", 1), ":4: the id does not fit the key"},
		{"short", key[:40] + "\n", ":1: expected the id of a key and the base64 of 32 bytes"},
		{"no id", key[17:] + "\n", ":1: expected"},
		{"binary", "\x00\x01\x02\n", ":1: expected"},
		{"large", text + strings.Repeat("# x\n", 20_000), "larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret.key")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := secret.Load(file)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), file) {
				t.Fatalf("got %v, want %s%s", err, file, tt.want)
			}
			if strings.Contains(err.Error(), key[20:30]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	if _, err := secret.Load(path + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v for no file, want fs.ErrNotExist", err)
	}
	if _, err := secret.Load(filepath.Dir(path)); err == nil {
		t.Error("a folder is taken for a file of keys")
	}
}

func TestAdd_TwoAtOnceLoseNoKey(t *testing.T) {
	t.Parallel()
	_, path := newKeyring(t)
	var mu sync.Mutex
	added := 1
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := secret.Add(path); err == nil {
				mu.Lock()
				added++
				mu.Unlock()
			} else if !strings.Contains(err.Error(), "is being changed") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r, err := secret.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(r.IDs()); got != added {
		t.Errorf("got %d keys, want %d", got, added)
	}
}

func TestRemove_TakesAnyKeyButTheFirst(t *testing.T) {
	t.Parallel()
	old, path := newKeyring(t)
	record := old.Seal([]byte("x"), nil)
	r, err := secret.Add(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secret.Remove(path, r.IDs()[0]); err == nil || !strings.Contains(err.Error(), "is the one that seals") {
		t.Errorf("got %v, want a refusal", err)
	}
	if _, err := secret.Remove(path, "0123456789abcdef"); !errors.Is(err, secret.ErrNoKey) {
		t.Errorf("got %v, want ErrNoKey", err)
	}
	left, err := secret.Remove(path, old.IDs()[0])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := left.IDs(), r.IDs()[:1]; !slices.Equal(got, want) {
		t.Errorf("got keys %v, want %v", got, want)
	}
	if _, err := left.Open(record, nil); !errors.Is(err, secret.ErrNoKey) {
		t.Errorf("got %v, want ErrNoKey", err)
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(data), "# The keys") {
		t.Errorf("got %q, %v; want the comments kept", data, err)
	}
}
