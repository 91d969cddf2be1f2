package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// groupSizes are of how many members the groups are to which one is added. A
// directory has those for which it has the users.
var groupSizes = []int{1_000, 10_000, 100_000}

const (
	// groupsOfUser is how many groups the first users are in, whatever the
	// directory's size.
	groupsOfUser = 3
	firstUsers   = 100
	// spare is how many members of a group come and go: its last ones, so that its
	// size stays about what it is.
	spare = 200
)

// A group is a group of the first so many users.
type group struct {
	id      string
	members int
	turns   [spare]atomic.Uint32 // how often each of the spare members went or came
}

// patchActive is a PATCH of one attribute, which each time changes it.
func patchActive() *operation {
	return &operation{
		name: "PATCH active of a user", status: 200,
		request: func(b []byte, t *target, _ *rand.Rand, user int) []byte {
			active := t.turns[user].Add(1)%2 == 0 // it begins with true
			b = append(appendPath(b, "PATCH", t, "/"), t.id(user)...)
			return appendPatch(b, t, `{"op":"replace","path":"active","value":`+strconv.FormatBool(active)+`}`)
		},
		check:    func(_ *target, body []byte) bool { return bytes.Contains(body, []byte(`"active":`)) },
		sqlite:   budget{cpu: 120 * time.Microsecond, ratio: 0.35},
		postgres: budget{cpu: 120 * time.Microsecond},
	}
}

// patchMember takes a member out of a group of a size, or adds it again. On
// PostgreSQL the writers of one group wait for each other, so that there is
// nothing to say of a ratio.
func patchMember(size int) *operation {
	return &operation{
		name: fmt.Sprintf("PATCH a member of %d", size), status: 200, users: size,
		request: func(b []byte, t *target, rnd *rand.Rand, _ int) []byte {
			g := t.groupOf(size)
			i := rnd.IntN(spare)
			id := string(t.id((size - 1 - i) % t.users))
			b = append(append(appendGroups(b, "PATCH", t, "/"), g.id...), "?excludedAttributes=members"...)
			if g.turns[i].Add(1)%2 == 1 {
				return appendPatch(b, t, `{"op":"remove","path":"members[value eq \"`+id+`\"]"}`)
			}
			return appendPatch(b, t, `{"op":"add","path":"members","value":[{"value":"`+id+`"}]}`)
		},
		check: func(_ *target, body []byte) bool {
			return bytes.Contains(body, []byte(`"displayName":`)) && !bytes.Contains(body, []byte(`"members"`))
		},
		sqlite:   budget{cpu: 120 * time.Microsecond, ratio: 0.35},
		postgres: budget{cpu: 120 * time.Microsecond},
	}
}

// getWithGroups reads one of the first users.
func getWithGroups() *operation {
	return &operation{
		name: fmt.Sprintf("GET a user in %d groups", groupsOfUser), status: 200,
		request: func(b []byte, t *target, _ *rand.Rand, user int) []byte {
			return appendHead(append(appendPath(b, "GET", t, "/"), t.id(user%firstUsers)...), t)
		},
		check: func(_ *target, body []byte) bool { return bytes.Count(body, []byte("/Groups/")) == groupsOfUser },
	}
}

func (t *target) groupOf(size int) *group {
	for _, g := range t.groups {
		if g.members == size {
			return g
		}
	}
	panic(fmt.Sprintf("%s has no group of %d", t.name, size))
}

func appendGroups(b []byte, method string, t *target, rest string) []byte {
	b = append(append(b, method...), ' ')
	return append(append(append(b, strings.TrimSuffix(t.path, "Users")...), "Groups"...), rest...)
}

// appendPatch ends a request, whose path is in b, with one operation.
func appendPatch(b []byte, t *target, op string) []byte {
	return appendBody(b, t, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`+op+`]}`)
}

func appendBody(b []byte, t *target, body string) []byte {
	b = appendHead(b, t)
	b = append(b[:len(b)-len("\r\n")], "Content-Type: application/scim+json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	return append(append(b, "\r\n\r\n"...), body...)
}

// createGroups makes the groups of a directory whose users are there.
func (t *target) createGroups(ctx context.Context) error {
	c, err := dial(ctx, t.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	send := func(status int, request []byte) ([]byte, error) {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return nil, err
		}
		got, body, err := c.exchange(request)
		if err == nil && got != status {
			err = fmt.Errorf("%s: make a group: got %d: %.500s", t.name, got, body)
		}
		return body, err
	}
	var sizes []int
	for _, size := range groupSizes {
		if size <= t.users {
			sizes = append(sizes, size)
		}
	}
	for len(sizes) < groupsOfUser {
		sizes = append(sizes, firstUsers)
	}
	for i, size := range sizes {
		body, err := send(201, appendBody(appendGroups(nil, "POST", t, ""), t,
			fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Group %d"}`, i)))
		if err != nil {
			return err
		}
		g := &group{members: size}
		if g.id, err = idOf(body); err != nil {
			return err
		}
		t.groups = append(t.groups, g)
		const piece = 1000 // members in a request
		for from := 0; from < size; from += piece {
			var list strings.Builder
			for user := from; user < min(from+piece, size); user++ {
				if user > from {
					list.WriteByte(',')
				}
				fmt.Fprintf(&list, `{"value":%q}`, t.id(user))
			}
			b := append(append(appendGroups(nil, "PATCH", t, "/"), g.id...), "?excludedAttributes=members"...)
			if _, err := send(200, appendPatch(b, t, `{"op":"add","path":"members","value":[`+list.String()+`]}`)); err != nil {
				return err
			}
		}
	}
	return nil
}
