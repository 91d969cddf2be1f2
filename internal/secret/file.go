package secret

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// The file of a keyring is text: a line for each key, its id and the base64 of
// its 32 bytes with a space between them. The first key seals. Blank lines, and
// those that begin with #, are passed over.

const (
	maxFile = 64 << 10 // bytes
	maxKeys = 100
)

const preamble = `# The keys that seal what is secret in the database of Roster. Without them it is
# lost: keep a copy of this file with each backup, and where nobody else reads it.
# The first key seals, all of them open. See roster secret-key.
`

// Load reads a keyring from its file. On Unix it refuses a file that others than
// its owner may read or write. A file that is not there is an fs.ErrNotExist.
func Load(path string) (*Keyring, error) {
	r := &Keyring{path: path}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload reads the file again, in which there may be a new key in front. With an
// error the keyring stays as it is.
func (r *Keyring) Reload() error {
	data, err := readFile(r.path)
	if err != nil {
		return err
	}
	keys, err := parse(data)
	if err != nil {
		return fmt.Errorf("%s%w", r.path, err)
	}
	r.mu.Lock()
	r.keys = keys
	r.mu.Unlock()
	return nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" { // which has no such bits
		return nil, fmt.Errorf("%s holds keys, and others can read or write it (mode %04o): chmod 600 %[1]s, and roster secret-key rotate if somebody may have read it", path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes: it is no file of keys", path, maxFile)
	}
	return data, err
}

// parse reads the text of a file. Its errors begin with a colon, and the number of
// the line if there is one; they do not repeat what stands there.
func parse(data []byte) ([]*key, error) {
	var keys []*key
	n := 0
	for line := range bytes.Lines(data) {
		n++
		k, err := parseLine(line)
		switch {
		case err != nil:
			return nil, fmt.Errorf(":%d: %w", n, err)
		case k == nil:
			continue
		case slices.ContainsFunc(keys, func(other *key) bool { return other.id == k.id }):
			return nil, fmt.Errorf(":%d: key %s stands here a second time", n, k.name())
		}
		keys = append(keys, k)
	}
	switch {
	case len(keys) == 0:
		return nil, errors.New(": holds no key")
	case len(keys) > maxKeys:
		return nil, fmt.Errorf(": holds %d keys, %d is the most: roster secret-key remove takes out those not in use", len(keys), maxKeys)
	}
	return keys, nil
}

// parseLine returns the key of a line, nil for none.
func parseLine(line []byte) (*key, error) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] == '#' {
		return nil, nil
	}
	id, text, _ := bytes.Cut(line, []byte(" "))
	secret, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(secret) != keySize {
		return nil, fmt.Errorf("expected the id of a key and the base64 of %d bytes", keySize)
	}
	k := newKey(secret)
	if k.name() != string(id) {
		return nil, errors.New("the id does not fit the key: one of them was changed")
	}
	return k, nil
}

// line returns the line of a key.
func (k *key) line() []byte {
	return []byte(k.name() + " " + base64.StdEncoding.EncodeToString(k.secret[:]) + "\n")
}

// Make makes the file of a keyring with one new key, mode 0600, and returns the
// keyring. Where there is a file already, as of another start at the same time,
// it is Load. The file is there whole or not at all.
func Make(path string) (*Keyring, error) {
	temp, err := writeTemp(filepath.Dir(path), append([]byte(preamble), randomKey().line()...))
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp)
	// Unlike a rename, a link takes nobody's place.
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return Load(path)
}

// Add puts a new key in front of those in a file, and returns the new keyring. Who
// has the file open already seals with the old key until Reload.
func Add(path string) (*Keyring, error) {
	return change(path, func(lines [][]byte, first int) ([][]byte, error) {
		return slices.Insert(lines, first, randomKey().line()), nil
	})
}

// Remove takes the key with that id out of a file, and returns the new keyring.
// The key that seals cannot be removed. Records under the key are lost: the caller
// knows that there are none.
func Remove(path, id string) (*Keyring, error) {
	return change(path, func(lines [][]byte, first int) ([][]byte, error) {
		is := func(line []byte) bool {
			k, err := parseLine(line)
			return err == nil && k != nil && k.name() == id
		}
		i := slices.IndexFunc(lines, is)
		switch i {
		case -1:
			return nil, fmt.Errorf("key %s: %w in %s", id, ErrNoKey, path)
		case first:
			return nil, fmt.Errorf("key %s is the one that seals: roster secret-key rotate puts another one in its place", id)
		}
		return slices.Delete(lines, i, i+1), nil
	})
}

// change puts other lines in the place of those of a file, whole or not at all.
// fn is given the lines and which of them is the first key. The new file is made
// under a name of its own, which keeps out who else would change it: of two keys
// that are added at once none may be lost.
func change(path string, fn func(lines [][]byte, first int) ([][]byte, error)) (_ *Keyring, err error) {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is being changed by another command; if none runs, one was cut off: remove %s and try again", path, temp)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	data, err := changed(path, fn)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err = os.Rename(temp, path); err != nil {
		return nil, err
	}
	if err = syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return Load(path)
}

// changed returns the text of a file as fn changes it.
func changed(path string, fn func(lines [][]byte, first int) ([][]byte, error)) ([]byte, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if _, err := parse(data); err != nil {
		return nil, fmt.Errorf("%s%w", path, err)
	}
	if data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	lines := slices.Collect(bytes.Lines(data))
	lines, err = fn(lines, slices.IndexFunc(lines, func(line []byte) bool {
		k, _ := parseLine(line) // it is whole: parse has read it
		return k != nil
	}))
	if err != nil {
		return nil, err
	}
	data = bytes.Join(lines, nil)
	if _, err := parse(data); err != nil {
		return nil, fmt.Errorf("%s%w", path, err)
	}
	return data, nil
}

// writeTemp writes a file of mode 0600 and returns its name.
func writeTemp(dir string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(dir, ".secret-key-*") // 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // which cannot, and need not
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
