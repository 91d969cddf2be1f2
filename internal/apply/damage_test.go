package apply_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/apply"
	"github.com/roster-scim/roster/scim"
)

const threePeople = twoPeople + "eve@corp.example,eve@corp.example,Clerk,E3,Sales\n"

// damages calls fn with forms of data that lack its end, or have one byte of another
// value: those of each step'th byte.
func damages(data string, step int, fn func(damaged string)) {
	for i := 0; i < len(data); i += step {
		fn(data[:i])
		fn(data[:i] + string(rune(data[i]^1)) + data[i+1:])
	}
}

// TestExecute_DamagedJournal loses the end of the journal, or a byte of it, at many
// places: what it does not tell any more is asked of the service, and nobody is
// written twice.
func TestExecute_DamagedJournal(t *testing.T) {
	t.Parallel()
	for name, ruleSet := range map[string]string{"roster": scim.Atlassian, "plain": scim.Standard} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrap := plain
			if name == "roster" {
				wrap = nil
			}
			b := newBench(t, open(t, serve(t, ruleSet, wrap)))
			b.apply(twoPeople, 2)
			run := b.apply("userName,email,title\nada@corp.example,,CTO\nbob@corp.example,,<clear>\neve@corp.example,eve@corp.example,Clerk\n", 3)
			journal, want := b.read(run, "done.ndjson"), b.versions()
			damages(journal, 5, func(damaged string) {
				b.write(run, "done.ndjson", damaged)
				b.execute(run, 3)
				if got := b.versions(); got != want {
					t.Fatalf("after %q: got %s, want %s", damaged, got, want)
				}
			})
			b.execute(b.undo(run, false), 3)
		})
	}
}

// TestSteps_DamagedPlan loses the end of a plan, or a byte of it, at every place:
// each is found out.
func TestSteps_DamagedPlan(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, serve(t, scim.Atlassian, nil)))
	run, err := b.plan(threePeople, apply.CSV, apply.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	damages(b.read(run, "plan.ndjson"), 1, func(damaged string) {
		b.write(run, "plan.ndjson", damaged)
		var failed error
		for _, err := range run.Steps() {
			failed = err
		}
		if failed == nil || !strings.Contains(failed.Error(), "is damaged") {
			t.Fatalf("%q: got %v", damaged, failed)
		}
	})
	_, err = apply.Execute(t.Context(), b.d, run, apply.ExecuteOptions{})
	if want := "the plan of run " + run.Meta.ID + " is damaged"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestStore_DamagedRun damages what a run says of itself at every place: it is
// refused, or as good as before, and never pruned.
func TestStore_DamagedRun(t *testing.T) {
	t.Parallel()
	s := &apply.Store{Dir: t.TempDir()}
	run, err := s.Create(apply.Meta{Source: "people.csv", URL: "https://scim.corp.example"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{TB: t}
	whole := b.read(run, "run.json")
	whole = strings.Replace(whole, string(apply.Planning), string(apply.Done), 1)
	if err := run.Close(); err != nil {
		t.Fatal(err)
	}
	opened := 0
	damages(whole, 1, func(damaged string) {
		b.write(run, "run.json", damaged)
		if err := s.Prune(time.Now()); err != nil {
			t.Fatal(err)
		}
		again, err := s.Open(run.Meta.ID)
		if err != nil {
			return
		}
		opened++
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	})
	if opened == 0 || opened == 2*len(whole) {
		t.Errorf("%d of %d could be opened", opened, 2*len(whole))
	}
	b.write(run, "run.json", whole)
	if list, err := s.List(); err != nil || len(list) != 1 {
		t.Errorf("got %d runs, %v, want 1", len(list), err)
	}
}

// TestLoadPlan_Edited changes what a saved plan sends, and not what it shows: shown
// is what is sent.
func TestLoadPlan_Edited(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, serve(t, scim.Atlassian, nil)))
	b.apply(twoPeople, 2)
	run, err := b.plan("userName,title\nada@corp.example,CTO\n", apply.CSV, apply.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var saved strings.Builder
	if err := run.WritePlan(&saved); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"as it is", "", "", "update ada@corp.example title: CTO"},
		{"another value is sent", `"title":"CTO"`, `"title":"CEO"`, "update ada@corp.example title: CEO"},
		{"one more is sent", `"title":"CTO"`, `"title":"CTO","active":false`, "update ada@corp.example title: CTO, active: false"},
		{"it shows another name", `"userName":"ada@corp.example","before"`, `"userName":"bob@corp.example","before"`, "update ada@corp.example title: CTO"},
		{"it sends no object", `"body":{`, `"body":7,"was":{`, "! what it sends: expected a JSON object"},
		{"it sends what cannot be", `"title":"CTO"`, `"title":{}`, "! the saved plan: step 1: "},
		{"another operation", `"op":"update"`, `"op":"extra"`, `! the saved plan: step 1: there is no operation "extra"`},
		{"no step", `"n":1`, `"n":2`, "! the saved plan: step 2 stands where step 1 belongs"},
	} {
		text := saved.String()
		if tt.old != "" {
			if text = strings.Replace(text, tt.old, tt.new, 1); text == saved.String() {
				t.Fatalf("%s: no %s in %s", tt.name, tt.old, text)
			}
		}
		again, err := b.store.Create(apply.Meta{URL: run.Meta.URL, Directory: run.Meta.Directory})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := apply.LoadPlan(t.Context(), b.d, strings.NewReader(text), again, 2); err != nil {
			got = "! " + err.Error()
		} else {
			for _, s := range steps(t, again) {
				var changes []string
				for _, c := range s.Changes {
					changes = append(changes, c.Attribute+": "+strings.Trim(string(c.After), `"`))
				}
				got += string(s.Op) + " " + s.UserName + " " + strings.Join(changes, ", ")
			}
		}
		if err := again.Remove(); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(got, tt.want) && !(strings.HasPrefix(tt.want, "!") && strings.Contains(got, tt.want[2:])) {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestStore_PruneTemp removes what a process that was killed has left.
func TestStore_PruneTemp(t *testing.T) {
	t.Parallel()
	s := &apply.Store{Dir: filepath.Join(t.TempDir(), "runs")}
	f, err := s.CreateTemp()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		at   time.Time
		want int
	}{{time.Now(), 1}, {time.Now().Add(25 * time.Hour), 0}} {
		if err := s.Prune(tt.at); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(s.Dir); err != nil || len(left) != tt.want {
			t.Errorf("got %d files, %v, want %d", len(left), err, tt.want)
		}
	}
}

func (b *bench) read(run *apply.Run, name string) string {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(run.Dir, name))
	if err != nil {
		b.Fatal(err)
	}
	return string(data)
}

func (b *bench) write(run *apply.Run, name, text string) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(run.Dir, name), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

// versions returns who there is, and when they were changed last.
func (b *bench) versions() string {
	b.Helper()
	var out strings.Builder
	for u, err := range b.d.Client.Users().List(b.Context(), nil) {
		if err != nil {
			b.Fatal(err)
		}
		out.WriteString(u.ID + " " + u.UserName + " " + u.Meta.LastModified.String() + "\n")
	}
	return out.String()
}
