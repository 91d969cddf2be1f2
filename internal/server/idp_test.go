package server_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Each file of testdata/idp is what one provisioning client sends, in its order,
// in words of our own. A step is
//
//	== what it does
//	METHOD /path?name=value&name=value    the values as they are, unescaped
//	Header: value
//	{"body": …}
//	----
//	200 name                              the name stands for the id from here on: {name}
//	coerced …                             the tolerances that the request log names
//	ignored …                             the attributes that it names as ignored
//	{"subset": "of the answer"}           null: is not there; "*": is there, whatever it is
//	---- atlassian
//	404 …                                 what is otherwise under these rules
//
// A list has these elements and no other, in any order. The line "rules" names
// the rule sets that a file is for.
func TestIdentityProviders(t *testing.T) {
	files, err := filepath.Glob("testdata/idp/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	onEach(t, func(t *testing.T, w *world) {
		for _, file := range files {
			rules, steps := readScript(t, file)
			for _, rs := range rules {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+rs, func(t *testing.T) {
					t.Parallel()
					runScript(t, w.directory(t, rs), rs, steps)
				})
			}
		}
	})
}

// A scriptStep is one request and what is expected of it, by rule set; "" is
// what holds for the others.
type scriptStep struct {
	line   int
	title  string
	method string
	path   string
	header []string
	body   string
	want   map[string]*outcome
}

type outcome struct {
	status           int
	save             string
	coerced, ignored string
	body             string
}

func readScript(t *testing.T, file string) (rules []string, steps []*scriptStep) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s *scriptStep
	var out *outcome
	for i, line := range strings.Split(string(data), "\n") {
		bad := func(why string) { t.Fatalf("%s:%d: %s: %s", file, i+1, why, line) }
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case s == nil && word == "rules":
			rules = strings.Fields(rest)
		case word == "==":
			s, out = &scriptStep{line: i + 1, title: rest, want: map[string]*outcome{}}, nil
			steps = append(steps, s)
		case s == nil:
			bad("a line before the first step")
		case word == "----":
			out = new(outcome)
			if first := s.want[""]; first != nil {
				*out = *first
			}
			s.want[rest] = out
		case out == nil && s.method == "":
			s.method, s.path = word, rest
		case out == nil && s.body == "" && strings.HasSuffix(word, ":"):
			s.header = append(s.header, strings.TrimSuffix(word, ":"), rest)
		case out == nil:
			s.body += line
		case word == "coerced":
			out.coerced = rest
		case word == "ignored":
			out.ignored = rest
		case strings.HasPrefix(line, "{"):
			out.body = line
		default:
			if out.status, err = strconv.Atoi(word); err != nil {
				bad("no status")
			}
			if rest != "" {
				out.save = rest
			}
		}
	}
	if len(rules) == 0 || len(steps) == 0 {
		t.Fatalf("%s: no rules, or no steps", file)
	}
	return rules, steps
}

func runScript(t *testing.T, d *dir, rules string, steps []*scriptStep) {
	t.Helper()
	names := []string{"{base}", publicURL + d.path}
	var sent []*scriptStep
	for _, s := range steps {
		known := strings.NewReplacer(names...)
		want := s.want[rules]
		if want == nil {
			want = s.want[""]
		}
		if want == nil || want.status == 0 {
			t.Fatalf("line %d, %s: nothing is expected under the rules %s", s.line, s.title, rules)
		}
		var body any
		if s.body != "" {
			body = known.Replace(s.body)
		}
		header := slices.Clone(s.header)
		for i := range header {
			header[i] = known.Replace(header[i])
		}
		r := d.do(s.method, escapeQuery(known.Replace(s.path)), body, header...)
		sent = append(sent, s)
		if r.status != want.status {
			t.Fatalf("line %d, %s: status %d, want %d\n%s", s.line, s.title, r.status, want.status, r.body)
		}
		if want.body != "" {
			var got, subset any
			if err := json.Unmarshal([]byte(known.Replace(want.body)), &subset); err != nil {
				t.Fatalf("line %d, %s: %v", s.line, s.title, err)
			}
			if err := json.Unmarshal(r.body, &got); err != nil {
				t.Fatalf("line %d, %s: %v", s.line, s.title, err)
			}
			if why := differs("", got, subset); why != "" {
				t.Errorf("line %d, %s: %s\n%s", s.line, s.title, why, r.body)
			}
		}
		if want.save != "" {
			names = append(names, "{"+want.save+"}", r.str("id"), "{"+want.save+".etag}", r.header.Get("Etag"))
		}
	}
	// The request log names each tolerance that a request needed, and what was
	// ignored in it.
	var log struct {
		Requests []struct{ Coerced, Ignored []string }
	}
	if err := json.Unmarshal(d.api("GET", "/requests", nil).want(200).body, &log); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(log.Requests)
	if len(log.Requests) < len(sent) {
		t.Fatalf("%d requests in the log, %d were sent", len(log.Requests), len(sent))
	}
	for i, s := range sent {
		want := s.want[rules]
		if want == nil {
			want = s.want[""]
		}
		if got := strings.Join(log.Requests[i].Coerced, ", "); got != want.coerced {
			t.Errorf("line %d, %s: coerced\n%s\nwant\n%s", s.line, s.title, got, want.coerced)
		}
		if got := strings.Join(log.Requests[i].Ignored, ", "); got != want.ignored {
			t.Errorf("line %d, %s: ignored\n%s\nwant\n%s", s.line, s.title, got, want.ignored)
		}
	}
}

// escapeQuery escapes the values of a query as clients do: a blank is a plus.
func escapeQuery(path string) string {
	path, query, ok := strings.Cut(path, "?")
	if !ok {
		return path
	}
	parts := strings.Split(query, "&")
	for i, p := range parts {
		name, value, _ := strings.Cut(p, "=")
		parts[i] = name + "=" + url.QueryEscape(value)
	}
	return path + "?" + strings.Join(parts, "&")
}

// differs says where got is not as want, which may leave out names; "" where it is.
func differs(at string, got, want any) string {
	switch want := want.(type) {
	case object:
		o, ok := got.(object)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", at, got)
		}
		for name, v := range want {
			if why := differs(at+"/"+name, o[name], v); why != "" {
				return why
			}
		}
		return ""
	case []any:
		list, _ := got.([]any)
		if len(list) != len(want) {
			return fmt.Sprintf("%s has %d values, want %d", at, len(list), len(want))
		}
		for _, v := range want {
			if !slices.ContainsFunc(list, func(g any) bool { return differs(at, g, v) == "" }) {
				return fmt.Sprintf("%s has no value like %v", at, v)
			}
		}
		return ""
	}
	if want == "*" && got != nil || got == want {
		return ""
	}
	return fmt.Sprintf("%s is %v, want %v", at, got, want)
}
