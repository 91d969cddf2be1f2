package apply_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/internal/apply"
	"github.com/roster-scim/roster/scim"
)

func steps(t rapid.TB, run *apply.Run) (list []*apply.Step) {
	t.Helper()
	for s, err := range run.Steps() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

const twoPeople = `userName,email,title,externalId,department
ada@corp.example,ada@corp.example,Engineer,E1,Research
bob@corp.example,bob@corp.example,Buyer,E2,Sales
`

// TestRun_AnyService applies, changes and undoes on a Roster and on a service that
// has no versions and no Idempotency-Keys.
func TestRun_AnyService(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(http.Handler) http.Handler{"roster": nil, "plain": plain} {
		for _, ruleSet := range []string{scim.Atlassian, scim.Standard} {
			t.Run(name+" "+ruleSet, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, open(t, serve(t, ruleSet, wrap)))
				made := b.apply(twoPeople, 2)
				before := b.export(apply.NDJSON)
				run := b.apply("externalId,title,department,userName\nE1,CTO,,\nE2,<clear>,<clear>,bob2@corp.example\n", 2)
				if got := run.Meta.Counts; got.Replaced != 2 || got.Cleared != 2 {
					t.Errorf("got %+v, want 2 replaced and 2 cleared", got)
				}
				b.execute(b.undo(run, false), 2)
				if got := b.export(apply.NDJSON); got != before {
					t.Errorf("got %s, want %s", got, before)
				}
				gone := b.undo(made, false)
				b.execute(gone, 2)
				if got := b.export(apply.NDJSON); got != "" {
					t.Errorf("got %s, want nobody", got)
				}
				back := b.undo(gone, false)
				for _, s := range steps(t, back) {
					if anew := s.Note != ""; anew != (name == "plain") {
						t.Errorf("%s %s: got the note %q", s.Op, s.UserName, s.Note)
					}
				}
				b.execute(back, 2)
				if got := b.export(apply.NDJSON); withoutIDs(t, got) != withoutIDs(t, before) {
					t.Errorf("got %s, want %s", got, before)
				}
			})
		}
	}
}

// undo plans how a run is taken back.
func (b *bench) undo(of *apply.Run, force bool) *apply.Run {
	b.Helper()
	run, err := b.store.Create(apply.Meta{Source: "undo", URL: of.Meta.URL, Directory: of.Meta.Directory})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := run.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := apply.PlanUndo(b.Context(), b.d, of, run, apply.UndoOptions{Force: force}); err != nil {
		b.Fatal(err)
	}
	return run
}

func withoutIDs(t *testing.T, text string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(text) {
		var doc map[string]jsontext.Value
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatal(err)
		}
		delete(doc, "id")
		out, err := json.Marshal(doc, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(out))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestPlan_Matching is whom a row is about, and what stops a plan.
func TestPlan_Matching(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, serve(t, scim.Atlassian, nil)))
	b.apply(twoPeople, 2)
	ids := make(map[string]string)
	for u, err := range b.d.Client.Users().List(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		ids[u.UserName] = u.ID
	}
	many := "" // so many rows that everybody is read in one list
	for i := range 30 {
		many += fmt.Sprintf("x%d@corp.example,,x%d@corp.example,\n", i, i)
	}
	for _, tt := range []struct {
		name, row string
		who       string // empty: it is a fault
		fault     string
	}{
		{"id", ids["ada@corp.example"] + ",new@corp.example,,,", "ada@corp.example", ""},
		{"externalId before userName", ",new@corp.example,E2,,", "bob@corp.example", ""},
		{"userName in another case", ",ADA@corp.example,,,x", "ada@corp.example", ""},
		{"e-mail", ",,,BOB@corp.example,x", "bob@corp.example", ""},
		{"an externalId that nobody has", ",bob@corp.example,E9,,", "bob@corp.example", ""},
		{"an id that nobody has", "nobody,bob@corp.example,,,", "", "nobody in the directory has its id"},
		{"two people", ids["ada@corp.example"] + ",bob@corp.example,,,", "", `it matches two people: by its id "ada@corp.example"`},
		{"nobody", ",,,new@corp.example,x", "", "it needs a userName"},
		{"no key", ",,,,x", "", "nothing tells whom it is about"},
	} {
		for _, more := range []string{"", many} {
			t.Run(fmt.Sprintf("%s %v", tt.name, more != ""), func(t *testing.T) {
				t.Parallel()
				text := "id,userName,externalId,email,nickName\n" + tt.row + "\n"
				for line := range strings.Lines(more) {
					text += "," + line
				}
				run, err := b.plan(text, apply.CSV, apply.PlanOptions{})
				var faults *apply.Faults
				switch {
				case tt.who == "":
					if !errors.As(err, &faults) || faults.List[0].Line != 2 || !strings.Contains(err.Error(), tt.fault) {
						t.Errorf("got %v, want %s", err, tt.fault)
					}
				case err != nil:
					t.Error(err)
				default:
					if s := steps(t, run)[0]; s.Op != apply.Update || s.ID != ids[tt.who] {
						t.Errorf("got %s of %s, want an update of %s", s.Op, s.UserName, tt.who)
					}
				}
			})
		}
	}
}

