package directory_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

func rule(name, value string) roster.DirectoryUpdate {
	return roster.DirectoryUpdate{Rules: map[string]jsontext.Value{name: jsontext.Value(value)}}
}

// badges is a document of schemas with the type Badge of some attributes.
func badges(attributes string) roster.DirectoryUpdate {
	return roster.DirectoryUpdate{Schemas: jsontext.Value(`{"schemas":[{"id":"urn:example:schemas:Badge","name":"Badge","attributes":[{"name":"number","required":true,"uniqueness":"server"}` + attributes + `]}],
		"resourceTypes":[{"name":"Badge","endpoint":"/Badges","schema":"urn:example:schemas:Badge"}]}`)}
}

func mustUpdate(t *testing.T, svc *directory.Service, id string, u roster.DirectoryUpdate) (*directory.Directory, *roster.DirectoryPlan) {
	t.Helper()
	want, err := svc.PlanUpdate(t.Context(), directory.Call{}, id, u)
	if err != nil {
		t.Fatal(err)
	}
	rec, plan, err := svc.Update(t.Context(), directory.Call{Key: "k"}, id, u)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Fatalf("the plan was another (-planned +done):\n%s", diff)
	}
	d := get(t, svc, id)
	if diff := cmp.Diff(rec, d.Directory); diff != "" {
		t.Fatalf("(-returned +stored):\n%s", diff)
	}
	return d, plan
}

func createBadge(t *testing.T, d *directory.Directory, body string) (*directory.Result, error) {
	t.Helper()
	r, _, err := d.Model.Type("Badge").Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return d.Create(t.Context(), directory.Call{}, r)
}

func shown(t *testing.T, d *directory.Directory, id string) string {
	t.Helper()
	typ := d.Model.Type("Badge")
	res, err := d.Get(t.Context(), typ, id, false)
	if err != nil {
		t.Fatal(err)
	}
	r, err := typ.Decode(res.Doc)
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, m := range r.Members() {
		b = append(append(append(b, m.Attr.Path...), '='), m.Value.AppendJSON(nil)...)
		b = append(b, ' ')
	}
	return fmt.Sprintf("v%d %s", res.Version, strings.TrimSpace(string(b)))
}

func TestUpdate_UniquenessNeedsValuesThatAre(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		d := newDirectory(t, svc, scim.Standard)
		user := func(name, email string) string {
			return fmt.Sprintf(`{"userName":%q,"emails":[{"value":%q}]}`, name, email)
		}
		a := create(t, d, user("a", "One@example.com"))
		b := create(t, d, user("b", "one@EXAMPLE.com"))
		_, _, err := svc.Update(t.Context(), directory.Call{}, d.ID, rule("uniqueEmails", "true"))
		if statusOf(err) != 409 || !strings.Contains(err.Error(), a.ID) || !strings.Contains(err.Error(), b.ID) || !strings.Contains(err.Error(), "emails.value") {
			t.Fatalf("got %v, want a 409 that names both", err)
		}
		plan, err := svc.PlanUpdate(t.Context(), directory.Call{}, d.ID, rule("uniqueEmails", "true"))
		want := []roster.Duplicate{{ResourceType: "User", Attribute: "emails.value", Value: "one@EXAMPLE.com", IDs: []string{a.ID, b.ID}}}
		if diff := cmp.Diff(want, plan.Duplicates); diff != "" || err != nil || plan.Refused == "" {
			t.Fatalf("%v, refused %q (-want +got):\n%s", err, plan.Refused, diff)
		}
		if d := get(t, svc, d.ID); d.Version != 1 {
			t.Errorf("a refused update left version %d", d.Version)
		}

		if _, err := d.Replace(t.Context(), directory.Call{}, b.ID, parse(t, d, user("b", "two@example.com"))); err != nil {
			t.Fatal(err)
		}
		d, plan = mustUpdate(t, svc, d.ID, rule("uniqueEmails", "true"))
		if diff := cmp.Diff([]roster.SettingChange{{Name: "uniqueEmails", From: jsontext.Value("false"), To: jsontext.Value("true")}}, plan.Settings); diff != "" {
			t.Errorf("settings (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]roster.AttributeChange{{ResourceType: "User", Attribute: "emails.value", Change: roster.PlanChanged, Details: []string{"uniqueness: none -> server"}}}, plan.Attributes); diff != "" || plan.Resources != 2 || plan.Rewritten != 0 {
			t.Errorf("%d looked through, %d rewritten; attributes (-want +got):\n%s", plan.Resources, plan.Rewritten, diff)
		}
		_, err = d.Create(t.Context(), directory.Call{}, parse(t, d, user("c", "TWO@example.com")))
		if statusOf(err) != 409 || !strings.Contains(err.Error(), b.ID) {
			t.Errorf("a taken e-mail: got %v, want a 409 that names %s", err, b.ID)
		}
		if got := find(t, d, `emails.value eq "two@example.com"`); len(got) != 1 || got[0] != b.ID {
			t.Errorf("found %v, want %s", got, b.ID)
		}

		d, _ = mustUpdate(t, svc, d.ID, rule("uniqueEmails", "null"))
		if len(d.Rules) != 0 {
			t.Errorf("rules %s, want none", d.Rules)
		}
		create(t, d, user("c", "TWO@example.com"))
		if got := find(t, d, `emails.value eq "two@example.com"`); len(got) != 2 {
			t.Errorf("found %v, want two", got)
		}
	})
}

