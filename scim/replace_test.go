package scim_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// A parameter is one of those that Atlassian's page of Update User has for the
// body: what sets it, what sets it to something else, and a
// value of the wrong type.
type parameter struct{ name, first, second, wrong string }

var parameters = []parameter{
	{"userName", `"ada"`, `"Ada"`, `7`},
	{"active", `false`, `true`, `7`},
	{"department", `"R&D"`, `"Sales"`, `["R&D"]`},
	{"displayName", `"Ada L"`, `"A. L."`, `{}`},
	{"emails", `[{"value":"a@x.example","primary":true},{"value":"b@x.example","type":"home"}]`,
		`[{"value":"b@x.example","type":"home"},{"value":"a@x.example","primary":true}]`, `"a@x.example"`},
	{"name", `{"formatted":"f","familyName":"l","givenName":"g","middleName":"m","honorificPrefix":"p","honorificSuffix":"s"}`, `{"givenName":"G"}`, `"Ada"`},
	{"nickName", `"A"`, `"B"`, `true`},
	{"organization", `"Corp"`, `"Other"`, `7`},
	{"phoneNumbers", `[{"value":"1","type":"work","primary":true},{"value":"2"}]`, `[{"value":"2"}]`, `{"value":"1"}`},
	{"preferredLanguage", `"en-US"`, `"fr"`, `7`},
	{"timezone", `"America/Los_Angeles"`, `"Europe/Paris"`, `7`},
	{"title", `"Engineer"`, `"CTO"`, `["CTO"]`},
}

// body is a PUT of all parameters with value, or without it where it is empty,
// for the one called name.
func body(name, value string) string {
	var members []string
	for _, p := range parameters {
		v := p.first
		if p.name == name {
			v = value
		}
		if v != "" {
			members = append(members, fmt.Sprintf("%q:%s", p.name, v))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestReplace_EachParameterOfUpdateUser(t *testing.T) {
	t.Parallel()
	atlassian := typeOf(t, scim.Atlassian, "User")
	current := created(t, atlassian, body("", ""))
	for _, p := range parameters {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			before := string(current.Get(p.name).AppendJSON(nil))
			if before != p.first {
				t.Fatalf("created: got %s, want %s", before, p.first)
			}
			next := replaced(t, current, body(p.name, p.second))
			if got := string(next.Get(p.name).AppendJSON(nil)); got != p.second {
				t.Errorf("set: got %s, want %s", got, p.second)
			}
			diff := scim.Diff(current, next)
			if len(diff) != 1 || diff[0].Attr.Path != p.name {
				t.Errorf("set: other attributes changed: %v", diff)
			}
			if _, _, err := atlassian.Parse([]byte(body(p.name, p.wrong))); status(err) != 400 || !strings.Contains(err.Error(), "(at /"+p.name) {
				t.Errorf("wrong type: got %v, want a 400 that points to it", err)
			}
			for what, value := range map[string]string{"omitted": "", "null": "null"} {
				b := parsed(t, atlassian, body(p.name, value))
				next, _, err := scim.Replace(current, b)
				switch p.name {
				case "userName", "emails":
					if status(err) != 400 || !strings.Contains(err.Error(), p.name+" is required") {
						t.Errorf("%s: got %v, want a 400", what, err)
					}
				case "active":
					if err != nil || !next.Get("active").Bool() {
						t.Errorf("%s: got %v, %v, want true", what, next.Get("active"), err)
					}
				default:
					if err != nil || next.Get(p.name).Kind() != scim.Absent {
						t.Errorf("%s: not cleared: %v, %v", what, next, err)
					}
				}
			}
		})
	}
}

func status(err error) int {
	var e *scim.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Status
}

func TestReplace_NameWithOnePartClearsTheOtherFive(t *testing.T) {
	t.Parallel()
	for _, rules := range scim.RuleSetNames {
		typ := typeOf(t, rules, "User")
		current := created(t, typ, `{"userName":"ada","emails":[{"value":"a","primary":true}],"name":`+parameters[5].first+`}`)
		next := replaced(t, current, `{"userName":"ada","emails":[{"value":"a","primary":true}],"name":{"givenName":"Ada"}}`)
		if got, want := string(next.Get("name").AppendJSON(nil)), `{"givenName":"Ada"}`; got != want {
			t.Errorf("%s: got %s, want %s", rules, got, want)
		}
	}
}

func TestParse_SameValueTwiceIsOneInListsOfAnyLength(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Standard, "Gadget")
	for _, n := range []int{1, 2, 8, 9, 100, 500} {
		tags := list(2*n, func(i int) string { return fmt.Sprintf(`"%d"`, i%n) })
		want := list(n, func(i int) string { return fmt.Sprintf(`"%d"`, i) })
		if got := string(parsed(t, typ, `{"tags":`+tags+`}`).Get("tags").AppendJSON(nil)); got != want {
			t.Errorf("%d values, each twice: got %s, want %s", n, got, want)
		}
	}
}

