package directory_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// spy is a store that remembers the keys that a Replace takes and adds.
type spy struct {
	store.Store
	drop, add store.Keys
}

type spyTx struct {
	store.Tx
	spy *spy
}

func (s *spy) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.Update(ctx, func(tx store.Tx) error { return fn(spyTx{tx, s}) })
}

func (t spyTx) Replace(r *store.Record, drop, add store.Keys, e *roster.Event) error {
	t.spy.drop, t.spy.add = drop, add
	return t.Tx.Replace(r, drop, add, e)
}

// Terms and claims are written when they change, and only then: to rewrite them
// costs more than the document.
func TestReplace_TouchesKeysThatChange(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		spied := &spy{Store: s}
		d := newDirectory(t, open(t, spied, nil), scim.Atlassian)
		res := create(t, d, `{"userName":"ada","externalId":"x","emails":[{"value":"a@corp.example","primary":true}]}`)
		mail := func(v string) store.Term { return store.Term{Attribute: "emails.value", Value: v} }
		for _, tt := range []struct {
			body      string
			drop, add store.Keys
		}{
			{body: `{"userName":"ada","title":"CTO","emails":[{"value":"a@corp.example","primary":true}]}`},
			{body: `{"userName":"ADA","emails":[{"value":"A@corp.example","primary":true,"type":"work"},{"value":"a@CORP.example"}]}`},
			{
				body: `{"userName":"ada","emails":[{"value":"b@corp.example","primary":true},{"value":"a@corp.example"}]}`,
				add:  store.Keys{Terms: []store.Term{mail("B@CORP.EXAMPLE")}, Claims: []store.Term{mail("B@CORP.EXAMPLE")}},
			},
			{
				body: `{"userName":"ada","externalId":null,"emails":[{"value":"b@corp.example","primary":true}]}`,
				drop: store.Keys{Terms: []store.Term{{Attribute: "externalId", Value: "x"}, mail("A@CORP.EXAMPLE")}, Claims: []store.Term{mail("A@CORP.EXAMPLE")}},
			},
		} {
			spied.drop, spied.add = store.Keys{}, store.Keys{}
			if _, err := d.Replace(t.Context(), directory.Call{}, res.ID, parse(t, d, tt.body)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]store.Keys{spied.drop, spied.add}, []store.Keys{tt.drop, tt.add}); diff != "" {
				t.Errorf("%s: dropped, added (-got +want):\n%s", tt.body, diff)
			}
		}
	})
}

func TestCreateKey_MintsNoMore(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		d := newDirectory(t, svc, scim.Standard)
		by := &roster.Key{Directory: d.ID, Scopes: []roster.Scope{roster.ScopeUsersWrite}}
		for scope, allowed := range map[roster.Scope]bool{
			roster.ScopeUsersRead: true, roster.ScopeUsersWrite: true, roster.ScopeGroupsRead: false, roster.ScopeAdmin: false,
		} {
			_, _, err := svc.CreateKey(t.Context(), by, directory.NewKey{Directory: d.ID, Name: "k", Scopes: []roster.Scope{scope}})
			if (err == nil) != allowed {
				t.Errorf("%s: %v", scope, err)
			}
		}
		_, _, err := svc.CreateKey(t.Context(), nil, directory.NewKey{Directory: "nope", Name: "k", Scopes: roster.Scopes})
		if e, ok := err.(*scim.Error); !ok || e.Status != 404 {
			t.Errorf("in no directory: %v, want a 404", err)
		}
		n := directory.NewKey{Name: "k", Scopes: roster.Scopes, Given: "a-key-of-sixteen-bytes"}
		if _, _, err := svc.CreateKey(t.Context(), nil, n); err != nil {
			t.Fatal(err)
		}
		if _, _, err = svc.CreateKey(t.Context(), nil, n); err == nil {
			t.Error("the same key was made twice")
		}
	})
}
