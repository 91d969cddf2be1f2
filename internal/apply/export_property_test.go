package apply_test

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/apply"
	"github.com/roster-scim/roster/scim"
)

// texts are values that a file could lose.
var texts = rapid.OneOf(
	rapid.SampledFrom([]string{`a,b;c`, "a\nb", "a\r\nb", "\r", `"`, ` a `, "<clear>", " <clear> ", "<json>1", "=1+1", "[1]", "{}", "\ufeffx", "日本", "true", "0", "null", "-"}),
	rapid.StringMatching(`[ -~äß\n\r\t]{1,12}`),
)

// somebody draws a person with a few attributes.
func somebody(t *rapid.T, n int, standard bool) string {
	name := fmt.Sprintf("p%d@corp.example", n)
	doc := map[string]any{
		"userName": name, "active": rapid.Bool().Draw(t, "active"),
		"emails": []map[string]any{{"value": name, "type": "work", "primary": true}},
	}
	for _, attr := range []string{"displayName", "title", "nickName", "externalId"} {
		if rapid.Bool().Draw(t, "has "+attr) {
			doc[attr] = texts.Draw(t, attr)
			if attr == "externalId" {
				doc[attr] = fmt.Sprintf("%v %d", doc[attr], n)
			}
		}
	}
	if rapid.Bool().Draw(t, "name") {
		doc["name"] = map[string]any{"givenName": texts.Draw(t, "given"), "familyName": texts.Draw(t, "family")}
	}
	var phones []map[string]any
	for i := range rapid.IntRange(0, 3).Draw(t, "phones") {
		p := map[string]any{"value": fmt.Sprintf("+44 %d%d", n, i)}
		if typ := rapid.SampledFrom([]string{"", "work", "mobile", "Home"}).Draw(t, "type"); typ != "" {
			p["type"] = typ
		}
		phones = append(phones, p)
	}
	if phones != nil {
		doc["phoneNumbers"] = phones
	}
	if rapid.Bool().Draw(t, "department") {
		doc[scim.EnterpriseUserURN] = map[string]any{"department": texts.Draw(t, "department")}
	}
	if standard && rapid.Bool().Draw(t, "address") {
		doc["addresses"] = []map[string]any{{"type": "work", "locality": texts.Draw(t, "locality")}}
	}
	out, err := json.Marshal(doc, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestExport_RoundTrip exports people of any values and applies the file, which
// changes nothing; and edits one cell, which changes that alone.
func TestExport_RoundTrip(t *testing.T) {
	t.Parallel()
	for _, ruleSet := range []string{scim.Atlassian, scim.Standard} {
		t.Run(ruleSet, func(t *testing.T) {
			t.Parallel()
			c := serve(t, ruleSet, nil)
			rapid.Check(t, func(rt *rapid.T) {
				b := newBench(t, open(t, fresh(t, c, ruleSet)))
				var people []string
				for i := range rapid.IntRange(1, 5).Draw(rt, "people") {
					people = append(people, somebody(rt, i, ruleSet == scim.Standard))
				}
				b.apply(strings.Join(people, "\n"), len(people))
				format := rapid.SampledFrom([]apply.Format{apply.CSV, apply.JSON, apply.NDJSON}).Draw(rt, "format")
				text := b.export(format)
				run, err := b.plan(text, format, apply.PlanOptions{})
				if err != nil {
					rt.Fatalf("%s: %v\n%s", format, err, text)
				}
				if c := run.Meta.Counts; c.Steps() != 0 || c.Unchanged != len(people) {
					rt.Fatalf("%s: got %+v of what was exported\n%s\n%v", format, c, text, steps(rt, run))
				}
				edited, id := edit(rt, b.export(apply.CSV))
				run, err = b.plan(edited, apply.CSV, apply.PlanOptions{})
				if err != nil {
					rt.Fatal(err)
				}
				list := steps(rt, run)
				if len(list) != 1 || list[0].ID != id || len(list[0].Changes) != 1 || list[0].Changes[0].Attribute != "userName" {
					rt.Fatalf("got %v of one edited cell", list)
				}
			})
		})
	}
}

// fresh makes a directory beside that of c.
func fresh(t *testing.T, c *client.Client, ruleSet string) *client.Client {
	t.Helper()
	dir, err := c.Management().CreateDirectory(t.Context(), client.DirectoryCreate{Name: "other", RuleSet: ruleSet})
	if err != nil {
		t.Fatal(err)
	}
	return &client.Client{BaseURL: c.BaseURL, Directory: dir.ID, Key: c.Key, RetryWait: c.RetryWait}
}

// edit gives one person of a table another userName, and returns their id.
func edit(t *rapid.T, text string) (edited, id string) {
	table, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	row := table[rapid.IntRange(1, len(table)-1).Draw(t, "row")]
	row[slices.Index(table[0], "userName")] = "edited@corp.example"
	var out strings.Builder
	if err := csv.NewWriter(&out).WriteAll(table); err != nil {
		t.Fatal(err)
	}
	return out.String(), row[0]
}
