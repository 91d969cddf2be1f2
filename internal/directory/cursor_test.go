package directory_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// refusedCursor fails the test unless a cursor is refused as a 400 of this type.
func refusedCursor(t *testing.T, d *directory.Directory, what string, q directory.Query, typ string) {
	t.Helper()
	_, err := d.List(t.Context(), q)
	var e *scim.Error
	if !errors.As(err, &e) || e.Status != 400 || e.Type != typ {
		t.Errorf("%s: got %v, want %s", what, err, typ)
	}
}

// firstPage returns the cursor of the second page of users.
func firstPage(t *testing.T, d *directory.Directory, q directory.Query) string {
	t.Helper()
	empty := ""
	q.Cursor = &empty
	page, err := d.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if page.Next == "" || page.Previous != "" {
		t.Fatalf("the first page: next %q, previous %q", page.Next, page.Previous)
	}
	return page.Next
}

// Users that are there all the time are on one page each, while others come and
// go between any two pages, forwards and backwards.
func TestList_CursorsWhileItChanges(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		d := newDirectory(t, open(t, s, nil), scim.Standard)
		typ := d.Model.Type("User")
		random := rand.New(rand.NewPCG(1, 2))
		n := 0
		add := func(title string) string {
			n++
			body := fmt.Sprintf(`{"userName":"u%d","title":%q`, random.IntN(1_000_000)*1000+n, title)
			if random.IntN(3) > 0 {
				body += fmt.Sprintf(`,"displayName":"d%d"`, random.IntN(5))
			}
			if random.IntN(3) > 0 {
				body += fmt.Sprintf(`,"nickName":"n%d"`, random.IntN(5))
			}
			return create(t, d, body+"}").ID
		}
		var stay, go_ []string
		for range 40 {
			stay = append(stay, add("stays"))
			go_ = append(go_, add("goes"))
		}
		for _, tt := range []struct{ filter, by, order string }{
			{}, {by: "id", order: "descending"}, {by: "userName"}, {by: "displayName"}, {by: "displayName", order: "descending"},
			{by: "nickName"}, {by: "nickName", order: "descending"}, {filter: `title pr`}, {filter: `title pr`, by: "displayName"},
		} {
			for _, back := range []bool{false, true} {
				q := directory.Query{Select: users(t, d, tt.filter, tt.by, tt.order), Count: 7}
				empty := ""
				q.Cursor = &empty
				walk := func(step func(*directory.Page) string, change bool) (seen []string) {
					for {
						page, err := d.List(t.Context(), q)
						if err != nil {
							t.Fatal(err)
						}
						seen = append(seen, idsOf(page)...)
						next := step(page)
						if next == "" {
							return seen
						}
						q.Cursor = &next
						if !change {
							continue
						}
						go_ = append(go_, add("goes"), add("goes"))
						for range 2 {
							i := random.IntN(len(go_))
							if _, err := d.Delete(t.Context(), directory.Call{}, typ, go_[i]); err != nil {
								t.Fatal(err)
							}
							go_ = slices.Delete(go_, i, i+1)
						}
					}
				}
				next := func(p *directory.Page) string { return p.Next }
				seen := walk(next, !back)
				if back { // from the last page, which is not seen again
					last, err := d.List(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					seen = idsOf(last)
					q.Cursor = &last.Previous
					seen = append(seen, walk(func(p *directory.Page) string { return p.Previous }, true)...)
				}
				times := map[string]int{}
				for _, id := range seen {
					if times[id]++; times[id] > 1 {
						t.Errorf("%v, back %t: a user is there twice", tt, back)
					}
				}
				for _, id := range stay {
					if times[id] != 1 {
						t.Errorf("%v, back %t: a user that stays is there %d times", tt, back, times[id])
					}
				}
			}
		}
	})
}

// Going back to where nothing is any more leads to the first page.
func TestList_CursorBackToNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		d := newDirectory(t, open(t, s, nil), scim.Standard)
		remove := func(ids []string) {
			for _, id := range ids {
				if _, err := d.Delete(t.Context(), directory.Call{}, d.Model.Type("User"), id); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, by := range []string{"", "userName", "displayName", "meta.lastModified"} {
			var ids []string
			for i := range 5 {
				ids = append(ids, create(t, d, fmt.Sprintf(`{"userName":"u%d"}`, i)).ID)
			}
			q := directory.Query{Select: users(t, d, "", by, ""), Count: 2}
			next := firstPage(t, d, q)
			q.Cursor = &next
			second, err := d.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			remove(ids[:2])
			q.Cursor = &second.Previous
			page, err := d.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if got := idsOf(page); !slices.Equal(got, ids[2:4]) || page.Previous != "" || page.Next == "" {
				t.Errorf("by %s: got %v, previous %q, next %q", by, got, page.Previous, page.Next)
			}
			remove(ids[2:])
		}
	})
}

