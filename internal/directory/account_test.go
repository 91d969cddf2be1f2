package directory_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// The same primary address, in any letters and in any directory, is the same
// Atlassian account; who has it keeps it.
func TestAccountID(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		account := func(d *directory.Directory, res *directory.Result) string {
			r, err := d.Model.Type("User").Decode(res.Doc)
			if err != nil {
				t.Fatal(err)
			}
			return r.Get(scim.AtlassianExternalURN + ":atlassianAccountId").Text()
		}
		d, other := newDirectory(t, svc, scim.Atlassian), newDirectory(t, svc, scim.Atlassian)
		ada := create(t, d, `{"userName":"ada","emails":[{"value":"x@corp.example"},{"value":"ada@corp.example","primary":true}]}`)
		same := create(t, other, `{"userName":"somebody","emails":[{"value":"ADA@corp.example","primary":true}]}`)
		bob := create(t, other, `{"userName":"bob","emails":[{"value":"bob@corp.example","primary":true}]}`)
		id := account(d, ada)
		if id == "" || account(other, same) != id || account(other, bob) == id {
			t.Errorf("accounts %q, %q (the same), %q (another)", id, account(other, same), account(other, bob))
		}
		next, err := d.Replace(t.Context(), directory.Call{}, ada.ID, parse(t, d, `{"userName":"ada","emails":[{"value":"new@corp.example","primary":true}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := account(d, next); got != id {
			t.Errorf("the account of a user with a new address is %q, want %q still", got, id)
		}
		standard := newDirectory(t, svc, scim.Standard)
		if got := account(standard, create(t, standard, `{"userName":"ada"}`)); got != "" {
			t.Errorf("a standard user has the account %q", got)
		}
	})
}

// Where addresses need not be unique, one lookup is bounded all the same, and no
// two users of a directory share an account, whatever their addresses.
func TestLinksOfEmail_IsBounded(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		rec, err := svc.Create(t.Context(), t.Name(), scim.Atlassian, []byte(`{"uniqueEmails":false}`), false)
		if err != nil {
			t.Fatal(err)
		}
		d, other := get(t, svc, rec.ID), newDirectory(t, svc, scim.Atlassian)
		const same = `"emails":[{"value":"ada@corp.example","primary":true}]}`
		var ids []string
		ids = append(ids, create(t, d, `{"userName":"first",`+same).ID) // has the account of the address
		bodies := make([]*scim.Resource, directory.MaxAccountLinks)
		for i := range bodies {
			bodies[i] = parse(t, d, fmt.Sprintf(`{"userName":"%d",%s`, i, same))
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := w; i < len(bodies); i += 16 {
					res, err := d.Create(t.Context(), directory.Call{}, bodies[i])
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					ids = append(ids, res.ID)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		create(t, other, `{"userName":"ada",`+same)
		links, err := svc.LinksOfEmail(t.Context(), "ADA@corp.example")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(ids)
		if len(links) != directory.MaxAccountLinks {
			t.Fatalf("%d links, want %d", len(links), directory.MaxAccountLinks)
		}
		accounts := map[string]bool{}
		for i, l := range links {
			if l.Directory != d.ID || l.User != ids[i] {
				t.Errorf("link %d is %+v, want of the user %s", i, l, ids[i])
			}
			if l.Account == "" || accounts[l.Account] {
				t.Errorf("the account %q of %s is that of another one too", l.Account, l.User)
			}
			accounts[l.Account] = true
		}
	})
}

// A store from before accounts were indexed is indexed at its next start.
func TestOpen_IndexesAccounts(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		d := newDirectory(t, svc, scim.Atlassian)
		ada := create(t, d, `{"userName":"ada","emails":[{"value":"ada@corp.example","primary":true}]}`)
		links, err := svc.LinksOfEmail(t.Context(), "ada@corp.example")
		if err != nil || len(links) != 1 {
			t.Fatalf("%v, %v", links, err)
		}
		account := links[0].Account
		if err := s.ClearKeys(t.Context(), d.ID); err != nil {
			t.Fatal(err)
		}
		found := func(svc *directory.Service) bool {
			links, err := svc.LinksOfAccount(t.Context(), account)
			if err != nil {
				t.Fatal(err)
			}
			return len(links) == 1 && links[0].User == ada.ID
		}
		if found(svc) {
			t.Error("found without an index")
		}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.PutSetting("index", []byte("another")) }); err != nil {
			t.Fatal(err)
		}
		if !found(open(t, s, nil)) {
			t.Error("not found after the start")
		}
	})
}

// A call that is repeated after a failure goes on with the rest.
func TestDeleteAccount_GoesOn(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		const ada = `{"userName":"ada","emails":[{"value":"ada@corp.example","primary":true}]}`
		a, b := newDirectory(t, svc, scim.Atlassian), newDirectory(t, svc, scim.Atlassian)
		create(t, a, ada)
		create(t, b, ada)
		links, err := svc.LinksOfEmail(t.Context(), "ada@corp.example")
		if err != nil || len(links) != 2 || links[0].Account != links[1].Account {
			t.Fatalf("%v, %v", links, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := svc.DeleteAccount(ended, directory.Call{}, links[0].Account); err == nil {
			t.Error("deleted after the caller has gone")
		}
		if _, err := a.Delete(t.Context(), directory.Call{}, a.Model.Type("User"), links[0].User); err != nil {
			t.Fatal(err)
		}
		gone, err := svc.DeleteAccount(t.Context(), directory.Call{}, links[0].Account)
		if err != nil || len(gone) != 1 || gone[0].User != links[1].User {
			t.Errorf("deleted %v, %v", gone, err)
		}
		if _, err = svc.DeleteAccount(t.Context(), directory.Call{}, links[0].Account); statusOf(err) != 404 || !strings.Contains(err.Error(), links[0].Account) {
			t.Errorf("a third call: %v, want 404", err)
		}
	})
}
