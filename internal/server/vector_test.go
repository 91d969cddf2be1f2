package server_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A vector is one case of testdata/vectors.json; the format is in that file. The
// rules are lenient in one thing: a missing scimType is no failure.
type vector struct {
	ID       string
	Title    string
	Level    string
	Needs    []string
	Setup    []step
	Request  step
	Expected expectation
	Then     []step
	Always   bool `json:"thenAlways"`
}

type step struct {
	Method   string
	Path     string
	Query    orderedQuery
	RawQuery *string
	Headers  map[string]*string
	NoAuth   bool
	Body     *json.RawMessage
	RawBody  *string
	RawParts [][2]any
	HexBody  *string
	Save     map[string]string
	Status   statuses
	IfStatus statuses
	Expected expectation
}

type expectation struct {
	Status   statuses
	ScimType words
	Body     []assertion
	Headers  []assertion
	JSON     *bool
}

type assertion struct {
	Path     string
	Name     string
	Op       string
	Value    any
	IfStatus statuses
}

// statuses are one number or a list of them.
type statuses []int

func (s *statuses) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("[")) {
		return json.Unmarshal(data, (*[]int)(s))
	}
	var n *int
	if err := json.Unmarshal(data, &n); err != nil || n == nil {
		return err
	}
	*s = statuses{*n}
	return nil
}

// words are one string or a list of them.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("[")) {
		return json.Unmarshal(data, (*[]string)(w))
	}
	*w = make(words, 1)
	return json.Unmarshal(data, &(*w)[0])
}

// An orderedQuery keeps the parameters in the order of the file.
type orderedQuery [][2]any

func (q *orderedQuery) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var v any
		if err := dec.Decode(&v); err != nil {
			return err
		}
		*q = append(*q, [2]any{name, v})
	}
	return nil
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []vector }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatal("there are no cases")
	}
	return file.Cases
}

// A vectorRun is one case under way.
type vectorRun struct {
	d    *dir
	base string // path of the base URL
	vars map[string]any
	made []string
}

// A vectorReply is an answer as a case looks at it.
type vectorReply struct {
	status int
	header http.Header
	js     any
	bad    bool // there is a body that is no JSON
	raw    []byte
}

var variable = regexp.MustCompile(`\$\{(\w+)\}`)

func substitute(v any, vars map[string]any) any {
	switch v := v.(type) {
	case string:
		return variable.ReplaceAllStringFunc(v, func(m string) string {
			if x, ok := vars[m[2:len(m)-1]]; ok {
				return fmt.Sprint(x)
			}
			return m
		})
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = substitute(x, vars)
		}
		return out
	case map[string]any:
		if pair, ok := v["$repeat"].([]any); ok && len(v) == 1 {
			return strings.Repeat(substitute(pair[0], vars).(string), int(pair[1].(float64)))
		}
		if pair, ok := v["$list"].([]any); ok && len(v) == 1 {
			var out []any
			for i := range int(pair[1].(float64)) {
				inner := map[string]any{"i": i}
				for k, x := range vars {
					if k != "i" {
						inner[k] = x
					}
				}
				out = append(out, substitute(pair[0], inner))
			}
			return out
		}
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[substitute(k, vars).(string)] = substitute(x, vars)
		}
		return out
	}
	return v
}

