package scim_test

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster/scim"
)

// typeOf returns a resource type of a rule set, which may have rules changed:
// "atlassian", `standard{"keepEmptyStrings":true}`. Gadget is the type of
// testdata/gadget.json, which has what the built-in schemas lack.
func typeOf(tb testing.TB, rules, name string) *scim.Type {
	tb.Helper()
	type result struct {
		t   *scim.Type
		err error
	}
	key := name + " " + rules
	cached, ok := types.Load(key)
	if !ok {
		t, err := compile(rules, name)
		cached, _ = types.LoadOrStore(key, result{t, err})
	}
	r := cached.(result)
	if r.err != nil || r.t == nil {
		tb.Fatalf("rule set %s: no type %s: %v", rules, name, r.err)
	}
	return r.t
}

var types sync.Map // types are immutable: that all tests share them proves it

func compile(rules, name string) (*scim.Type, error) {
	base, overrides := rules, ""
	if i := strings.IndexByte(rules, '{'); i >= 0 {
		base, overrides = rules[:i], rules[i:]
	}
	r, err := scim.Rules(base)
	if err != nil {
		return nil, err
	}
	if r, err = r.With([]byte(overrides)); err != nil {
		return nil, err
	}
	if name == "Gadget" {
		data, err := os.ReadFile("testdata/gadget.json")
		if err != nil {
			return nil, err
		}
		var schemas []*scim.Schema
		if err := json.Unmarshal(data, &schemas, json.RejectUnknownMembers(true)); err != nil {
			return nil, err
		}
		return scim.Compile(scim.ResourceType{Name: "Gadget", Endpoint: "/Gadgets", Schema: schemas[0].ID,
			Extensions: []scim.SchemaExtension{{Schema: schemas[1].ID}}}, schemas, r)
	}
	m, err := scim.NewModel(r, nil)
	if err != nil {
		return nil, err
	}
	return m.Type(name), nil
}

// parsed returns what Parse makes of a body that it must take.
func parsed(tb testing.TB, t *scim.Type, body string) *scim.Resource {
	tb.Helper()
	r, _, err := t.Parse([]byte(body))
	if err != nil {
		tb.Fatalf("parse %s: %v", body, err)
	}
	return r
}

// created returns what a POST of body makes.
func created(tb testing.TB, t *scim.Type, body string) *scim.Resource {
	tb.Helper()
	r, err := scim.Create(parsed(tb, t, body))
	if err != nil {
		tb.Fatalf("create %s: %v", body, err)
	}
	return r
}

// stored returns the document of what a POST of body makes.
func stored(tb testing.TB, t *scim.Type, body string) []byte {
	tb.Helper()
	return created(tb, t, body).Append(nil)
}

func decoded(tb testing.TB, t *scim.Type, doc []byte) *scim.Resource {
	tb.Helper()
	r, err := t.Decode(doc)
	if err != nil {
		tb.Fatalf("decode %s: %v", doc, err)
	}
	return r
}

// replaced returns what a PUT of body makes of current.
func replaced(tb testing.TB, current *scim.Resource, body string) *scim.Resource {
	tb.Helper()
	next, _, err := scim.Replace(current, parsed(tb, current.Type(), body))
	if err != nil {
		tb.Fatalf("replace with %s: %v", body, err)
	}
	return next
}

func text(r *scim.Resource) string { return string(r.Append(nil)) }
