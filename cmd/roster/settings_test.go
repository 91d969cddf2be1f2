package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Of a setting of the server the flag counts, else the variable, else the file,
// else the default. An address that is refused shows that it was read.
func TestServe_Settings(t *testing.T) {
	t.Parallel()
	const refusedHere = "0.0.0.0:0 would take keys over the network in the clear"
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	all := file("all.yaml", "listen: 0.0.0.0:0\nrule-set: strict\nmax-body: 100\ntrusted-proxy:\n  - 10.0.0.0/8\n  - 127.0.0.1\ndrain-timeout: 5s\n")
	some := file("some.yaml", "max-body: 100\nrule-set: strict\n")

	refuse(t, nil, exitUsage, "--listen "+refusedHere, "serve", "--data", dir, "--config", all)
	refuse(t, []string{"ROSTER_CONFIG=" + all}, exitUsage, "--listen "+refusedHere, "serve", "--data", dir)
	refuse(t, []string{"ROSTER_LISTEN=0.0.0.0:0"}, exitUsage, "--listen "+refusedHere, "serve", "--data", dir, "--config", some)

	for _, tt := range []struct {
		name    string
		env     []string
		flags   []string
		ruleSet string
		maxBody int
	}{
		{"defaults", nil, nil, "atlassian", 1 << 20},
		{"file", nil, []string{"--config", some}, "strict", 100},
		{"variable over file", []string{"ROSTER_CONFIG=" + all, "ROSTER_RULE_SET=standard", "ROSTER_MAX_BODY=200"}, nil, "standard", 200},
		{"flag over variable", []string{"ROSTER_CONFIG=" + all, "ROSTER_RULE_SET=lax", "ROSTER_MAX_BODY=none", "ROSTER_LISTEN=0.0.0.0:0"},
			[]string{"--rule-set", "standard", "--max-body", "300", "--listen", "127.0.0.1:0"}, "standard", 300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.env, append([]string{"--data", t.TempDir()}, tt.flags...)...)
			s.useDefault(t)
			a := s.must(t, http.StatusOK, "GET", "/api/v1/directories/"+s.directory, "")
			if got := a.text("ruleSet"); got != tt.ruleSet {
				t.Errorf("rule set: got %s, want %s", got, tt.ruleSet)
			}
			body := userBody("ada", "")
			body += strings.Repeat(" ", tt.maxBody-len(body))
			s.must(t, http.StatusCreated, "POST", s.users(""), body)
			s.must(t, http.StatusRequestEntityTooLarge, "POST", s.users(""), body+" ")
			s.finish(t, syscall.SIGTERM, exitOK)
		})
	}

	// A mistake in the file is said with its line, all of them at once.
	code, stdout, stderr := rosterCommand(t, nil, "serve", "--data", filepath.Join(dir, "data"), "--config",
		file("wrong.yaml", "listen: 127.0.0.1:0\nlisten-adress: 127.0.0.1:0\nallow-data-loss: true\n"))
	if code != exitUsage || stdout != "" || !strings.Contains(stderr, `wrong.yaml:2: no setting "listen-adress"; there are: `) ||
		!strings.Contains(stderr, `wrong.yaml:3: no setting "allow-data-loss"`) {
		t.Errorf("unknown settings: %d, %q, %s", code, stdout, stderr)
	}
	refuse(t, nil, exitUsage, `some.yaml:1: max-body: invalid argument "some"`, "serve", "--config", file("some.yaml", "max-body: some\n"))
	refuse(t, []string{"ROSTER_DRAIN_TIMEOUT=soon"}, exitUsage, `ROSTER_DRAIN_TIMEOUT: invalid argument "soon"`, "serve")
}
