package workflow

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A redactor puts "***" in the place of secrets, in the forms in which requests,
// answers and pages have them.
type redactor struct {
	replacer *strings.Replacer // nil: there are none
	numbers  map[string]bool
}

// newRedactor returns a redactor of texts, and of the texts and numbers in the
// values of secret inputs.
func newRedactor(values []any, texts ...string) *redactor {
	r := &redactor{numbers: make(map[string]bool)}
	for _, v := range values {
		texts = r.collect(texts, v)
	}
	var forms []string
	for _, s := range texts {
		for _, s := range []string{s, strings.TrimSpace(s)} {
			forms = append(forms, s, html.EscapeString(s), url.QueryEscape(s), url.PathEscape(s),
				base64.StdEncoding.EncodeToString([]byte(s)), base64.URLEncoding.EncodeToString([]byte(s)), base64.RawStdEncoding.EncodeToString([]byte(s)))
			if q, err := jsontext.AppendQuote(nil, s); err == nil {
				forms = append(forms, string(q[1:len(q)-1]))
			}
		}
	}
	// The longest first: one may begin like another.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	var pairs []string
	for _, s := range slices.Compact(forms) {
		if s != "" {
			pairs = append(pairs, s, "***")
		}
	}
	if len(pairs) > 0 {
		r.replacer = strings.NewReplacer(pairs...)
	}
	return r
}

// collect appends the texts in a secret value; it recurses as deep as that is.
func (r *redactor) collect(texts []string, v any) []string {
	switch v := v.(type) {
	case string:
		return append(texts, v)
	case float64:
		n := fmt.Sprint(v)
		r.numbers[n] = true
		return append(texts, n)
	case []any:
		for _, one := range v {
			texts = r.collect(texts, one)
		}
	case map[string]any:
		for _, one := range v {
			texts = r.collect(texts, one)
		}
	}
	return texts
}

// text returns s without secrets.
func (r *redactor) text(s string) string {
	if r.replacer == nil {
		return s
	}
	return r.replacer.Replace(s)
}

// json returns v without secrets: in its texts, names included, and numbers. What
// is no JSON becomes a text.
func (r *redactor) json(v jsontext.Value) jsontext.Value {
	if len(v) == 0 || r.replacer == nil {
		return v
	}
	var out bytes.Buffer
	dec := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	enc := jsontext.NewEncoder(&out, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		t, err := dec.ReadToken()
		if err != nil {
			break
		}
		switch t.Kind() {
		case '"':
			t = jsontext.String(r.text(t.String()))
		case '0':
			if n := t.String(); r.numbers[n] {
				t = jsontext.String("***")
			}
		}
		if err := enc.WriteToken(t); err != nil {
			break
		}
	}
	if got := bytes.TrimSpace(out.Bytes()); dec.StackDepth() == 0 && len(got) > 0 {
		return got
	}
	return quote(r.text(string(v)))
}

// quote returns s as a JSON string.
func quote(s string) jsontext.Value {
	q, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return jsontext.Value(`""`) // cannot be: it is UTF-8
	}
	return q
}

// decode returns what JSON decodes to for an Env: nil for nothing.
func decode(v jsontext.Value) (any, error) {
	if len(v) == 0 {
		return nil, nil
	}
	var out any
	err := json.Unmarshal(v, &out, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return out, err
}

// encode returns a value of an Env as JSON.
func encode(v any) (jsontext.Value, error) {
	return json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
}
