package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// runWith runs args in this process with an environment of its own.
func runWith(ctx context.Context, env map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, msg bytes.Buffer
	code = run(ctx, args, &globals{
		stdin: strings.NewReader(""), stdout: &out, stderr: &msg,
		getenv: func(name string) string { return env[name] },
	})
	return code, out.String(), msg.String()
}

func TestRun_Interrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, stdout, stderr := runWith(ctx, map[string]string{"ROSTER_KEY": "k"}, "user", "list", "--directory", "d")
	if code != exitInterrupted || stdout != "" || stderr != "roster: interrupted\n" {
		t.Errorf("got %d, %q, %q", code, stdout, stderr)
	}
}

func TestRun_EveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	root := newRoot(&globals{getenv: func(string) string { return "" }})
	for _, name := range settings(root) {
		if envName(name) == "ROSTER_KEY" {
			t.Error("a key can be given as a flag")
		}
	}
	commands := root.Commands()
	for len(commands) > 0 {
		cmd := commands[0]
		commands = append(commands[1:], cmd.Commands()...)
		if cmd.Short == "" {
			t.Errorf("%s has no help", cmd.CommandPath())
		}
		if topic := cmd.Run == nil && cmd.RunE == nil; !topic && !cmd.HasSubCommands() && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		code, stdout, stderr := runWith(t.Context(), nil, append(path, "--help")...)
		if code != exitOK || stdout == "" || stderr != "" {
			t.Errorf("%s --help: %d, %q", cmd.CommandPath(), code, stderr)
		}
	}
}

func TestParseExpires(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for text, want := range map[string]string{
		"":                          "0001-01-01T00:00:00Z",
		"2027-01-31":                "2027-02-01T00:00:00Z",
		"2027-01-31T12:00:00+02:00": "2027-01-31T10:00:00Z",
		"2d":                        "2026-03-06T05:06:07Z",
		"90m":                       "2026-03-04T06:36:07Z",
	} {
		got, err := parseExpires(text, now)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "2026-03-03", "-1h", "0d", "d"} {
		if got, err := parseExpires(text, now); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestPrintDocument(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	doc := `{"userName":"a\u001b[2Jda","active":false,"schemas":["urn:a"],"name":{"givenName":"Ada"},
		"emails":[{"primary":true,"type":"work","value":"a@b"},{"value":"c@d"},{"value":"e@f","display":"x"}],
		"groups":[],"urn:x:User":{"badge":7},"nickName":""}`
	if err := printDocument(&out, jsontext.Value(doc)); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"userName         a\uFFFD[2Jda",
		"active           false",
		"name.givenName   Ada",
		"emails[work]     a@b (primary)",
		"emails[1]        c@d",
		`emails[2]        {"value":"e@f","display":"x"}`,
		"urn:x:User:badge 7",
		"nickName         -",
		"schemas          urn:a",
		"",
	}, "\n")
	if got := out.String(); squeeze(got) != squeeze(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// An error of several lines, some of them indented, is lines of text.
func TestComplain(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	complain(&out, "no database:\n\t127.0.0.1:1: refused\n\t127.0.0.1:1: refused\na\x1b[2Jb")
	if got, want := out.String(), "roster: no database:\nroster: 127.0.0.1:1: refused\nroster: a\uFFFD[2Jb\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// squeeze makes every run of blanks one.
func squeeze(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	return strings.Join(lines, "\n")
}