// TestPlan_TwoRows is two rows for one person, by different keys.
func TestPlan_TwoRows(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, serve(t, scim.Atlassian, nil)))
	b.apply(twoPeople, 2)
	_, err := b.plan("userName,externalId,title\nada@corp.example,,a\nnew@corp.example,E1,b\n", apply.CSV, apply.PlanOptions{})
	if want := `line 3: it is for the same person as line 2: "ada@corp.example"`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestPlan_Replace clears what a row does not name.
func TestPlan_Replace(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, serve(t, scim.Standard, nil)))
	b.apply(twoPeople, 2)
	run, err := b.plan("userName,title\nada@corp.example,CTO\n", apply.CSV, apply.PlanOptions{Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range steps(t, run)[0].Changes {
		got = append(got, c.String())
	}
	for _, want := range []string{`~ title: "Engineer" -> "CTO"`, `- externalId: "E1" -> (cleared)`, `- emails: ["ada@corp.example"] -> (cleared)`} {
		if !slices.Contains(got, want) {
			t.Errorf("got %q, want %s in it", got, want)
		}
	}
}

// TestExecute_Changed leaves alone whom somebody changed after the plan was made.
func TestExecute_Changed(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(http.Handler) http.Handler{"roster": nil, "plain": plain} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, open(t, serve(t, scim.Standard, wrap)))
			b.apply(twoPeople, 2)
			run, err := b.plan("userName,title\nada@corp.example,CTO\nbob@corp.example,CFO\n", apply.CSV, apply.PlanOptions{})
			if err != nil {
				t.Fatal(err)
			}
			b.apply("userName,nickName\nada@corp.example,Countess\n", 1)
			at, err := apply.Execute(t.Context(), b.d, run, apply.ExecuteOptions{})
			if err != nil || at.Done != 1 || at.Failed != 1 {
				t.Errorf("got %+v, %v, want one done and one failed", at, err)
			}
			if err := run.Failed(func(s *apply.Step, r *apply.Result) error {
				if want := "was changed by somebody else"; s.UserName != "ada@corp.example" || !strings.Contains(r.Error, want) {
					t.Errorf("got %s: %s", s.UserName, r.Error)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if got := b.export(apply.CSV); strings.Contains(got, "CTO") || !strings.Contains(got, "CFO") || !strings.Contains(got, "Countess") {
				t.Errorf("got %s", got)
			}
			if list := steps(t, b.undo(run, false)); len(list) != 1 || list[0].UserName != "bob@corp.example" {
				t.Errorf("got %v to undo, want what was done", list)
			}
		})
	}
}

// TestExecute_Interrupted ends in the middle: what is in flight is finished, and
// the next call goes on, with nobody written twice.
func TestExecute_Interrupted(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	b := newBench(t, open(t, serve(t, scim.Standard, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				posts.Add(1)
			}
			h.ServeHTTP(w, r)
		})
	})))
	text := "userName\n"
	const rows = 50
	for i := range rows {
		text += fmt.Sprintf("p%d\n", i)
	}
	run, err := b.plan(text, apply.CSV, apply.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	at, err := apply.Execute(ctx, b.d, run, apply.ExecuteOptions{Concurrency: 3, Progress: func(p apply.Progress) {
		if p.Done > 10 {
			stop()
		}
	}})
	if !errors.Is(err, context.Canceled) || at.Done < 10 || at.Done >= rows {
		t.Fatalf("got %+v, %v, want an end in the middle", at, err)
	}
	if int64(at.Done) != posts.Load() {
		t.Errorf("got %d done of %d sent", at.Done, posts.Load())
	}
	// A process that is killed can leave half a line.
	f, err := os.OpenFile(filepath.Join(run.Dir, "done.ndjson"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"n":49,"do`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b.execute(run, rows)
	if got := posts.Load(); got != rows {
		t.Errorf("got %d requests, want %d", got, rows)
	}
}

// TestExecute_FreedValue takes a userName that another row gives away.
func TestExecute_FreedValue(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, serve(t, scim.Standard, nil)))
	b.apply(twoPeople, 2)
	b.apply("externalId,userName\nE1,bob@corp.example\nE2,carl@corp.example\n", 2)
}

