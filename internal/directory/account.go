package directory

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// accountID is where Atlassian shows the account that a user is linked to. Only
// the directories with its schemas have it: in the others nothing links.
const accountID = scim.AtlassianExternalURN + ":atlassianAccountId"

// MaxAccountLinks is how many records one lookup of an account or of an e-mail
// address returns at the most.
const MaxAccountLinks = 1000

// An AccountLink is the record of a user and the account that it is linked to.
type AccountLink struct {
	Directory, User string // ids
	Account         string // empty: unlinked

	version int64
}

// email returns the address that links a user to its account: the primary one,
// else the first; of a user without any, userName stands in for it.
func email(user *scim.Resource) string {
	var email string
	for _, e := range user.Get("emails").Items() {
		if v := e.Sub("value").Text(); email == "" || e.Sub("primary").Bool() {
			email = v
		}
	}
	if email == "" {
		email = user.Get("userName").Text()
	}
	return email
}

// account stands in for Atlassian's account ids: the same address, in any
// directory of the organisation, is the same account. other is empty, or tells
// apart who has an address that somebody else's account was made of.
func (s *Service) account(user *scim.Resource, other string) scim.Value {
	text := s.org + "\x00" + scim.Fold(email(user))
	if other != "" {
		text += "\x00" + other
	}
	sum := sha256.Sum256([]byte(text))
	id, _ := uuid.FromBytes(sum[:16]) // 16 bytes: no error
	return scim.StringValue("712020:" + id.String())
}

// withAccount returns user, whose id is id, linked to its account, in a directory
// that has accounts. One that another user of the directory has already, because
// it had the address before, is passed over: no two of them share one. What is
// linked so already is returned itself.
func (d *Directory) withAccount(tx store.Tx, user *scim.Resource, id string) (*scim.Resource, error) {
	t := user.Type()
	if !d.indexes[t].account {
		return user, nil
	}
	account := d.service.account(user, "")
	taken, err := d.accountTaken(tx, t, account)
	if taken {
		account = d.service.account(user, id)
	}
	if account.Equal(user.Get(accountID)) {
		return user, err
	}
	return user.Set(accountID, account), err
}

// accountTaken reports whether a user of the directory is linked to an account.
func (d *Directory) accountTaken(tx store.Tx, t *scim.Type, account scim.Value) (taken bool, err error) {
	q := store.Query{Directory: d.ID, Type: t.Name, Term: &store.Term{Attribute: accountID, Value: account.Text()}, Limit: 1}
	err = tx.List(q, func(*store.Record) error {
		taken = true
		return nil
	})
	return taken, err
}

// keepAccount returns a user that comes back from the trash: unlinked, where
// another one has its account by now.
func (d *Directory) keepAccount(tx store.Tx, user *scim.Resource) (*scim.Resource, error) {
	account := user.Get(accountID)
	if account.Kind() == scim.Absent {
		return user, nil
	}
	taken, err := d.accountTaken(tx, user.Type(), account)
	if taken {
		user = user.Set(accountID, scim.Value{})
	}
	return user, err
}

// relink links a user that was unlinked again when a change touches what links:
// its address, its userName, or active, which becomes true. Any other change
// leaves it unlinked, and a linked one keeps its account whatever changes.
func (d *Directory) relink(tx store.Tx, id string, old, next *scim.Resource) (*scim.Resource, error) {
	linked := func(r *scim.Resource) bool { return r.Get(accountID).Kind() != scim.Absent }
	if !d.indexes[next.Type()].account || linked(old) || linked(next) {
		return next, nil
	}
	active := next.Get("active").Bool() && !old.Get("active").Bool()
	if !active && email(next) == email(old) && next.Get("userName").Text() == old.Get("userName").Text() {
		return next, nil
	}
	return d.withAccount(tx, next, id)
}

// UnlinkAccount takes its account from a user, which stays as it is otherwise. One that
// has none stays at its version.
func (d *Directory) UnlinkAccount(ctx context.Context, c Call, id string) (*Result, error) {
	return d.setAccount(ctx, c, id, func(_ store.Tx, user *scim.Resource) (*scim.Resource, error) {
		return user.Set(accountID, scim.Value{}), nil
	})
}

