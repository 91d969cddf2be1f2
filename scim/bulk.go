package scim

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The schemas of bulk messages (RFC 7644 section 3.7).
const (
	BulkRequestURN  = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	BulkResponseURN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
)

// MaxBulkOperations is how many operations one bulk request has at the most.
const MaxBulkOperations = 1000

// maxBulkID bounds a bulkId, in bytes.
const maxBulkID = 200

// bulkPrefix begins a text that stands for the id of a resource that another
// operation creates (RFC 7644 section 3.7.2).
const bulkPrefix = "bulkId:"

// A BulkRequest is the body of a POST to /Bulk (RFC 7644 section 3.7).
type BulkRequest struct {
	FailOnErrors int // how many errors end the job; 0: none does
	Operations   []BulkOperation
}

// A BulkOperation is one request of a BulkRequest, as it would be sent alone.
type BulkOperation struct {
	Method  string         // as it was sent
	BulkID  string         // names what a POST creates; unique in the request
	Version string         // an entity tag: the condition of a PUT, PATCH or DELETE
	Path    string         // "/Users", "/Users/{id}", "/Users/bulkId:{bulkId}"
	Data    jsontext.Value // valid JSON, nil for none
}

// ParseBulk reads a BulkRequest. More than MaxBulkOperations are an *Error with
// status 413, anything else that is wrong with the whole one with status 400;
// what is wrong with an operation is for Check to find, so that the others can
// be done.
func ParseBulk(data []byte, rules RuleSet) (*BulkRequest, error) {
	var body struct {
		Schemas      []string `json:"schemas"`
		FailOnErrors *int     `json:"failOnErrors"`
		Operations   []struct {
			Method  string         `json:"method"`
			BulkID  string         `json:"bulkId"`
			Version string         `json:"version"`
			Path    string         `json:"path"`
			Data    jsontext.Value `json:"data"`
		} `json:"Operations"`
	}
	err := json.Unmarshal(data, &body, json.MatchCaseInsensitiveNames(true), json.RejectUnknownMembers(rules.RefuseUnknown))
	if err != nil {
		return nil, bodySyntax("bulk request", "3.7", err)
	}
	if !slices.Contains(body.Schemas, BulkRequestURN) && !rules.Tolerant {
		return nil, Errorf(400, InvalidSyntax, "schemas must contain %s", BulkRequestURN)
	}
	if n := len(body.Operations); n > MaxBulkOperations {
		return nil, Errorf(413, "", "%d operations: send at most %d in one request", n, MaxBulkOperations)
	}
	b := &BulkRequest{Operations: make([]BulkOperation, len(body.Operations))}
	if body.FailOnErrors != nil {
		if b.FailOnErrors = *body.FailOnErrors; b.FailOnErrors < 1 {
			return nil, Errorf(400, InvalidValue, "failOnErrors is %d: send 1 or more, or leave it out", b.FailOnErrors)
		}
	}
	seen := make(map[string]bool)
	for i, o := range body.Operations {
		if o.Data.Kind() == 'n' {
			o.Data = nil
		}
		b.Operations[i] = BulkOperation(o)
		if o.BulkID == "" {
			continue
		}
		if len(o.BulkID) > maxBulkID {
			return nil, Errorf(400, InvalidValue, "Operations[%d]: a bulkId has at most %d bytes", i, maxBulkID)
		}
		if seen[o.BulkID] {
			return nil, Errorf(400, InvalidValue, "Operations[%d]: the bulkId %s is given twice", i, clip(o.BulkID))
		}
		seen[o.BulkID] = true
	}
	return b, nil
}

// bodySyntax says where a message, of the name and section of RFC 7644, is no
// JSON, or not of the right form. The decoder's words are not repeated: they may
// quote a value.
func bodySyntax(name, section string, err error) error {
	var where jsontext.Pointer
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	what := "is not valid JSON"
	switch {
	case errors.As(err, &syntactic):
		where = syntactic.JSONPointer
	case errors.As(err, &semantic):
		where, what = semantic.JSONPointer, "is not of the form of RFC 7644 section "+section
	}
	return Errorf(400, InvalidSyntax, "the %s %s (at /%s)", name, what, clip(strings.TrimPrefix(string(where), "/")))
}

// Check returns what is wrong with the form of o, nil for nothing.
func (o *BulkOperation) Check() error {
	invalid := func(format string, args ...any) error { return Errorf(400, InvalidSyntax, format, args...) }
	switch o.Method {
	case "POST":
		if o.BulkID == "" {
			return invalid("a POST needs a bulkId")
		}
	case "PUT", "PATCH", "DELETE":
	default:
		return invalid("method is %q: there are POST, PUT, PATCH and DELETE", clip(o.Method))
	}
	if !strings.HasPrefix(o.Path, "/") {
		return invalid("path is %q: it begins with the endpoint, as in /Users/{id}", clip(o.Path))
	}
	if o.Method != "DELETE" && o.Data == nil {
		return invalid("a %s needs data", o.Method)
	}
	return nil
}

