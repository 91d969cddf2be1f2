package directory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// A desk does to one directory what the tests of Undo need.
type desk struct {
	*testing.T
	d *directory.Directory
}

func (k desk) body(typ, text string) *scim.Resource {
	k.Helper()
	r, _, err := k.d.Model.Type(typ).Parse([]byte(text))
	if err != nil {
		k.Fatal(err)
	}
	return r
}

func (k desk) create(typ, text string) string {
	k.Helper()
	res, err := k.d.Create(k.Context(), directory.Call{}, k.body(typ, text))
	if err != nil {
		k.Fatal(err)
	}
	return res.ID
}

func (k desk) put(id, typ, text string) {
	k.Helper()
	if _, err := k.d.Replace(k.Context(), directory.Call{}, id, k.body(typ, text)); err != nil {
		k.Fatal(err)
	}
}

func (k desk) delete(typ, id string) {
	k.Helper()
	if _, err := k.d.Delete(k.Context(), directory.Call{}, k.d.Model.Type(typ), id); err != nil {
		k.Fatal(err)
	}
}

// history returns the events of a resource, the oldest first.
func (k desk) history(id string) []*roster.Event {
	k.Helper()
	list, err := k.d.History(k.Context(), id, 0, 1000)
	if err != nil {
		k.Fatal(err)
	}
	slices.Reverse(list)
	return list
}

// event returns the event that made a version.
func (k desk) event(id string, version int64) *roster.Event {
	k.Helper()
	list := k.history(id)
	i := slices.IndexFunc(list, func(e *roster.Event) bool { return e.Version == version })
	if i < 0 {
		k.Fatalf("no event of version %d", version)
	}
	return list[i]
}

func (k desk) undo(e *roster.Event, o directory.UndoOptions) *directory.Undo {
	k.Helper()
	u, err := k.d.Undo(k.Context(), directory.Call{Key: "k"}, e, o)
	if err != nil {
		k.Fatalf("undo of event %d, %s: %v", e.Seq, e.Operation, err)
	}
	return u
}

func (k desk) refused(e *roster.Event, words ...string) {
	k.Helper()
	for _, plan := range []bool{true, false} {
		before := len(k.history(e.Resource))
		_, err := k.d.Undo(k.Context(), directory.Call{}, e, directory.UndoOptions{Plan: plan})
		if statusOf(err) != 409 {
			k.Fatalf("undo of event %d: %v, want a 409", e.Seq, err)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				k.Errorf("undo of event %d: %v, want it to say %q", e.Seq, err, w)
			}
		}
		if after := len(k.history(e.Resource)); after != before {
			k.Errorf("a refused undo made %d events", after-before)
		}
	}
}

// state is what a reader sees of a resource, "" when it is not there.
func (k desk) state(typ, id string) string {
	k.Helper()
	res, err := k.d.Get(k.Context(), k.d.Model.Type(typ), id, true)
	if statusOf(err) == 404 {
		return ""
	}
	if err != nil {
		k.Fatal(err)
	}
	text := string(res.Doc)
	for _, l := range res.Links {
		text += " " + l.ID
	}
	return text
}