// quote is urllib.parse.quote: everything is escaped but the unreserved
// characters and safe.
func quote(s, safe string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("_.-~"+safe, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// target returns the path and the query of a request.
func (v *vectorRun) target(path string) (string, string) {
	if u, err := url.Parse(path); err == nil && u.IsAbs() {
		path = u.EscapedPath()
		if u.RawQuery != "" {
			path += "?" + u.RawQuery
		}
	} else if path != v.base && !strings.HasPrefix(path, v.base+"/") {
		path = v.base + "/" + strings.TrimPrefix(path, "/")
	}
	path, query, _ := strings.Cut(path, "?")
	return path, query
}

func (v *vectorRun) call(ctx context.Context, method, path string, headers map[string]*string, body []byte, noAuth bool) vectorReply {
	target, query := v.target(path)
	host := strings.TrimPrefix(v.d.w.url, "http://")
	req := (&http.Request{
		Method: method, URL: &url.URL{Scheme: "http", Host: host, Opaque: target, RawQuery: query}, Host: host,
		Header: http.Header{"Accept": {"application/scim+json"}},
	}).WithContext(ctx)
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		req.Header.Set("Content-Type", "application/scim+json")
	}
	if !noAuth {
		req.Header.Set("Authorization", "Bearer "+v.d.key)
	}
	for name, value := range headers {
		if req.Header.Del(name); value != nil {
			req.Header.Set(name, fmt.Sprint(substitute(*value, v.vars)))
		}
	}
	res, err := client.Do(req)
	if err != nil {
		return vectorReply{js: map[string]any{"transport": err.Error()}}
	}
	defer res.Body.Close()
	r := vectorReply{status: res.StatusCode, header: res.Header}
	if r.raw, err = io.ReadAll(res.Body); err != nil {
		return vectorReply{js: map[string]any{"transport": err.Error()}}
	}
	if len(bytes.TrimSpace(r.raw)) > 0 {
		r.bad = json.Unmarshal(r.raw, &r.js) != nil
	}
	return r
}

var collectionPath = regexp.MustCompile(`^/(\w+)/?(\?|$)`)

func (v *vectorRun) send(ctx context.Context, s *step) vectorReply {
	path := substitute(s.Path, v.vars).(string)
	if len(s.Query) > 0 {
		var parts []string
		for _, p := range s.Query {
			value := substitute(p[1], v.vars)
			parts = append(parts, quote(p[0].(string), "$")+"="+quote(fmt.Sprint(value), ""))
		}
		path += "?" + strings.Join(parts, "&")
	}
	if s.RawQuery != nil {
		path += "?" + substitute(*s.RawQuery, v.vars).(string)
	}
	var body []byte
	switch {
	case s.Body != nil:
		var doc any
		if err := json.Unmarshal(*s.Body, &doc); err != nil {
			v.d.t.Fatal(err)
		}
		body, _ = json.Marshal(substitute(doc, v.vars))
	case s.RawBody != nil:
		body = []byte(substitute(*s.RawBody, v.vars).(string))
	case s.RawParts != nil:
		for _, p := range s.RawParts {
			body = append(body, strings.Repeat(substitute(p[0], v.vars).(string), int(p[1].(float64)))...)
		}
	case s.HexBody != nil:
		text := strings.ReplaceAll(*s.HexBody, " ", "")
		text = strings.ReplaceAll(text, "UNIQ", hex.EncodeToString([]byte(v.vars["uniq"].(string))))
		var err error
		if body, err = hex.DecodeString(text); err != nil {
			v.d.t.Fatal(err)
		}
	}
	r := v.call(ctx, s.Method, path, s.Headers, body, s.NoAuth)
	if o, _ := r.js.(map[string]any); s.Method == "POST" && r.status == 201 {
		if id, ok := o["id"].(string); ok {
			if m := collectionPath.FindStringSubmatch(path); m != nil {
				v.made = append(v.made, "/"+m[1]+"/"+quote(id, ""))
			}
		}
	}
	for name, from := range s.Save {
		if h, ok := strings.CutPrefix(from, "header:"); ok {
			if values := r.header.Values(h); len(values) > 0 {
				v.vars[name] = values[0]
			}
		} else if x, found := dig(r.js, from); found {
			v.vars[name] = x
		}
	}
	return r
}

// run returns what is wrong with the answers to a case; nothing when it passed.
func (v *vectorRun) run(ctx context.Context, c *vector) (bad []string) {
	const letters, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"
	u := []byte{letters[rand.IntN(len(letters))]}
	for range 9 {
		u = append(u, (letters + digits)[rand.IntN(36)])
	}
	v.vars = map[string]any{"uniq": string(u), "UNIQ": strings.ToUpper(string(u)), "base": v.d.w.url + v.base}
	defer func() {
		for _, path := range slices.Backward(v.made) {
			v.call(ctx, "DELETE", path, nil, nil, false)
		}
	}()
	for i := range c.Setup {
		s := &c.Setup[i]
		want := s.Status
		if want == nil {
			want = statuses{200, 204}
			if s.Method == "POST" {
				want = statuses{201}
			}
		}
		if r := v.send(ctx, s); !slices.Contains(want, r.status) {
			return []string{fmt.Sprintf("setup %d: %s %s -> %d %.200s", i+1, s.Method, s.Path, r.status, r.raw)}
		}
	}
	r := v.send(ctx, &c.Request)
	if bad = v.judge(&c.Expected, r, ""); len(bad) > 0 && !c.Always {
		return bad
	}
	for i := range c.Then {
		s := &c.Then[i]
		if s.IfStatus != nil && !slices.Contains(s.IfStatus, r.status) {
			continue
		}
		if b := v.judge(&s.Expected, v.send(ctx, s), fmt.Sprintf("then %d %s: ", i+1, s.Method)); len(b) > 0 {
			return append(bad, b...)
		}
	}
	return bad
}

func (v *vectorRun) judge(exp *expectation, r vectorReply, where string) (bad []string) {
	if exp.Status != nil && !slices.Contains(exp.Status, r.status) {
		return []string{fmt.Sprintf("%sstatus %d, want %v: %.200s", where, r.status, exp.Status, r.raw)}
	}
	if r.bad && (exp.JSON == nil || *exp.JSON) {
		bad = append(bad, where+"the body is not JSON")
	}
	if o, _ := r.js.(map[string]any); len(exp.ScimType) > 0 && r.status >= 400 {
		if typ, _ := o["scimType"].(string); typ != "" && !slices.Contains(exp.ScimType, typ) {
			bad = append(bad, fmt.Sprintf("%sscimType %s, want %v", where, typ, exp.ScimType))
		}
	}
	check := func(a *assertion, what string, found bool, got any) {
		want := substitute(a.Value, v.vars)
		if a.IfStatus != nil && !slices.Contains(a.IfStatus, r.status) || holds(a.Op, found, got, want) {
			return
		}
		bad = append(bad, fmt.Sprintf("%s%s %s %v, got %v", where, what, a.Op, want, got))
	}
	for i := range exp.Body {
		a := &exp.Body[i]
		path := substitute(a.Path, v.vars).(string)
		found, got := false, any(nil)
		got, found = dig(r.js, path)
		check(a, path, found, got)
	}
	for i := range exp.Headers {
		a := &exp.Headers[i]
		values := r.header.Values(a.Name)
		var got any
		if len(values) > 0 {
			got = strings.Join(values, ", ")
		}
		check(a, "header "+a.Name, len(values) > 0, got)
	}
	return bad
}

// discover returns the features that the vectors may need.
func (v *vectorRun) discover(ctx context.Context) map[string]bool {
	has := map[string]bool{}
	r := v.call(ctx, "GET", "/ServiceProviderConfig", nil, nil, false)
	if spc, ok := r.js.(map[string]any); ok && r.status == 200 {
		for _, k := range []string{"patch", "filter", "sort", "etag", "bulk", "changePassword"} {
			if s, _ := dig(spc, k+"/supported"); s == true {
				has[k] = true
			}
		}
		if s, _ := dig(spc, "pagination/cursor"); s == true {
			has["cursor"] = true
		}
	} else {
		has["patch"], has["filter"] = true, true
	}
	types := v.call(ctx, "GET", "/ResourceTypes", nil, nil, false).raw
	has["enterprise"] = bytes.Contains(types, []byte(enterpriseURN))
	has["testresource"] = bytes.Contains(types, []byte("urn:ietf:params:scim:schemas:test:2.0:TestResource"))
	search := v.call(ctx, "POST", "/Users/.search", nil, []byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"count":1}`), false)
	has["search"] = search.status == 200
	anonymous := v.call(ctx, "GET", "/Users?count=1", nil, nil, true)
	has["auth"] = anonymous.status == 401 || anonymous.status == 403
	return has
}
