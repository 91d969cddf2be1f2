package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml"
)

// A savedConnection is one file of the folder of connections.
type savedConnection struct {
	Name      string `yaml:"-"` // that of the file
	URL       string `yaml:"url"`
	Directory string `yaml:"directory,omitempty"`
	RuleSet   string `yaml:"rule-set,omitempty"` // for a service that does not tell it
	Key       string `yaml:"key"`
}

// maskKey shows enough of a key to tell it from others.
func maskKey(key string) string {
	shown := 4
	if strings.HasPrefix(key, "rk_") {
		shown = 7
	}
	if len(key) < 4*shown {
		return "…"
	}
	return printable(key[:shown]) + "…"
}

// connectionName is what names a connection: it is the name of a file.
var connectionName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

func checkConnectionName(name string) error {
	if !connectionName.MatchString(name) {
		return usagef("%q cannot name a connection: a letter or digit, and then up to 63 letters, digits, dots, hyphens and underscores", name)
	}
	return nil
}

// connectionFiles is the folder of connections: NAME.yaml for each, and the file
// "current", which names the one in use.
type connectionFiles struct{ dir string }

const currentConnection = "current"

func newConnectionFiles(g *globals) (connectionFiles, error) {
	file := defaultConfig(g)
	if file == "" {
		return connectionFiles{}, usagef("no place for connections: set XDG_CONFIG_HOME or HOME")
	}
	return connectionFiles{filepath.Join(filepath.Dir(file), "connections")}, nil
}

func (c connectionFiles) path(name string) string { return filepath.Join(c.dir, name+".yaml") }

// names returns the names of all connections, sorted.
func (c connectionFiles) names() ([]string, error) {
	entries, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok && connectionName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// current returns the name of the connection in use, "" when there is none.
func (c connectionFiles) current() (string, error) {
	data, err := os.ReadFile(filepath.Join(c.dir, currentConnection))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(data)), err
}

// use puts a connection in use; "" ends that of any.
func (c connectionFiles) use(name string) error {
	file := filepath.Join(c.dir, currentConnection)
	if name == "" {
		if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return c.write(file, []byte(name+"\n"))
}

// load reads a connection. A file that others can read is refused: what is in it
// must be taken for known to them.
func (c connectionFiles) load(name string) (*savedConnection, error) {
	if err := checkConnectionName(name); err != nil {
		return nil, err
	}
	f, err := os.Open(c.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noConnection(name)
	}
	if err != nil {
		return nil, &usageError{err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" { // which has no such bits
		err := fmt.Errorf("%s holds a key, and others can read or write it (mode %04o)", c.path(name), mode)
		return nil, &usageError{&hintedError{err, "chmod 600 " + c.path(name) + ", and a new key if somebody may have read it"}}
	}
	saved := &savedConnection{Name: name}
	if err := yaml.NewDecoder(f, yaml.Strict()).Decode(saved); err != nil {
		// Its text shows the source, which has the key in it.
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			return nil, usagef("%s:%d: %s", c.path(name), syntax.GetToken().Position.Line, syntax.GetMessage())
		}
		return nil, usagef("%s: %w", c.path(name), err)
	}
	if saved.URL == "" || saved.Key == "" {
		return nil, usagef("%s: url and key are required", c.path(name))
	}
	return saved, nil
}

func (c connectionFiles) save(s *savedConnection) error {
	// In quotes, always: the library leaves out some that a text needs ("? !").
	var data []byte
	for _, line := range [][2]string{{"url", s.URL}, {"directory", s.Directory}, {"rule-set", s.RuleSet}, {"key", s.Key}} {
		text, err := jsontext.AppendQuote(append(data, line[0]+": "...), line[1])
		if err != nil {
			return fmt.Errorf("%s: %w", line[0], err)
		}
		data = append(text, '\n')
	}
	return c.write(c.path(s.Name), data)
}

// write puts a file there whole or not at all, for the person alone.
func (c connectionFiles) write(path string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(c.dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(c.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.CreateTemp(c.dir, ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (c connectionFiles) remove(name string) error {
	err := os.Remove(c.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return noConnection(name)
	}
	return err
}

func noConnection(name string) error {
	return &usageError{&hintedError{fmt.Errorf("no connection %q", name), "roster connection list, or roster connection add " + name}}
}