// Each kind of event is planned, undone, found to be undone already, and done
// again by undoing that.
func TestUndo_EachKind(t *testing.T) {
	const plain = `{"userName":"ada","title":"Engineer","nickName":"A","emails":[{"value":"a@corp.example","type":"work","primary":true}],
		"` + scim.EnterpriseUserURN + `":{"department":"R&D","manager":{"value":"7"}}}`
	const other = `{"userName":"Ada.King","title":"CTO","active":false,"emails":[{"value":"k@corp.example","primary":true},{"value":"a@corp.example"}],
		"` + scim.EnterpriseUserURN + `":{"costCenter":"1"}}`
	for _, tt := range []struct {
		name string
		// make returns the resource whose last event is undone.
		make func(k desk) (typ, id string)
		want roster.Operation
	}{
		{"create of a user", func(k desk) (string, string) { return "User", k.create("User", plain) }, roster.OpDelete},
		{"replace of a user", func(k desk) (string, string) {
			id := k.create("User", plain)
			k.put(id, "User", other)
			return "User", id
		}, roster.OpPatch},
		{"patch of a user", func(k desk) (string, string) {
			id := k.create("User", plain)
			p, _, err := k.d.Model.Type("User").ParsePatch([]byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"name.givenName","value":"Ada"},{"op":"remove","path":"title"}]}`))
			if err == nil {
				_, err = k.d.Patch(k.Context(), directory.Call{}, k.d.Model.Type("User"), id, p)
			}
			if err != nil {
				k.Fatal(err)
			}
			return "User", id
		}, roster.OpPatch},
		{"delete of a user in groups", func(k desk) (string, string) {
			id := k.create("User", plain)
			k.create("Group", `{"displayName":"Staff","members":[{"value":"`+id+`"}]}`)
			k.create("Group", `{"displayName":"Board","members":[{"value":"`+id+`"}]}`)
			k.delete("User", id)
			return "User", id
		}, roster.OpRestore},
		{"restore of a user", func(k desk) (string, string) {
			id := k.create("User", plain)
			k.delete("User", id)
			if _, err := k.d.Restore(k.Context(), directory.Call{}, id); err != nil {
				k.Fatal(err)
			}
			return "User", id
		}, roster.OpDelete},
		{"replace of a group", func(k desk) (string, string) {
			a, b, c := k.create("User", `{"userName":"a"}`), k.create("User", `{"userName":"b"}`), k.create("User", `{"userName":"c"}`)
			id := k.create("Group", `{"displayName":"Staff","members":[{"value":"`+a+`"},{"value":"`+b+`"}]}`)
			k.put(id, "Group", `{"displayName":"Crew","members":[{"value":"`+b+`"},{"value":"`+c+`"}]}`)
			return "Group", id
		}, roster.OpPatch},
		{"delete of a group", func(k desk) (string, string) {
			a := k.create("User", `{"userName":"a"}`)
			id := k.create("Group", `{"displayName":"Staff","members":[{"value":"`+a+`"}]}`)
			k.delete("Group", id)
			return "Group", id
		}, roster.OpRestore},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, s store.Store) {
				k := desk{t, newDirectory(t, open(t, s, nil), scim.Standard)}
				typ, id := tt.make(k)
				list := k.history(id)
				e, now := list[len(list)-1], k.state(typ, id)

				plan := k.undo(e, directory.UndoOptions{Plan: true})
				if plan.Operation != tt.want || plan.Version != e.Version {
					t.Errorf("the plan is %s at version %d, want %s at %d", plan.Operation, plan.Version, tt.want, e.Version)
				}
				if got := k.state(typ, id); got != now || len(k.history(id)) != len(list) {
					t.Fatalf("the plan changed %s to %s", now, got)
				}

				u := k.undo(e, directory.UndoOptions{})
				then := k.state(typ, id)
				if u.Operation != tt.want || u.Version != e.Version+1 || then == now {
					t.Errorf("undone by %s, version %d: %s", u.Operation, u.Version, then)
				}
				if diff := cmp.Diff([]any{plan.Added, plan.Removed, plan.Missing, len(plan.Overridden)}, []any{u.Added, u.Removed, u.Missing, len(u.Overridden)}); diff != "" {
					t.Errorf("(-planned +done):\n%s", diff)
				}
				by := k.event(id, u.Version)
				if by.Operation != tt.want || by.Undoes != e.Seq || by.Key != "k" {
					t.Errorf("the event of the undo: %+v", by)
				}

				again := k.undo(e, directory.UndoOptions{})
				if again.Operation != "" || again.Version != u.Version || len(k.history(id)) != len(list)+1 {
					t.Errorf("undone twice: %s, version %d", again.Operation, again.Version)
				}

				redo := k.undo(by, directory.UndoOptions{})
				if got := k.state(typ, id); got != now || redo.Operation == "" {
					t.Errorf("done again:\ngot  %s\nwant %s", got, now)
				}
			})
		})
	}
}

func TestUndo_Update(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		k := desk{t, newDirectory(t, open(t, s, nil), scim.Standard)}
		id := k.create("User", `{"userName":"ada","title":"Engineer","nickName":"A"}`)
		k.put(id, "User", `{"userName":"ada","title":"CTO"}`)
		k.put(id, "User", `{"userName":"ada","title":"CTO","locale":"en"}`)
		k.put(id, "User", `{"userName":"ada","title":"CEO","locale":"en"}`)
		k.put(id, "User", `{"userName":"ada","title":"CEO","locale":"fr"}`)

		// What came later, and touched the same, is named; what touched another is not.
		three, four, five := k.event(id, 3), k.event(id, 4), k.event(id, 5)
		k.refused(k.event(id, 2), "title", fmt.Sprintf("in event %d:", four.Seq))
		k.refused(three, "locale", fmt.Sprintf("in event %d:", five.Seq))
		u := k.undo(k.event(id, 2), directory.UndoOptions{Force: true})
		if diff := cmp.Diff(u.Overridden, []int64{four.Seq}); diff != "" {
			t.Errorf("overridden (-got +want):\n%s", diff)
		}
		if got, want := k.state("User", id), `{"userName":"ada","nickName":"A","title":"Engineer","locale":"fr","active":true}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// A delete and a restore leave everything as it was.
		k.delete("User", id)
		k.refused(five, "deleted")
		if _, err := k.d.Restore(t.Context(), directory.Call{}, id); err != nil {
			t.Fatal(err)
		}
		k.undo(five, directory.UndoOptions{})
		if got := k.state("User", id); !strings.Contains(got, `"locale":"en"`) {
			t.Errorf("got %s", got)
		}
		// A create that others have built on.
		k.refused(k.event(id, 1), "the resource changed")
		k.undo(k.event(id, 1), directory.UndoOptions{Force: true})
		if got := k.state("User", id); got != "" {
			t.Errorf("it is still there: %s", got)
		}
	})
}