// References returns the bulkIds that the path and the data of o refer to.
func (o *BulkOperation) References() (ids []string) {
	seen := make(map[string]bool)
	add := func(_, _ int, id string) {
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	if id, ok := o.pathReference(); ok {
		add(0, 0, id)
	}
	references(o.Data, add)
	return ids
}

// pathReference returns the bulkId in "/Users/bulkId:{bulkId}".
func (o *BulkOperation) pathReference() (id string, ok bool) {
	i := strings.LastIndexByte(o.Path, '/')
	return strings.CutPrefix(o.Path[i+1:], bulkPrefix)
}

// Resolve returns o with the ids of resources in the place of the bulkIds that
// ids has.
func (o BulkOperation) Resolve(ids map[string]string) BulkOperation {
	if ref, ok := o.pathReference(); ok && ids[ref] != "" {
		o.Path = o.Path[:strings.LastIndexByte(o.Path, '/')+1] + ids[ref]
	}
	var out []byte
	done := 0
	references(o.Data, func(start, end int, ref string) {
		if id := ids[ref]; id != "" {
			out = append(out, o.Data[done:start]...)
			out = appendString(out, id)
			done = end
		}
	})
	if done > 0 {
		o.Data = append(out, o.Data[done:]...)
	}
	return o
}

// Without returns o without the values that refer to a bulkId that ids has not:
// the items of arrays, and otherwise whole attributes. It is how one of several
// operations that refer to each other in a circle can be the first.
func (o BulkOperation) Without(ids map[string]string) (BulkOperation, error) {
	var err error
	o.Data, err = withoutReferences(o.Data, ids, true)
	return o, err
}

// withoutReferences looks into extensions at the top alone: they are nowhere else,
// and each level reads all that is below it again.
func withoutReferences(data jsontext.Value, ids map[string]string, top bool) (jsontext.Value, error) {
	open := func(v jsontext.Value) (open bool) {
		references(v, func(_, _ int, ref string) { open = open || ids[ref] == "" })
		return open
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, bodySyntax("bulk request", "3.7", err)
	}
	for name, v := range members {
		switch {
		case !open(v):
		case v.Kind() == '[':
			var items []jsontext.Value
			if err := json.Unmarshal(v, &items); err != nil {
				return nil, bodySyntax("bulk request", "3.7", err)
			}
			kept, err := json.Marshal(slices.DeleteFunc(items, open))
			if err != nil {
				return nil, bodySyntax("bulk request", "3.7", err)
			}
			members[name] = kept
		case top && v.Kind() == '{' && strings.Contains(name, ":"): // an extension
			kept, err := withoutReferences(v, ids, false)
			if err != nil {
				return nil, err
			}
			members[name] = kept
		default:
			delete(members, name)
		}
	}
	return json.Marshal(members, json.Deterministic(true))
}

// references calls fn for each text in data that is a reference: where it begins
// and ends, with its quotes, and the bulkId.
func references(data jsontext.Value, fn func(start, end int, id string)) {
	if !bytes.Contains(data, []byte(bulkPrefix)) {
		return
	}
	d := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		before := int(d.InputOffset())
		tok, err := d.ReadToken()
		if err != nil {
			return // the end: data is valid
		}
		kind, n := d.StackIndex(d.StackDepth())
		if tok.Kind() != '"' || kind == '{' && n%2 == 1 { // no text, or a name
			continue
		}
		if id, ok := strings.CutPrefix(tok.String(), bulkPrefix); ok {
			start := before + bytes.IndexByte(data[before:], '"')
			fn(start, int(d.InputOffset()), id)
		}
	}
}

// A BulkResult is what became of one operation.
type BulkResult struct {
	Method   string
	BulkID   string // empty: none
	Version  string // the entity tag of the resource; empty: none
	Location string // the URL of the resource; empty: none
	Status   int
	Response []byte // the body of an error: JSON; nil for a success
}

// AppendBulk appends a BulkResponse (RFC 7644 section 3.7.3) to dst.
func AppendBulk(dst []byte, results []BulkResult) []byte {
	dst = append(dst, `{"schemas":["`+BulkResponseURN+`"],"Operations":[`...)
	for i, r := range results {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuote(append(dst, `{"method":`...), r.Method)
		for _, f := range []struct{ name, text string }{{"bulkId", r.BulkID}, {"version", r.Version}, {"location", r.Location}} {
			if f.text != "" {
				dst = appendQuote(append(append(append(dst, `,"`...), f.name...), `":`...), f.text)
			}
		}
		dst = strconv.AppendInt(append(dst, `,"status":"`...), int64(r.Status), 10)
		dst = append(dst, '"')
		if r.Response != nil {
			dst = append(append(dst, `,"response":`...), r.Response...)
		}
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}
