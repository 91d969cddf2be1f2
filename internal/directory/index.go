package directory

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// indexVersion changes when other attributes are indexed, or in another way:
// then every store is indexed again at its next start.
const indexVersion = "2"

// MaxKey is the longest value, in bytes and folded, of an attribute that is
// unique or searched by.
const MaxKey = 1000

// isKey reports whether a resource can have value as a key.
func isKey(value string) bool {
	return len(value) <= MaxKey && !strings.ContainsRune(value, 0) && utf8.ValidString(value)
}

// searched are the attributes that people look others up by, besides those
// that are unique, and accountID, by which the Admin APIs do.
var searched = []string{"externalId", "userName", "displayName", "emails.value", accountID}

// An index says which values of a type become terms and claims.
type index struct {
	terms map[*scim.Attr]bool // true: a claim too
	tops  map[*scim.Attr][]*scim.Attr
	// account says that these are users who are linked to accounts: see accountID.
	account bool
}

func newIndex(t *scim.Type) *index {
	x := &index{
		terms: make(map[*scim.Attr]bool), tops: make(map[*scim.Attr][]*scim.Attr),
		account: t.Schema == scim.UserURN && t.Attr(accountID) != nil,
	}
	for _, a := range t.Attributes() {
		if a.Path == "id" || !a.Unique() && !slices.Contains(searched, a.Path) {
			continue
		}
		x.terms[a] = a.Unique()
		top := a.Top()
		x.tops[top] = append(x.tops[top], a)
	}
	return x
}

// change returns the keys that a change drops and adds. A value that is too
// long for a key is a 400.
func (x *index) change(diff []scim.Difference) (drop, add store.Keys, err error) {
	for _, d := range diff {
		for _, a := range x.tops[d.Attr] {
			was, is := keysOf(a, d.Before), keysOf(a, d.After)
			for _, v := range was {
				if !slices.Contains(is, v) {
					x.append(&drop, a, v)
				}
			}
			for _, v := range is {
				if slices.Contains(was, v) {
					continue
				}
				if len(v) > MaxKey {
					return drop, add, scim.Errorf(400, scim.InvalidValue, "%s is longer than %d bytes", a.Path, MaxKey)
				}
				x.append(&add, a, v)
			}
		}
	}
	return drop, add, nil
}

func (x *index) append(k *store.Keys, a *scim.Attr, value string) {
	term := store.Term{Attribute: a.Path, Value: value}
	k.Terms = append(k.Terms, term)
	if x.terms[a] {
		k.Claims = append(k.Claims, term)
	}
}

// keysOf returns the distinct keys of the attribute a in v, the value of the
// attribute at the top that a is or belongs to.
func keysOf(a *scim.Attr, v scim.Value) []string {
	var out []string
	each := func(v scim.Value) {
		if a.Top() != a {
			v = v.Sub(a.Name)
		}
		if v.Kind() != scim.String && v.Kind() != scim.Number && v.Kind() != scim.Bool {
			return
		}
		if k := a.Key(v.Text()); !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	if v.Kind() == scim.List {
		for _, it := range v.Items() {
			each(it)
		}
	} else {
		each(v)
	}
	return out
}