// LinkAccount gives an unlinked user an account. One that has one stays at its version;
// in a directory whose schemas have no accounts it is a 409.
func (d *Directory) LinkAccount(ctx context.Context, c Call, id string) (*Result, error) {
	return d.setAccount(ctx, c, id, func(tx store.Tx, user *scim.Resource) (*scim.Resource, error) {
		if !d.indexes[user.Type()].account {
			return nil, scim.Errorf(409, "", "the users of this directory have no accounts: its schemas have no %s", accountID)
		}
		if user.Get(accountID).Kind() != scim.Absent {
			return user, nil
		}
		return d.withAccount(tx, user, id)
	})
}

func (d *Directory) setAccount(ctx context.Context, c Call, id string, set func(store.Tx, *scim.Resource) (*scim.Resource, error)) (*Result, error) {
	t := d.Model.Type("User")
	return d.write(ctx, c, func(tx store.Tx) (*Result, error) {
		cur, old, err := d.current(tx, t, id, c)
		if err != nil {
			return nil, err
		}
		next, err := set(tx, old)
		if err != nil {
			return nil, err
		}
		return d.advance(c, roster.OpPatch, cur, old, next, &membership{directory: d, tx: tx, group: cur}, nil)
	})
}

// LinksOfAccount returns the records that are linked to an account, in the order
// of their directories and then of their ids: MaxAccountLinks at the most.
func (s *Service) LinksOfAccount(ctx context.Context, account string) ([]AccountLink, error) {
	return s.links(ctx, accountID, account)
}

// LinksOfEmail is LinksOfAccount for the records that have an e-mail address,
// primary or not; unlinked ones too.
func (s *Service) LinksOfEmail(ctx context.Context, email string) ([]AccountLink, error) {
	return s.links(ctx, "emails.value", email)
}

// links asks the index of each directory that has accounts for a value.
func (s *Service) links(ctx context.Context, attribute, value string) ([]AccountLink, error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	list := []AccountLink{}
	for _, rec := range all {
		d, err := s.Get(ctx, rec.ID)
		if isStatus(err, 404) {
			continue // deleted just now
		}
		if err != nil {
			return nil, err
		}
		if list, err = d.appendLinks(ctx, list, attribute, value); err != nil || len(list) == MaxAccountLinks {
			return list, err
		}
	}
	return list, nil
}

func (d *Directory) appendLinks(ctx context.Context, list []AccountLink, attribute, value string) ([]AccountLink, error) {
	t := d.Model.Type("User")
	if !d.indexes[t].account {
		return list, nil
	}
	term := store.Term{Attribute: attribute, Value: t.Attr(attribute).Key(value)}
	if !isKey(term.Value) {
		return list, nil
	}
	q := store.Query{Directory: d.ID, Type: t.Name, Term: &term, Limit: MaxAccountLinks - len(list)}
	found := list
	err := d.service.store.View(ctx, func(r store.Reader) error {
		found = list
		return r.List(q, func(rec *store.Record) error {
			user, err := t.Decode(rec.Doc)
			if err != nil {
				return err
			}
			found = append(found, AccountLink{
				Directory: d.ID, User: rec.ID, Account: user.Get(accountID).Text(), version: rec.Version,
			})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	return found, nil
}

// DeleteAccount deletes the records that are linked to an account, in every
// directory, each as Delete does; none is a 404. It returns those that it
// deleted. Each directory is a transaction of its own: after an error some may
// be gone, and a repeated call deletes the rest.
func (s *Service) DeleteAccount(ctx context.Context, c Call, account string) (gone []AccountLink, err error) {
	for range attempts {
		links, err := s.LinksOfAccount(ctx, account)
		if err != nil {
			return gone, err
		}
		if len(links) == 0 {
			if len(gone) == 0 {
				return nil, scim.Errorf(404, "", "no user of the organisation is linked to the account %s", clip(account))
			}
			return gone, nil
		}
		for _, l := range links {
			d, err := s.Get(ctx, l.Directory)
			if err == nil {
				// Only what still is what was found: a record that was unlinked in
				// between is left alone.
				c.IfMatch = &Condition{Versions: []int64{l.version}}
				_, err = d.Delete(ctx, c, d.Model.Type("User"), l.User)
			}
			switch {
			case err == nil:
				gone = append(gone, l)
			case !isStatus(err, 404) && !isStatus(err, 412):
				return gone, err
			}
		}
	}
	return gone, scim.Errorf(409, "", "too many writers change these records at once: try again")
}

func isStatus(err error, status int) bool {
	var e *scim.Error
	return errors.As(err, &e) && e.Status == status
}
