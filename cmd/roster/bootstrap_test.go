package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const keysPath = "/api/v1/keys"

// madeKey finds a key that roster has made.
var madeKey = regexp.MustCompile(`rk_[0-9A-Za-z_-]{43}`)

func TestBootstrap_GivenKey(t *testing.T) {
	t.Parallel()
	const first, second = "first first first!", "0123456789abcdef" // the shortest that will do
	data := filepath.Join(t.TempDir(), "data")
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("\n"+second+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		env  string
		flag []string
		want map[string]int // the status that each key gets
		keys int            // how many there are then
	}{
		{"the first start", first, nil, map[string]int{first: 200, second: 401}, 1},
		{"the same again", first, nil, map[string]int{first: 200, second: 401}, 1},
		{"a changed one, from a file, which wins over the variable", first, []string{"--bootstrap-key-file", file}, map[string]int{first: 200, second: 200}, 2},
		{"the file again", "", []string{"--bootstrap-key-file", file}, map[string]int{first: 200, second: 200}, 2},
		{"none", "", nil, map[string]int{first: 200, second: 200}, 2},
	} {
		s := serve(t, []string{"ROSTER_BOOTSTRAP_KEY=" + tt.env, "ROSTER_LOG_LEVEL=debug"}, append(tt.flag, "--data", data)...)
		got := make(map[string]int)
		for key := range tt.want {
			got[key] = s.status(t, key, keysPath)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		stdout, _ := succeed(t, []string{"ROSTER_URL=" + s.url, "ROSTER_KEY=" + first}, "key", "list", "--operator")
		if got := strings.Count(stdout, "\n") - 1; got != tt.keys {
			t.Errorf("%s: got %d keys, want %d:\n%s", tt.name, got, tt.keys, stdout)
		}
		s.finish(t, syscall.SIGTERM, exitOK)
		for _, text := range []string{s.stdout.String(), s.log.String(), stdout} {
			if strings.Contains(text, first) || strings.Contains(text, second) || madeKey.MatchString(text) {
				t.Errorf("%s: a key was printed: %s", tt.name, text)
			}
		}
	}
}

func TestBootstrap_KeyThatIsTooShort(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("0123456789abcde\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const want = "the bootstrap key (ROSTER_BOOTSTRAP_KEY or --bootstrap-key-file) has 15 bytes: give 16 or more"
	refuse(t, []string{"ROSTER_BOOTSTRAP_KEY=0123456789abcde"}, exitUsage, want, "serve", "--data", data)
	refuse(t, nil, exitUsage, want, "serve", "--data", data, "--bootstrap-key-file", short)
	refuse(t, nil, exitUsage, "no such file", "serve", "--data", data, "--bootstrap-key-file", short+"er")
	if _, err := os.Stat(data); err == nil {
		t.Error("a data folder was made")
	}
}

// A server that is given no key makes one, shows it once, and makes another only
// when no operator could get in.
func TestBootstrap_MadeKey(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	start := func() *served { return serve(t, []string{"ROSTER_BOOTSTRAP_KEY="}, "--data", data) }

	// The first start fails after it has opened the database: its key must not
	// be lost.
	taken := serve(t, nil, "--data", filepath.Join(t.TempDir(), "other"))
	refuse(t, nil, exitError, "--listen: listen tcp "+strings.TrimPrefix(taken.url, "http://")+": bind: address already in use",
		"serve", "--data", data, "--listen", strings.TrimPrefix(taken.url, "http://"))
	refuse(t, nil, exitError, "--admin-listen: listen tcp "+strings.TrimPrefix(taken.url, "http://"),
		"serve", "--data", data, "--listen", "127.0.0.1:0", "--admin-listen", strings.TrimPrefix(taken.url, "http://"))

	s := start()
	s.log.await(t, s.ended, "--rule-set standard\n")
	key := madeKey.FindString(s.log.String())
	if strings.Contains(s.stdout.String(), key) || s.status(t, key, keysPath) != http.StatusOK {
		t.Errorf("the key that was printed does not work, or is on stdout: %s%s", s.stdout, s.log)
	}
	org, _ := succeed(t, []string{"ROSTER_URL=" + s.url, "ROSTER_KEY=" + key}, "org")
	for _, want := range []string{
		"rule set atlassian", "shown this once", "Organisation        " + org, "--rule-set standard",
		`curl -H "Authorization: Bearer ` + key + `" ` + s.url + "/scim/directory/", "connection add local --preset roster --url " + s.url,
	} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the banner has no %q: %s", want, s.log)
		}
	}
	s.finish(t, syscall.SIGTERM, exitOK)

	s = start()
	if got := s.status(t, key, keysPath); got != http.StatusOK {
		t.Errorf("at the second start the key gets %d", got)
	}
	list, _ := succeed(t, []string{"ROSTER_URL=" + s.url, "ROSTER_KEY=" + key}, "key", "list", "--operator")
	id, _, _ := strings.Cut(strings.Split(list, "\n")[1], " ")
	succeed(t, []string{"ROSTER_URL=" + s.url, "ROSTER_KEY=" + key}, "key", "revoke", "--operator", id)
	if got := s.status(t, key, keysPath); got != http.StatusUnauthorized {
		t.Errorf("the key that was revoked gets %d", got)
	}
	s.finish(t, syscall.SIGTERM, exitOK)
	if text := s.log.String(); madeKey.MatchString(text) || strings.Contains(text, "Operator key") {
		t.Errorf("the second start printed a key: %s", text)
	}

	// The way back in. What is said then of the directory is what it is, not what
	// this start would have made.
	s = serve(t, []string{"ROSTER_BOOTSTRAP_KEY="}, "--data", data, "--rule-set", "strict")
	s.log.await(t, s.ended, "--rule-set standard\n")
	next := madeKey.FindString(s.log.String())
	if next == "" || next == key || s.status(t, next, keysPath) != http.StatusOK || s.status(t, key, keysPath) != http.StatusUnauthorized {
		t.Errorf("the way back in: %q: %s", next, s.log)
	}
	if text := s.log.String(); !strings.Contains(text, "rule set atlassian") {
		t.Errorf("the banner tells another rule set: %s", text)
	}
	s.finish(t, syscall.SIGTERM, exitOK)
}

// Who has taken the standard rules is not told to make a directory with them.
func TestBootstrap_StandardRules(t *testing.T) {
	t.Parallel()
	s := serve(t, []string{"ROSTER_BOOTSTRAP_KEY="}, "--data", filepath.Join(t.TempDir(), "data"), "--rule-set", "standard")
	s.log.await(t, s.ended, "--title CTO --keep\n\n")
	s.finish(t, syscall.SIGTERM, exitOK)
	if text := s.log.String(); !strings.Contains(text, "rule set standard") || strings.Contains(text, "directory create") {
		t.Errorf("got %s", text)
	}
}