// An undo goes by the same rules as any other change.
func TestUndo_Rules(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		k := desk{t, newDirectory(t, open(t, s, nil), scim.Standard)}
		ada := k.create("User", `{"userName":"ada"}`)
		k.put(ada, "User", `{"userName":"countess"}`)
		holder := k.create("User", `{"userName":"ADA"}`)
		k.refused(k.event(ada, 2), "userName[ada]", "Held by "+holder)
		k.delete("User", ada)
		k.put(holder, "User", `{"userName":"Countess"}`)
		k.refused(k.event(ada, 3), "userName[countess]", "Held by "+holder)

		events := k.history(ada)
		if _, err := k.d.Purge(t.Context(), ada); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			purged, err := k.d.Event(t.Context(), e.Seq)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.d.Undo(t.Context(), directory.Call{}, purged, directory.UndoOptions{Force: true}); statusOf(err) != 409 || !strings.Contains(err.Error(), "purged") {
				t.Errorf("undo of a purged event: %v, want a 409", err)
			}
			// One who has read it before cannot bring it back either.
			u, err := k.d.Undo(t.Context(), directory.Call{}, e, directory.UndoOptions{Force: true})
			if err == nil && u.Operation != "" || err != nil && statusOf(err) != 409 {
				t.Errorf("undo of what was purged since: %+v, %v", u, err)
			}
		}

		atlassian := desk{t, newDirectory(t, open(t, s, nil), scim.Atlassian)}
		const mail = `"emails":[{"value":"a@corp.example","primary":true}]`
		id := atlassian.create("User", `{"userName":"a",`+mail+`}`)
		atlassian.put(id, "User", `{"userName":"a","department":"R&D",`+mail+`}`)
		atlassian.undo(atlassian.event(id, 2), directory.UndoOptions{})
		if got := atlassian.state("User", id); strings.Contains(got, "R&D") {
			t.Errorf("a view of the department is left: %s", got)
		}
		_, err := k.d.Event(t.Context(), atlassian.event(id, 1).Seq)
		if statusOf(err) != 404 {
			t.Errorf("an event of another directory: %v, want a 404", err)
		}
		// Its condition is that of any write.
		_, err = atlassian.d.Undo(t.Context(), directory.Call{IfMatch: &directory.Condition{Versions: []int64{1}}}, atlassian.event(id, 3), directory.UndoOptions{})
		if statusOf(err) != 412 {
			t.Errorf("of another version: %v, want a 412", err)
		}
	})
}