func TestReplace_OmittedExternalIDIsKeptInAtlassianAlone(t *testing.T) {
	t.Parallel()
	for _, rules := range scim.RuleSetNames {
		const put = `{"userName":"ada","emails":[{"value":"a","primary":true}]`
		current := created(t, typeOf(t, rules, "User"), put+`,"externalId":"e"}`)
		if got, want := replaced(t, current, put+`}`).Get("externalId").Text() == "e", rules == scim.Atlassian; got != want {
			t.Errorf("%s: kept: got %v, want %v", rules, got, want)
		}
		if got := replaced(t, current, put+`,"externalId":null}`).Get("externalId"); got.Kind() != scim.Absent {
			t.Errorf("%s: null: got %v, want it cleared", rules, got)
		}
	}
}

// A leaver must not come back with a change of title.
func TestReplace_OmittedActiveIsTrueInAtlassianAndKeptElsewhere(t *testing.T) {
	t.Parallel()
	for _, rules := range scim.RuleSetNames {
		const put = `{"userName":"ada","emails":[{"value":"a","primary":true}]`
		current := created(t, typeOf(t, rules, "User"), put+`,"active":false}`)
		for _, b := range []string{put + `}`, put + `,"active":null}`} {
			if got, want := replaced(t, current, b).Get("active").Bool(), rules == scim.Atlassian; got != want {
				t.Errorf("%s: %s: got %v, want %v", rules, b, got, want)
			}
		}
	}
}

func TestReplace_SameBodyAgainIsTheSameDocument(t *testing.T) {
	t.Parallel()
	for _, rules := range scim.RuleSetNames {
		typ := typeOf(t, rules, "User")
		doc := stored(t, typ, rfcUser)
		next := replaced(t, decoded(t, typ, doc), rfcUser)
		if diff := cmp.Diff(string(doc), text(next)); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", rules, diff)
		}
	}
}

// One parsed body is used by every attempt of a transaction, and by its retries
// at once: nothing may be written to it, nor to the current resource.
func TestReplace_WritesNeitherToBodyNorToCurrent(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Atlassian, "User")
	current, b := created(t, typ, body("", "")), parsed(t, typ, body("department", `"Other"`))
	wantCurrent, wantBody := text(current), text(b)
	var want string
	var once sync.Once
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				next, _, err := scim.Replace(current, b)
				if err != nil {
					t.Error(err)
					return
				}
				next = next.Set("title", scim.StringValue("x")).Set("name.givenName", scim.StringValue("y"))
				once.Do(func() { want = text(next) })
				if got := text(next); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
	wg.Wait()
	if got := text(current); got != wantCurrent {
		t.Errorf("current: got %s, want %s", got, wantCurrent)
	}
	if got := text(b); got != wantBody {
		t.Errorf("body: got %s, want %s", got, wantBody)
	}
}

// keySet lists the paths of all members of a JSON value, lists as one.
func keySet(tb testing.TB, data []byte) []string {
	tb.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		tb.Fatal(err)
	}
	var out []string
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, below := range v {
				out = append(out, prefix+k)
				walk(prefix+k+" ", below)
			}
		case []any:
			for _, it := range v {
				walk(prefix, it)
			}
		}
	}
	walk("", v)
	slices.Sort(out)
	return slices.Compact(out)
}

// The example output of Update User, key by key.
func TestRender_FullAtlassianAnswerHasTheKeysOfTheExampleOutput(t *testing.T) {
	t.Parallel()
	const ent, ext = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "urn:scim:schemas:extension:atlassian-external:1.0"
	want := []string{
		"active", "department", "displayName",
		"emails", "emails primary", "emails type", "emails value",
		"externalId",
		"groups", "groups $ref", "groups display", "groups type", "groups value",
		"id",
		"meta", "meta created", "meta lastModified", "meta location", "meta resourceType",
		"name", "name familyName", "name formatted", "name givenName", "name honorificPrefix", "name honorificSuffix", "name middleName",
		"nickName", "organization",
		"phoneNumbers", "phoneNumbers primary", "phoneNumbers type", "phoneNumbers value",
		"preferredLanguage", "schemas", "timezone", "title",
		ent, ent + " department", ent + " organization",
		ext, ext + " atlassianAccountId",
		"userName",
	}
	slices.Sort(want)
	typ := typeOf(t, scim.Atlassian, "User")
	r := created(t, typ, strings.Replace(body("", ""), "{", `{"externalId":"e",`, 1)).Set(ext+":atlassianAccountId", scim.StringValue("602bdf"))
	meta := tableMeta
	meta.Links = []scim.Link{{ID: "g1", Type: "direct", Display: "team"}}
	answer, err := typ.Render(nil, r.Append(nil), &meta, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, keySet(t, answer)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