func TestList_CursorExpires(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		d := newDirectory(t, open(t, s, func() time.Time { return now }), scim.Standard)
		for i := range 3 {
			create(t, d, fmt.Sprintf(`{"userName":"u%d"}`, i))
		}
		q := directory.Query{Select: users(t, d, "", "", ""), Count: 1}
		next := firstPage(t, d, q)
		q.Cursor = &next
		now = now.Add(directory.CursorTimeout)
		if _, err := d.List(t.Context(), q); err != nil {
			t.Errorf("after %v: %v", directory.CursorTimeout, err)
		}
		now = now.Add(time.Second)
		refusedCursor(t, d, "later", q, scim.ExpiredCursor)
	})
}

// Every node of a store, and every start, honours the cursors of the others.
func TestList_CursorOfAnotherNode(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		d := newDirectory(t, open(t, s, nil), scim.Standard)
		for i := range 3 {
			create(t, d, fmt.Sprintf(`{"userName":"u%d"}`, i))
		}
		q := directory.Query{Select: users(t, d, "", "", ""), Count: 1}
		next := firstPage(t, d, q)
		other := get(t, open(t, s, nil), d.ID)
		q = directory.Query{Select: users(t, other, "", "", ""), Count: 1, Cursor: &next}
		page, err := other.List(t.Context(), q)
		if err != nil || len(page.Resources) != 1 {
			t.Fatalf("got %v, %v", page, err)
		}
	})
}

// A cursor is good for its list alone, and nobody can make one.
func TestList_CursorIsBound(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		d := newDirectory(t, svc, scim.Standard)
		rec, err := svc.Create(t.Context(), "other", scim.Standard, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		other := get(t, svc, rec.ID)
		for i := range 3 {
			create(t, d, fmt.Sprintf(`{"userName":"u%d","title":"x"}`, i))
			create(t, other, fmt.Sprintf(`{"userName":"u%d","title":"x"}`, i))
		}
		read := []roster.Scope{roster.ScopeUsersRead}
		q := directory.Query{Select: users(t, d, `title eq "x"`, "userName", ""), Count: 1, Scopes: read}
		next := firstPage(t, d, q)
		try := func(what string, d *directory.Directory, cursor string, change func(*directory.Query)) {
			t.Helper()
			bad := q
			bad.Cursor = &cursor
			change(&bad)
			refusedCursor(t, d, what, bad, scim.InvalidCursor)
		}
		same := func(*directory.Query) {}
		try("another directory", other, next, func(q *directory.Query) { q.Select = users(t, other, `title eq "x"`, "userName", "") })
		try("another filter", d, next, func(q *directory.Query) { q.Select = users(t, d, `title eq "y"`, "userName", "") })
		try("no filter", d, next, func(q *directory.Query) { q.Select = users(t, d, "", "userName", "") })
		try("another order", d, next, func(q *directory.Query) { q.Select = users(t, d, `title eq "x"`, "userName", "descending") })
		try("no order", d, next, func(q *directory.Query) { q.Select = users(t, d, `title eq "x"`, "", "") })
		try("another type", d, next, func(q *directory.Query) { q.Select[0].Type = d.Model.Type("Group") })
		q.Select = users(t, d, `title eq "x"`, "userName", "")
		try("other scopes", d, next, func(q *directory.Query) { q.Scopes = append(read, roster.ScopeGroupsRead) })
		try("no scopes", d, next, func(q *directory.Query) { q.Scopes = nil })
		for i := range next {
			letter := byte('A')
			if next[i] == letter {
				letter = 'B'
			}
			try("another letter", d, next[:i]+string(letter)+next[i+1:], same)
		}
		for _, text := range []string{"x", next[:len(next)-1], next + "A", next + "=", next + "\n", "A" + next, "é", string(make([]byte, 5000))} {
			try("not a cursor", d, text, same)
		}
		// The same list in other words is the same list.
		q.Select, q.Cursor = users(t, d, `( TITLE  EQ "x" )`, "USERNAME", "Ascending"), &next
		if _, err := d.List(t.Context(), q); err != nil {
			t.Error(err)
		}
	})
}