// Of members those that the event touched go back, who is gone is told, and only
// later changes of the same members stand in the way.
func TestUndo_Members(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		k := desk{t, newDirectory(t, open(t, s, nil), scim.Standard)}
		var ids []string
		for i := range 5 {
			ids = append(ids, k.create("User", fmt.Sprintf(`{"userName":"u%d"}`, i)))
		}
		members := func(of ...int) string {
			var list []string
			for _, i := range of {
				list = append(list, `{"value":"`+ids[i]+`"}`)
			}
			return `{"displayName":"Staff","members":[` + strings.Join(list, ",") + `]}`
		}
		id := k.create("Group", members(0, 1, 2))
		k.put(id, "Group", members(3))    // 2: 0, 1, 2 go and 3 comes
		k.put(id, "Group", members(3, 4)) // 3: another one
		k.delete("User", ids[2])          // so cannot be added back
		u := k.undo(k.event(id, 2), directory.UndoOptions{})
		if diff := cmp.Diff([][]string{u.Added, u.Removed, u.Missing}, [][]string{ids[:2], ids[3:4], ids[2:3]}); diff != "" {
			t.Errorf("added, removed, missing (-got +want):\n%s", diff)
		}
		if got, want := k.state("Group", id), strings.Join([]string{`{"displayName":"Staff"}`, ids[0], ids[1], ids[4]}, " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		k.put(id, "Group", members(0, 4)) // 5: 1 goes
		k.refused(k.event(id, 2), "members", fmt.Sprintf("in events %d, %d:", k.event(id, 4).Seq, k.event(id, 5).Seq))
		k.undo(k.event(id, 3), directory.UndoOptions{}) // 4 came then, and was not touched again
		if got, want := k.state("Group", id), `{"displayName":"Staff"} `+ids[0]; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// A write that comes between the look and the change is not lost: the undo looks
// again, and finds it in its way or beside it.
func TestUndo_AgainstConcurrentChange(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		b := &between{Store: s}
		k := desk{t, newDirectory(t, open(t, b, nil), scim.Standard)}
		id := k.create("User", `{"userName":"ada","title":"Engineer"}`)
		k.put(id, "User", `{"userName":"ada","title":"CTO"}`)
		two := k.event(id, 2)
		b.arm(func() { k.put(id, "User", `{"userName":"ada","title":"CTO","nickName":"A"}`) })
		k.undo(two, directory.UndoOptions{})
		if got, want := k.state("User", id), `{"userName":"ada","nickName":"A","title":"Engineer","active":true}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		k.undo(k.event(id, 4), directory.UndoOptions{})
		b.arm(func() { k.put(id, "User", `{"userName":"ada","title":"CEO","nickName":"A"}`) })
		if _, err := k.d.Undo(t.Context(), directory.Call{}, k.event(id, 5), directory.UndoOptions{}); statusOf(err) != 409 || !strings.Contains(err.Error(), "title") {
			t.Errorf("the same attribute was changed in between: %v, want a 409", err)
		}
		if got := k.state("User", id); !strings.Contains(got, "CEO") {
			t.Errorf("the change in between is lost: %s", got)
		}
	})
}

// between is a store that does something else before the next transaction that
// it has seen a read before.
type between struct {
	store.Store
	mu sync.Mutex
	fn func()
}

func (b *between) arm(fn func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fn = fn
}

func (b *between) Update(ctx context.Context, fn func(store.Tx) error) error {
	b.mu.Lock()
	other := b.fn
	b.fn = nil
	b.mu.Unlock()
	if other != nil {
		other()
	}
	return b.Store.Update(ctx, fn)
}

// However many undo one event at once, it is undone once.
func TestUndo_OneWins(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		k := desk{t, newDirectory(t, open(t, s, nil), scim.Standard)}
		for i := range 5 {
			id := k.create("User", fmt.Sprintf(`{"userName":"u%d","title":"Engineer"}`, i))
			k.put(id, "User", fmt.Sprintf(`{"userName":"u%d","title":"CTO"}`, i))
			e := k.event(id, 2)
			var wg sync.WaitGroup
			done := make(chan roster.Operation, 8)
			for range cap(done) {
				wg.Go(func() {
					u, err := k.d.Undo(t.Context(), directory.Call{}, e, directory.UndoOptions{})
					if err != nil {
						t.Error(err)
						return
					}
					done <- u.Operation
				})
			}
			wg.Wait()
			close(done)
			n := 0
			for op := range done {
				if op != "" {
					n++
				}
			}
			if n != 1 || len(k.history(id)) != 3 {
				t.Errorf("%d undid it, in %d events", n, len(k.history(id)))
			}
		}
	})
}

// Await ends with the first event, of this process or of another, and with its
// context.
func TestAwait(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc, node := open(t, s, nil), open(t, s, nil)
		d := newDirectory(t, svc, scim.Standard)
		there := get(t, node, d.ID)
		var after int64
		for i, writer := range []*directory.Directory{d, there, d} {
			type found struct {
				list []*roster.Event
				err  error
			}
			answers := make(chan found, 3)
			for range 3 {
				go func() {
					list, err := d.Await(t.Context(), after, 10)
					answers <- found{list, err}
				}()
			}
			res := create(t, writer, fmt.Sprintf(`{"userName":"u%d"}`, i))
			var seq int64
			for range 3 {
				var a found
				select {
				case a = <-answers:
				case <-time.After(time.Minute):
					t.Fatalf("nobody has seen %s", res.ID)
				}
				if a.err != nil || len(a.list) != 1 || a.list[0].Resource != res.ID {
					t.Fatalf("waited for %s, got %v, %v", res.ID, a.list, a.err)
				}
				seq = a.list[0].Seq
			}
			after = seq
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			list, err := d.Await(ctx, after, 10)
			if len(list) > 0 {
				err = errors.New("there are events")
			}
			ended <- err
		}()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the end of its context: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("it outlives its context")
		}
	})
}
