package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
)

// pageSize is how many users a list returns.
const pageSize = 100

// An operation is one row of the table: what is sent, and what it may cost.
type operation struct {
	name   string
	status int // of the answer
	users  int // that a directory must have; 0: any number
	// request appends the next request to b; user is a random one, or for POST
	// the next.
	request func(b []byte, t *target, rnd *rand.Rand, user int) []byte
	// check says whether an answer of Roster is what was asked for.
	check func(t *target, body []byte) bool

	sqlite, postgres budget
}

// A budget is what the project allows itself (docs/bench.md). Zero: nothing is said.
type budget struct {
	cpu   time.Duration // of the server, for one operation
	ratio float64       // of operations a second to those of the bare server
	rate  float64       // operations a second, where the bare server is no measure
}

// post makes the users, and is measured while it does.
var post = &operation{
	name: "POST a user", status: 201,
	request: func(b []byte, t *target, rnd *rand.Rand, user int) []byte {
		return appendRequest(b, t, "POST", "", 0, user, rnd.Uint32(), 0)
	},
	check: func(_ *target, body []byte) bool { return bytes.Contains(body, []byte(`"displayName":"Ada Lovelace`)) },
}

// operations are what is measured once the users are there.
var operations = []*operation{
	{
		name: "PUT a user", status: 200,
		request: func(b []byte, t *target, rnd *rand.Rand, user int) []byte {
			return appendRequest(b, t, "PUT", "/", user, user, rnd.Uint32(), 0)
		},
		check:    func(_ *target, body []byte) bool { return bytes.Contains(body, []byte(`"title":"Principal`)) },
		sqlite:   budget{cpu: 105 * time.Microsecond, ratio: 0.45},
		postgres: budget{cpu: 80 * time.Microsecond, ratio: 0.20},
	},
	{
		name: "PUT, another displayName", status: 200,
		request: func(b []byte, t *target, rnd *rand.Rand, user int) []byte {
			return appendRequest(b, t, "PUT", "/", user, user, rnd.Uint32(), rnd.Uint32())
		},
		check: func(_ *target, body []byte) bool { return bytes.Contains(body, []byte(`"title":"Principal`)) },
	},
	{
		name: "GET by id", status: 200,
		request: func(b []byte, t *target, _ *rand.Rand, user int) []byte {
			return appendHead(append(appendPath(b, "GET", t, "/"), t.id(user)...), t)
		},
		check:  func(_ *target, body []byte) bool { return bytes.Contains(body, []byte(`"title":"Principal`)) },
		sqlite: budget{cpu: 47 * time.Microsecond, ratio: 0.55},
	},
	filter("userName", "user.", "@bench.example"),
	filter("externalId", "ext-", ""),
	filter("emails.value", "ada.", "@home.example"),
	list("list the first 100", func(*target, *rand.Rand) int { return 1 }),
	list("list any page of 100", func(t *target, rnd *rand.Rand) int { return 1 + pageSize*rnd.IntN(t.users/pageSize) }),
	listByCursor(),
	getWithGroups(),
	patchActive(),
	patchMember(groupSizes[0]),
	patchMember(groupSizes[1]),
	patchMember(groupSizes[2]),
}

// filter is a search for one user by a value that only that one has.
func filter(attribute, prefix, suffix string) *operation {
	return &operation{
		name: "filter " + attribute + " eq", status: 200,
		request: func(b []byte, t *target, _ *rand.Rand, user int) []byte {
			b = appendPath(b, "GET", t, "?filter=")
			b = append(b, attribute...)
			b = append(b, "%20eq%20%22"...)
			b = append(b, prefix...)
			b = appendNumber(b, user)
			b = append(b, suffix...)
			return appendHead(append(b, "%22"...), t)
		},
		check:  func(_ *target, body []byte) bool { return bytes.Contains(body, []byte(`"totalResults":1,`)) },
		sqlite: budget{cpu: 70 * time.Microsecond, ratio: 0.42},
	}
}

// list is a page that begins at a startIndex.
func list(name string, startIndex func(*target, *rand.Rand) int) *operation {
	return &operation{
		name: name, status: 200,
		request: func(b []byte, t *target, rnd *rand.Rand, _ int) []byte {
			b = appendPath(b, "GET", t, "?count="+strconv.Itoa(pageSize)+"&startIndex=")
			return appendHead(strconv.AppendInt(b, int64(startIndex(t, rnd)), 10), t)
		},
		check: func(t *target, body []byte) bool {
			return bytes.Contains(body, []byte(`"itemsPerPage":`+strconv.Itoa(pageSize)+`,`)) &&
				bytes.Contains(body, []byte(`"totalResults":`+strconv.Itoa(t.users)+`,`))
		},
		sqlite: budget{cpu: 1300 * time.Microsecond, rate: 1500},
	}
}

// listByCursor is any page, by its cursor.
func listByCursor() *operation {
	return &operation{
		name: "list any page of 100 by cursor", status: 200,
		request: func(b []byte, t *target, rnd *rand.Rand, _ int) []byte {
			b = appendPath(b, "GET", t, "?count="+strconv.Itoa(pageSize)+"&cursor=")
			return appendHead(append(b, t.cursors[rnd.IntN(len(t.cursors))]...), t)
		},
		check: func(_ *target, body []byte) bool {
			return bytes.Contains(body, []byte(`"itemsPerPage":`+strconv.Itoa(pageSize)+`,`))
		},
		sqlite: budget{cpu: 1300 * time.Microsecond, rate: 1500},
	}
}

// readCursors reads the cursor of each page of a directory whose users are there.
func (t *target) readCursors(ctx context.Context) error {
	c, err := dial(ctx, t.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for next := ""; len(t.cursors) < t.users/pageSize; {
		t.cursors = append(t.cursors, next)
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		status, body, err := c.exchange(appendHead(appendPath(nil, "GET", t, "?attributes=id&count="+strconv.Itoa(pageSize)+"&cursor="+next), t))
		if err != nil {
			return err
		}
		var page struct {
			NextCursor string `json:"nextCursor"`
		}
		if err := json.Unmarshal(body, &page); err != nil || status != 200 {
			return fmt.Errorf("%s: read a page by cursor: got %d: %.500s", t.name, status, body)
		}
		next = url.QueryEscape(page.NextCursor)
	}
	return nil
}

func appendPath(b []byte, method string, t *target, rest string) []byte {
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, t.path...)
	return append(b, rest...)
}

func appendHead(b []byte, t *target) []byte {
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, t.addr...)
	b = append(b, "\r\nAuthorization: Bearer "...)
	b = append(b, t.key...)
	return append(b, "\r\nAccept: application/scim+json\r\n\r\n"...)
}

// appendRequest appends a request with the body of a user.
func appendRequest(b []byte, t *target, method, slash string, id, user int, change, name uint32) []byte {
	b = appendPath(b, method, t, slash)
	if slash != "" {
		b = append(b, t.id(id)...)
	}
	b = appendHead(b, t)
	b = append(b[:len(b)-len("\r\n")], "Content-Type: application/scim+json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(userTemplate)), 10)
	b = append(b, "\r\n\r\n"...)
	return appendUser(b, user, change, name)
}