func TestUpdate_SchemaChangeDropsNoValue(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		d := newDirectory(t, svc, scim.Standard)
		d, _ = mustUpdate(t, svc, d.ID, badges(`,{"name":"color"},{"name":"floor","type":"string"}`))
		res, err := createBadge(t, d, `{"number":"7","color":"red","floor":"3rd"}`)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := createBadge(t, d, `{"number":"7"}`); statusOf(err) != 409 {
			t.Errorf("a number that is taken: got %v, want a 409", err)
		}
		other, err := createBadge(t, d, `{"number":"8"}`)
		if err != nil {
			t.Fatal(err)
		}

		d, plan := mustUpdate(t, svc, d.ID, badges(`,{"name":"floor","type":"integer"}`))
		want := []roster.AttributeChange{
			{ResourceType: "Badge", Attribute: "floor", Change: roster.PlanChanged, Details: []string{"type: string -> integer"}, Hidden: 1},
			{ResourceType: "Badge", Attribute: "color", Change: roster.PlanRemoved, Hidden: 1},
		}
		if diff := cmp.Diff(want, plan.Attributes); diff != "" || plan.Resources != 2 || plan.Rewritten != 1 {
			t.Errorf("%d looked through, %d rewritten; attributes (-want +got):\n%s", plan.Resources, plan.Rewritten, diff)
		}
		if got, want := shown(t, d, res.ID), `v2 number="7"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := shown(t, d, other.ID), `v1 number="8"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		history, err := d.History(t.Context(), res.ID, 0, 1)
		if err != nil || len(history) != 1 || history[0].Key != "k" || len(history[0].Changes) != 2 || string(history[0].Changes[0].Before) != `"red"` {
			t.Errorf("history %+v, %v: want the two values that went", history, err)
		}
		body, _, err := d.Model.Type("Badge").Parse([]byte(`{"number":"9","floor":3}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Replace(t.Context(), directory.Call{}, res.ID, body); err != nil {
			t.Fatal(err)
		}
		// What was deleted in between comes back in the form of the day.
		if _, err := d.Delete(t.Context(), directory.Call{}, d.Model.Type("Badge"), res.ID); err != nil {
			t.Fatal(err)
		}

		d, plan = mustUpdate(t, svc, d.ID, badges(`,{"name":"color","required":true,"uniqueness":"server"}`))
		if len(plan.Attributes) != 2 || plan.Attributes[0].Missing != 1 {
			t.Errorf("attributes %+v, want color missing once", plan.Attributes)
		}
		if _, err := d.Restore(t.Context(), directory.Call{}, res.ID); err != nil {
			t.Fatal(err)
		}
		if got, want := shown(t, d, res.ID), `v5 number="9" color="red"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if _, err := createBadge(t, d, `{"number":"10","color":"RED"}`); statusOf(err) != 409 {
			t.Errorf("a colour that is taken: got %v, want a 409", err)
		}

		d, plan = mustUpdate(t, svc, d.ID, badges(`,{"name":"color"},{"name":"floor"}`))
		if got, want := shown(t, d, res.ID), `v6 number="9" color="red" floor="3rd"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if len(plan.Attributes) != 2 || plan.Attributes[1].Back != 1 {
			t.Errorf("attributes %+v, want floor back once", plan.Attributes)
		}
	})
}

func TestUpdate_KeepsATypeThatHasResources(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		d := newDirectory(t, svc, scim.Standard)
		d, plan := mustUpdate(t, svc, d.ID, badges(""))
		if diff := cmp.Diff([]roster.TypeChange{{Name: "Badge", Change: roster.PlanAdded}}, plan.Types); diff != "" {
			t.Errorf("types (-want +got):\n%s", diff)
		}
		res, err := createBadge(t, d, `{"number":"7"}`)
		if err != nil {
			t.Fatal(err)
		}
		none := roster.DirectoryUpdate{Schemas: jsontext.Value("null")}
		if _, _, err := svc.Update(t.Context(), directory.Call{}, d.ID, none); statusOf(err) != 409 || !strings.Contains(err.Error(), "1 resources of the type Badge") {
			t.Fatalf("got %v, want a 409 with the count", err)
		}
		if _, err := d.Delete(t.Context(), directory.Call{}, d.Model.Type("Badge"), res.ID); err != nil {
			t.Fatal(err)
		}
		if d, _ = mustUpdate(t, svc, d.ID, none); d.Model.Type("Badge") != nil || len(d.Schemas) != 0 {
			t.Errorf("the type is still there: %s", d.Schemas)
		}
	})
}

func TestUpdate_RefusesWhatDoesNotFit(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		d := newDirectory(t, svc, scim.Standard)
		if _, err := svc.Create(t.Context(), "other", scim.Standard, nil, true); err != nil {
			t.Fatal(err)
		}
		yes := true
		stale := directory.Call{IfMatch: &directory.Condition{Versions: []int64{2}}}
		for _, tt := range []struct {
			id     string
			c      directory.Call
			u      roster.DirectoryUpdate
			status int
			text   string
		}{
			{"none", directory.Call{}, roster.DirectoryUpdate{}, 404, ""},
			{d.ID, stale, roster.DirectoryUpdate{Name: "x"}, 412, `W/\"1\"`},
			{d.ID, directory.Call{}, roster.DirectoryUpdate{Name: "a\nb"}, 400, "name"},
			{d.ID, directory.Call{}, roster.DirectoryUpdate{RuleSet: "lax"}, 400, "lax"},
			{d.ID, directory.Call{}, rule("shoes", "1"), 400, "shoes"},
			{d.ID, directory.Call{}, rule("maxPage", `"x"`), 400, "maxPage"},
			{d.ID, directory.Call{}, roster.DirectoryUpdate{Default: &yes}, 409, "default"},
			{d.ID, directory.Call{}, roster.DirectoryUpdate{Schemas: jsontext.Value(`{"schemas":[{"id":"x"}]}`)}, 400, "URN"},
			{d.ID, directory.Call{}, roster.DirectoryUpdate{Schemas: jsontext.Value(`{"resourceTypes":[{"name":"User","schemaExtensions":[{"schema":"` + scim.AtlassianExternalURN + `","required":false}]}]}`)}, 400, scim.AtlassianExternalURN},
		} {
			_, _, err := svc.Update(t.Context(), tt.c, tt.id, tt.u)
			if statusOf(err) != tt.status || !strings.Contains(err.Error(), strings.ReplaceAll(tt.text, `\`, "")) {
				t.Errorf("%+v: got %v, want a %d with %q", tt.u, err, tt.status, tt.text)
			}
		}
		if got := get(t, svc, d.ID); got.Version != 1 {
			t.Errorf("version %d, want 1", got.Version)
		}
		long := strings.Repeat("x", directory.MaxKey+1)
		d, _ = mustUpdate(t, svc, d.ID, badges(`,{"name":"color"}`))
		if _, err := createBadge(t, d, `{"number":"7","color":"`+long+`"}`); err != nil {
			t.Fatal(err)
		}
		if _, _, err := svc.Update(t.Context(), directory.Call{}, d.ID, badges(`,{"name":"color","uniqueness":"server"}`)); statusOf(err) != 409 || !strings.Contains(err.Error(), "color") {
			t.Errorf("got %v, want a 409", err)
		}
	})
}

// A write that was checked against old rules never comes after new ones, on
// another node either.
func TestUpdate_OldRulesEndWithIt(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		one, two := open(t, s, nil), open(t, s, nil)
		d := newDirectory(t, one, scim.Standard)
		old := get(t, two, d.ID)
		create(t, d, `{"userName":"a","emails":[{"value":"x@example.com"}]}`)
		mustUpdate(t, one, d.ID, rule("uniqueEmails", "true"))
		again := func(d *directory.Directory) error {
			_, err := d.Create(t.Context(), directory.Call{}, parse(t, d, `{"userName":"b","emails":[{"value":"x@example.com"}]}`))
			return err
		}
		if err := again(old); statusOf(err) != 503 {
			t.Errorf("by old rules: got %v, want a 503", err)
		}
		if err := again(get(t, two, d.ID)); statusOf(err) != 409 {
			t.Errorf("read again: got %v, want a 409", err)
		}
	})
}

// Writers on two nodes, while uniqueness goes on and off: no two users have one
// e-mail where the rule is on.
func TestUpdate_RaceWithWriters(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		nodes := []*directory.Service{open(t, s, nil), open(t, s, nil)}
		d := newDirectory(t, nodes[0], scim.Standard)
		var wg sync.WaitGroup
		const names = 60
		for w := range 4 {
			wg.Go(func() {
				for i := 0; i < names; {
					d := get(t, nodes[w%2], d.ID)
					_, err := d.Create(t.Context(), directory.Call{}, parse(t, d, fmt.Sprintf(`{"userName":"u%d-%d","emails":[{"value":"e%d-%d@example.com"}]}`, w, i, w/2, i)))
					switch statusOf(err) {
					case 503: // the rules have changed: once more
						continue
					case 409:
					default:
						if err != nil {
							t.Error(err)
							return
						}
					}
					i++
				}
			})
		}
		on := false
		for range 20 {
			_, _, err := nodes[0].Update(t.Context(), directory.Call{}, d.ID, rule("uniqueEmails", "true"))
			if err != nil && statusOf(err) != 409 {
				t.Fatal(err)
			}
			on = on || err == nil
		}
		wg.Wait()
		if !on {
			// The writers were faster: two have one e-mail, and so it is refused.
			_, _, err := nodes[0].Update(t.Context(), directory.Call{}, d.ID, rule("uniqueEmails", "true"))
			if statusOf(err) != 409 {
				t.Fatalf("got %v, want a 409", err)
			}
			return
		}
		d = get(t, nodes[0], d.ID)
		for i := range names {
			for pair := range 2 {
				if got := find(t, d, fmt.Sprintf(`emails.value eq "e%d-%d@example.com"`, pair, i)); len(got) != 1 {
					t.Errorf("e-mail %d-%d is of %v, want one user", pair, i, got)
				}
			}
		}
	})
}

func TestOpen_SchemasOfTheServer(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		before := open(t, s, nil)
		d := newDirectory(t, before, scim.Standard)
		svc, err := directory.Open(t.Context(), directory.Options{Store: s, Schemas: badges("").Schemas})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []*directory.Directory{get(t, svc, d.ID), newDirectory(t, svc, scim.Strict)} {
			if d.Model.Type("Badge") == nil {
				t.Errorf("%s has not the schemas of the server", d.ID)
			}
		}
		d = get(t, svc, d.ID)
		if _, err := createBadge(t, d, `{"number":"7"}`); err != nil {
			t.Fatal(err)
		}
		if _, _, err := svc.Update(t.Context(), directory.Call{}, d.ID, badges(`,{"name":"x"}`)); statusOf(err) != 409 || !strings.Contains(err.Error(), "--schema-dir") {
			t.Errorf("got %v, want a 409 that names --schema-dir", err)
		}
		_, err = directory.Open(t.Context(), directory.Options{Store: s, Schemas: jsontext.Value(`{}`)})
		if e := (*scim.Error)(nil); !errors.As(err, &e) || e.Status != 409 || !strings.Contains(err.Error(), d.ID) {
			t.Errorf("got %v, want a 409 that names the directory", err)
		}
	})
}
