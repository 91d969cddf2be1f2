package apply

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// An object is a JSON object whose names are found without regard to case, as
// SCIM's are. It keeps what no schema knows, so that a person can be sent back
// whole.
type object map[string]jsontext.Value

// loose reads what services send against RFC 8259's advice; of a name that is
// there twice, the last one counts.
var loose = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func parseObject(v jsontext.Value) (object, error) {
	if v.Kind() != '{' {
		return nil, fmt.Errorf("expected a JSON object, not %s", clip(string(bytes.TrimSpace(v))))
	}
	var o object
	err := json.Unmarshal(v, &o, loose)
	return o, err
}

// spelt returns the name as o spells it.
func (o object) spelt(name string) string {
	if _, ok := o[name]; ok {
		return name
	}
	for k := range o {
		if strings.EqualFold(k, name) {
			return k
		}
	}
	return name
}

func (o object) get(name string) jsontext.Value { return o[o.spelt(name)] }

// set gives a name a value; null and none take it away.
func (o object) set(name string, v jsontext.Value) {
	name = o.spelt(name)
	if len(v) == 0 || v.Kind() == 'n' {
		delete(o, name)
	} else {
		o[name] = v
	}
}

// setAt is set below: path are the names that lead there. What an object has
// lost its last member of goes with it.
func (o object) setAt(path []string, v jsontext.Value) error {
	if len(path) == 1 {
		o.set(path[0], v)
		return nil
	}
	below := object{}
	if old := o.get(path[0]); old.Kind() == '{' {
		var err error
		if below, err = parseObject(old); err != nil {
			return err
		}
	}
	if err := below.setAt(path[1:], v); err != nil {
		return err
	}
	if len(below) == 0 {
		o.set(path[0], nil)
		return nil
	}
	doc, err := below.json()
	if err != nil {
		return err
	}
	o.set(path[0], doc)
	return nil
}

// json returns o with its names in one order.
func (o object) json() (jsontext.Value, error) {
	return json.Marshal(o, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
}

// text returns the text of a name whose value is a string, else "".
func (o object) text(name string) string { return textOf(o.get(name)) }

func textOf(v jsontext.Value) string {
	var s string
	if v.Kind() != '"' || json.Unmarshal(v, &s, loose) != nil {
		return ""
	}
	return s
}

// isTrue reports whether v is true, or "true" as some services send it.
func isTrue(v jsontext.Value) bool {
	return v.Kind() == 't' || strings.EqualFold(textOf(v), "true")
}

// quote returns s as JSON.
func quote(s string) jsontext.Value {
	b, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return jsontext.Value(`""`)
	}
	return b
}

// serviceOwn are the members of a user that a service writes itself.
var serviceOwn = []string{"id", "meta", "groups", "schemas", scim.AtlassianExternalURN}

// own returns a copy of doc without what the service writes itself, and without
// nulls, which are no values.
func own(doc jsontext.Value) (object, error) {
	o, err := parseObject(doc)
	if err != nil {
		return nil, err
	}
	for _, name := range serviceOwn {
		o.set(name, nil)
	}
	for name, v := range o {
		if v.Kind() == 'n' {
			delete(o, name)
		}
	}
	return o, nil
}

// sum returns a digest of what is in doc beside what the service writes itself:
// two documents of one person have the same sum when nobody changed it between
// them.
func sum(doc jsontext.Value) (string, error) {
	o, err := own(doc)
	if err != nil {
		return "", err
	}
	v, err := o.json()
	if err != nil {
		return "", err
	}
	if err := v.Canonicalize(loose); err != nil {
		return "", err
	}
	h := sha256.Sum256(v)
	return hex.EncodeToString(h[:16]), nil
}

// body returns o as a request sends it, with the schemas of what is in it.
func (o object) body() (jsontext.Value, error) {
	schemas := []string{scim.UserURN}
	for name := range o {
		if strings.HasPrefix(strings.ToLower(name), "urn:") {
			schemas = append(schemas, name)
		}
	}
	if len(schemas) > 2 {
		slices.Sort(schemas[1:])
	}
	list, err := json.Marshal(schemas)
	if err != nil {
		return nil, err
	}
	o.set("schemas", list)
	return o.json()
}

// clip cuts what is repeated of a file or an answer.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
