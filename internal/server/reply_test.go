package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/scim"
)

// A reply is an answer that was read to its end.
type reply struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
}

var client = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       2 * time.Minute,
}

// try sends a request. A body is sent as it is when it is a string, a []byte or
// an io.Reader, else as JSON; the header is names and values by turns, and
// where a value is empty the header is left out.
func (d *dir) try(ctx context.Context, method, path string, body any, header ...string) (*reply, error) {
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	case io.Reader:
		r = b
	default:
		data, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.w.url+d.path+path, r)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/scim+json")
	}
	if d.key != "" {
		req.Header.Set("Authorization", "Bearer "+d.key)
	}
	seen := map[string]bool{}
	for i := 0; i < len(header); i += 2 {
		switch {
		case header[i+1] == "":
			req.Header.Del(header[i])
		case seen[header[i]]:
			req.Header.Add(header[i], header[i+1])
		default:
			req.Header.Set(header[i], header[i+1])
		}
		seen[header[i]] = true
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return &reply{what: method + " " + path, status: res.StatusCode, header: res.Header, body: data}, err
}

func (d *dir) do(method, path string, body any, header ...string) *reply {
	d.t.Helper()
	r, err := d.try(d.t.Context(), method, path, body, header...)
	if err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
	r.t = d.t
	return r
}

func (d *dir) get(path string, header ...string) *reply {
	d.t.Helper()
	return d.do("GET", path, nil, header...)
}

func (d *dir) put(id string, body any, header ...string) *reply {
	d.t.Helper()
	return d.do("PUT", "/Users/"+id, body, header...)
}

func (d *dir) post(body any, header ...string) *reply {
	d.t.Helper()
	return d.do("POST", "/Users", body, header...)
}

// create makes a user and returns its id.
func (d *dir) create(body object) string {
	d.t.Helper()
	return d.post(body).want(201).str("id")
}

// want ends the test when the status is another.
func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s: status %d, want %d\n%s", r.what, r.status, status, r.body)
	}
	return r
}

// refused is want for an error of SCIM: it checks that the body is one of that
// status and that type, and that the detail holds the words.
func (r *reply) refused(status int, typ string, words ...string) *reply {
	r.t.Helper()
	r.want(status)
	o := r.obj()
	if got, want := o["schemas"], []any{scim.ErrorURN}; !cmp.Equal(got, want) {
		r.t.Errorf("%s: schemas %v, want %v", r.what, got, want)
	}
	if got := o["status"]; got != fmt.Sprint(status) {
		r.t.Errorf("%s: status in the body is %v", r.what, got)
	}
	if got, _ := o["scimType"].(string); got != typ {
		r.t.Errorf("%s: scimType %q, want %q\n%s", r.what, got, typ, r.body)
	}
	detail, _ := o["detail"].(string)
	for _, w := range words {
		if !strings.Contains(detail, w) {
			r.t.Errorf("%s: detail %q does not hold %q", r.what, detail, w)
		}
	}
	if got := r.header.Get("Content-Type"); got != "application/scim+json" {
		r.t.Errorf("%s: Content-Type %q", r.what, got)
	}
	return r
}

// object is a JSON object.
type object = map[string]any

func (r *reply) obj() object {
	r.t.Helper()
	var o object
	if err := json.Unmarshal(r.body, &o); err != nil {
		r.t.Fatalf("%s: the body is no JSON object: %v\n%s", r.what, err, r.body)
	}
	return o
}

func (r *reply) str(name string) string {
	r.t.Helper()
	s, _ := r.obj()[name].(string)
	return s
}

// has fails the test when an attribute has another value; nil: when it is there.
func (r *reply) has(name string, want any) *reply {
	r.t.Helper()
	got, ok := r.obj()[name]
	if !ok {
		got = nil
	}
	if diff := cmp.Diff(got, want); diff != "" {
		r.t.Errorf("%s: %s (-got +want):\n%s", r.what, name, diff)
	}
	return r
}

func (r *reply) headerIs(name, want string) *reply {
	r.t.Helper()
	if got := r.header.Get(name); got != want {
		r.t.Errorf("%s: %s is %q, want %q", r.what, name, got, want)
	}
	return r
}

// keys are the names in the body.
func (r *reply) keys() map[string]bool {
	r.t.Helper()
	out := map[string]bool{}
	for k := range r.obj() {
		out[k] = true
	}
	return out
}

func set(names ...string) map[string]bool {
	out := map[string]bool{}
	for _, n := range names {
		out[n] = true
	}
	return out
}

// list returns the resources of a ListResponse.
func (r *reply) list() (out []object) {
	r.t.Helper()
	all, ok := r.want(200).obj()["Resources"].([]any)
	if !ok {
		r.t.Fatalf("%s: no Resources\n%s", r.what, r.body)
	}
	for _, o := range all {
		out = append(out, o.(object))
	}
	return out
}

// user is the body of a user with one primary e-mail; more are names and values
// by turns.
func user(name string, more ...any) object {
	o := object{
		"schemas":  []string{userURN},
		"userName": name,
		"emails":   []any{object{"value": name + "@corp.example", "type": "work", "primary": true}},
	}
	return with(o, more...)
}

// with returns o with names and values changed; nil leaves the name out.
func with(o object, more ...any) object {
	out := object{}
	for k, v := range o {
		out[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		if more[i+1] == nil {
			delete(out, more[i].(string))
		} else {
			out[more[i].(string)] = more[i+1]
		}
	}
	return out
}

// null is the JSON null in a body, where nil leaves out.
var null = json.RawMessage("null")

// events returns the events of a directory.
func (d *dir) events() (list []*roster.Event) {
	d.t.Helper()
	d.w.settle(d.t)
	list, err := d.w.store.Events(d.t.Context(), d.id, 0, 1000)
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

// state is all that is kept of a directory's users, to see that a refused
// request changed nothing.
func (d *dir) state() string {
	d.t.Helper()
	var b strings.Builder
	for _, u := range d.get("/Users").list() {
		fmt.Fprintln(&b, u)
	}
	for _, e := range d.events() {
		fmt.Fprintln(&b, e.Seq, e.Resource, e.Version)
	}
	return b.String()
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// newKeyOf is an operator key with one scope.
func newKeyOf(s roster.Scope) directory.NewKey {
	return directory.NewKey{Name: "operator", Scopes: []roster.Scope{s}}
}

// freshKey returns another key that may do what the one of d may.
func freshKey(t *testing.T, w *world, d *dir) string {
	t.Helper()
	n := directory.NewKey{Directory: d.id, Name: "fresh", Scopes: roster.Scopes}
	_, secret, err := w.dirs.CreateKey(t.Context(), nil, n)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}
