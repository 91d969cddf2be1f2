package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The README's workflow mails what it has changed, of a user who had a title, of one who had
// none, and when it is so already.
func TestReadme_Workflow(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	source, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the README has no workflow")
	}
	dir := t.TempDir()
	file, mails := filepath.Join(dir, "promote.yaml"), filepath.Join(dir, "mails")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, nil, "--data", filepath.Join(dir, "data"), "--mail", "file:"+mails, "--mail-from", "roster@corp.example")
	env := []string{"ROSTER_URL=" + p.url, "ROSTER_KEY=" + processKey}
	succeed(t, env, "workflow", "deploy", file)
	for _, tt := range []struct{ name, title, want string }{
		{"ada", "Engineer", "\r\ntitle: Engineer -> CEO\r\n"},
		{"grace", "", "\r\ntitle:  -> CEO\r\n"},
		{"alan", "CEO", "\r\nNothing had to be changed.\r\n"},
	} {
		answer, err := p.call(t.Context(), http.MethodPost, p.users(""), userBody(tt.name, tt.title))
		if err != nil || answer.status != http.StatusCreated {
			t.Fatalf("%v, %v", answer, err)
		}
		_, stderr := succeed(t, env, "workflow", "run", "promote", "--input", "userId="+answer.text("id"), "--input", "title=CEO")
		run := startedRun.FindStringSubmatch(stderr)
		if run == nil {
			t.Fatalf("got %s", stderr)
		}
		mail, err := os.ReadFile(filepath.Join(mails, run[1]+".tell.eml"))
		if err != nil || !strings.Contains(string(mail), tt.want) {
			t.Errorf("%s: got %q, %v, want %q", tt.name, mail, err, tt.want)
		}
	}
	p.stop(t)
}