func TestParseLimit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"5%": "5%", "20": "20", " 0.5 % ": "0.5%", "0": "0"} {
		if got, err := apply.ParseLimit(text); err != nil || got.String() != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5", "101%", "NaN", "Inf"} {
		if got, err := apply.ParseLimit(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

// TestExecute_Differs tells what a service made otherwise than was planned.
func TestExecute_Differs(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, serve(t, scim.Standard, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				changed := strings.ReplaceAll(string(body), "CTO", "Chief")
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(changed)), int64(len(changed))
			}
			h.ServeHTTP(w, r)
		})
	})))
	b.apply(twoPeople, 2)
	run := b.apply("userName,title\nada@corp.example,CTO\nbob@corp.example,CFO\n", 2)
	var got []string
	if err := run.Differing(func(s *apply.Step, r *apply.Result) error {
		got = append(got, s.UserName+": "+strings.Join(r.Differs, ", "))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"ada@corp.example: title"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPlan_LongRow bounds what one row of JSON can be, in length and in depth.
func TestPlan_LongRow(t *testing.T) {
	t.Parallel()
	typ := userType(t, scim.Standard)
	for _, start := range []string{`[{"userName":"`, `{"userName":"`} {
		if got, want := rows(typ, strings.TrimSuffix(start, `"`)+strings.Repeat("[", 100_000), apply.ReadOptions{}), "it is no JSON: jsontext: exceeded max depth"; !strings.Contains(got, want) {
			t.Errorf("got %.200s, want %s", got, want)
		}
		got := rows(typ, start+strings.Repeat("x", 3*apply.MaxRow), apply.ReadOptions{})
		if want := "a row is longer than 1024 KiB"; !strings.Contains(got, want) {
			t.Errorf("got %.200s, want %s", got, want)
		}
	}
}

// TestPlan_OddTexts plans rows whose texts no directory takes, or no JSON holds.
func TestPlan_OddTexts(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, serve(t, scim.Standard, nil)))
	for text, want := range map[string]string{
		"userName,title\na,b\x00c\n":   "line 2: ",
		"userName,title\na\x00,b\n":    "line 2: ",
		"userName,title\n\xff\xfe,b\n": "line 2: userName: ",
		"userName,caf\xe9\na,b\n":      "line 1: column ",
		"userName,title\na,\"b\n":      "line 2: ",
	} {
		if _, err := b.plan(text, apply.CSV, apply.PlanOptions{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	run, err := b.store.Create(apply.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Close() }) // it is only planned
	in, err := apply.NewReader(strings.NewReader("userName,caf\xe9\na,\xe9\n"), b.d.Type, apply.ReadOptions{Map: map[string]string{"caf\xe9": "-"}})
	if err == nil {
		err = apply.Plan(t.Context(), b.d, in, run, apply.PlanOptions{})
	}
	if err != nil {
		t.Error(err)
	}
}

// TestPlan_OddService plans and applies on a service whose documents have spaces,
// line ends, nulls and a name twice: what it shows is kept and compared as it is.
func TestPlan_OddService(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, serve(t, scim.Standard, func(h http.Handler) http.Handler {
		return plain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			body := strings.ReplaceAll(rec.Body.String(), `"userName":`, "\n  \"nickName\": null, \"userName\" : \"x\", \"userName\": ")
			maps.Copy(w.Header(), rec.Header())
			w.Header().Del("Content-Length")
			w.WriteHeader(rec.Code)
			if _, err := io.WriteString(w, body); err != nil {
				t.Error(err)
			}
		}))
	})))
	b.apply(twoPeople, 2)
	run := b.apply("userName,title\nada@corp.example,CTO\n", 1)
	b.execute(b.undo(run, false), 1)
	var saved strings.Builder
	run, err := b.plan("userName,title\nbob@corp.example,CTO\n", apply.CSV, apply.PlanOptions{})
	if err == nil {
		err = run.WritePlan(&saved)
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.store.Create(apply.Meta{URL: run.Meta.URL, Directory: run.Meta.Directory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := apply.LoadPlan(t.Context(), b.d, strings.NewReader(saved.String()), again, 2); err != nil {
		t.Fatal(err)
	}
	b.execute(again, 1)
}

// TestExecute_ServiceWithoutDefaults creates people on a service that does not fill
// in active: they come out as planned, and are found again after a kill.
func TestExecute_ServiceWithoutDefaults(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, serve(t, scim.Standard, func(h http.Handler) http.Handler {
		return plain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if r.Method == http.MethodPost && !strings.Contains(string(body), `"active"`) {
				body = []byte(strings.Replace(string(body), "{", `{"active":false,`, 1))
			}
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(body))), int64(len(body))
			h.ServeHTTP(w, r)
		}))
	})))
	run := b.apply(twoPeople, 2)
	if err := run.Differing(func(s *apply.Step, r *apply.Result) error {
		return fmt.Errorf("%s: %q", s.UserName, r.Differs)
	}); err != nil {
		t.Error(err)
	}
	b.write(run, "done.ndjson", "")
	b.execute(run, 2)
	b.execute(b.undo(run, false), 2)
}
