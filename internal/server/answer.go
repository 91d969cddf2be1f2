package server

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/scim"
)

// An answer is the answer to a change, as it is sent, and kept for a request
// that is repeated with the same Idempotency-Key.
type answer struct {
	Status   int      `json:"status"`
	ETag     string   `json:"etag,omitempty"`
	Location string   `json:"location,omitempty"`
	Ignored  []string `json:"ignored,omitempty"`
	Coerced  []string `json:"coerced,omitempty"`
	Resource string   `json:"resource,omitempty"`
	Body     []byte   `json:"body,omitempty"`
}

func (r *request) answer(a *answer) {
	h := r.w.Header()
	if a.ETag != "" {
		h["Etag"] = []string{a.ETag}
	}
	if a.Location != "" {
		h["Location"] = []string{a.Location}
	}
	if len(a.Ignored) > 0 {
		h["Roster-Ignored"] = []string{headerList(a.Ignored)}
	}
	if len(a.Coerced) > 0 {
		h["Roster-Coerced"] = []string{headerList(a.Coerced)}
	}
	r.ignored, r.coerced, r.resource = a.Ignored, a.Coerced, a.Resource
	r.send(a.Status, scimJSON, a.Body)
}

// replay sends an answer that was kept.
func (r *request) replay(kept []byte) error {
	a := new(answer)
	if err := json.Unmarshal(kept, a); err != nil {
		return fmt.Errorf("read the answer that was kept: %w", err)
	}
	r.w.Header().Set("Idempotency-Replayed", "true")
	r.answer(a)
	return nil
}

// idempotency puts the Idempotency-Key of a request into c. Of the body it
// hashes what was parsed: a password is not in that, and must not be in a hash
// that is kept.
func idempotency(r *request, c *directory.Call, body canonical, render func(*directory.Result, []byte) (*answer, error)) error {
	name := r.Header.Get("Idempotency-Key")
	if name == "" {
		return nil
	}
	if len(name) > 255 || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c > '~' }) {
		return scim.Errorf(400, scim.InvalidValue, "an Idempotency-Key has at most 255 visible ASCII characters")
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00", r.Method, r.URL.RequestURI(), r.Header.Get("If-Match"))
	if body != nil {
		h.Write(body.Append(nil))
	}
	c.Idempotency = &directory.Idempotency{Name: name, Hash: [32]byte(h.Sum(nil)), Render: func(res *directory.Result) ([]byte, error) {
		a, err := render(res, nil)
		if err != nil {
			return nil, err
		}
		return json.Marshal(a)
	}}
	return nil
}

// headerList joins names into the value of a header. The names of unknown
// attributes are the client's: what a header cannot carry is escaped.
func headerList(names []string) string {
	clean := make([]string, len(names))
	for i, n := range names {
		if strings.ContainsFunc(n, func(c rune) bool { return c < ' ' || c > '~' || c == ',' || c == '%' }) {
			n = url.PathEscape(n)
		}
		clean[i] = n
	}
	return strings.Join(clean, ", ")
}

// condition reads If-Match: * or a list of entity tags, weak or not, with quotes
// or (as some clients send them) without. Of a tag the version alone counts: the
// links that it may tell of are no part of what is changed. Another server's tag
// is no version of ours and matches nothing. It returns nil where there is no
// such header, or an empty one.
func condition(lines []string) *directory.Condition {
	header := strings.Join(lines, ",")
	if header == "" {
		return nil
	}
	c := new(directory.Condition)
	for tag := range strings.SplitSeq(header, ",") {
		if strings.TrimSpace(tag) == "*" {
			c.Any = true
			continue
		}
		tag, _, _ = strings.Cut(opaque(tag), "~")
		if v, err := strconv.ParseInt(tag, 10, 64); err == nil && v > 0 && strconv.FormatInt(v, 10) == tag {
			c.Versions = append(c.Versions, v)
		}
	}
	return c
}

// ifMatch returns the condition on a version that If-Match is, nil for none.
func ifMatch(r *request) func(version int64) bool {
	c := condition(r.Header["If-Match"])
	if c == nil {
		return nil
	}
	return c.Holds
}

// matches reports whether If-None-Match names an entity tag, or any.
func matches(lines []string, etag string) bool {
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(tag) == "*" || opaque(tag) == opaque(etag) {
				return true
			}
		}
	}
	return false
}

// opaque returns what stands between the quotes of an entity tag.
func opaque(tag string) string {
	return strings.Trim(strings.TrimPrefix(strings.TrimSpace(tag), "W/"), `"`)
}

// integer reads a query parameter. One that is beyond what an int holds is as
// large as one can be; one that is no number is a 400.
func integer(q url.Values, name string, absent int) (int, error) {
	text := strings.TrimSpace(q.Get(name))
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if errors.Is(err, strconv.ErrRange) {
		return n, nil
	}
	if err != nil {
		return 0, scim.Errorf(400, scim.InvalidValue, "%s must be an integer", name)
	}
	return n, nil
}

// read reads the body of a request into dst, up to most bytes.
func (s *Server) read(r *request, dst []byte, most int64) ([]byte, error) {
	if r.ContentLength > most {
		return dst, &http.MaxBytesError{Limit: most}
	}
	buf := bytes.NewBuffer(dst)
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(r.w, r.Body, most))
	switch {
	case err == nil:
	case errors.As(err, new(*http.MaxBytesError)):
		return dst, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return dst, scim.Errorf(400, scim.InvalidSyntax, "the body ended early")
	default:
		return dst, scim.Errorf(408, "", "the body did not arrive")
	}
	return buf.Bytes(), nil
}

// Buffers that hold an answer, or a body, while it is made. One that grew large
// is let go.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func getBuffer() *[]byte {
	b := buffers.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

func putBuffer(b *[]byte) {
	if cap(*b) <= 256<<10 {
		buffers.Put(b)
	}
}
