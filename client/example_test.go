package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/scim"
)

// service starts a directory for an example and returns a client of it. Yours is
//
//	&client.Client{BaseURL: "https://api.atlassian.com", Directory: "…", Key: "…"}
func service() (*client.Client, func()) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	db, err := sqlstore.Open(ctx, "sqlite:"+filepath.Join(dir, "example.db"), sqlstore.Options{Migrate: true})
	if err != nil {
		log.Fatal(err)
	}
	dirs, err := directory.Open(ctx, directory.Options{Store: db})
	if err != nil {
		log.Fatal(err)
	}
	first, err := dirs.Bootstrap(ctx, scim.Standard, "a-key-for-the-examples")
	if err != nil {
		log.Fatal(err)
	}
	s := httptest.NewServer(server.New(server.Options{Directories: dirs}).Handler())
	c := &client.Client{BaseURL: s.URL, Directory: first.Directory, Key: "a-key-for-the-examples"}
	return c, func() {
		s.Close()
		if err := errors.Join(db.Close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

func Example() {
	c, stop := service()
	defer stop()
	ctx := context.Background()

	u, err := c.Users().Create(ctx, &client.User{
		UserName: "ada@corp.example",
		Title:    client.Set("Engineer"),
		NickName: client.Set("Countess"),
		Emails:   client.Set([]client.MultiValue{client.Value("ada@corp.example", "work")}),
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	// A PUT replaces: change what was read, and send all of it, on the condition
	// that nobody else changed it in between.
	u.Title = client.Set("CTO")
	u.NickName = client.Null[string]()
	u, err = c.Users().Replace(ctx, u.ID, u, &client.WriteOptions{IfMatch: u.Answer.ETag()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.Title.Value(), u.NickName.IsZero(), u.Active.Value())
	// Output: CTO true true
}

func ExampleEndpoint_Patch() {
	c, stop := service()
	defer stop()
	ctx := context.Background()

	u, err := c.Users().Create(ctx, &client.User{UserName: "ada", DisplayName: client.Set("Ada")}, nil)
	if err != nil {
		log.Fatal(err)
	}
	u, err = c.Users().Patch(ctx, u.ID, client.Patch{
		client.Replace("active", false),
		client.Add("emails", []client.MultiValue{client.Value("ada@corp.example", "work")}),
		client.Replace("name.givenName", "Ada"),
		client.Remove("displayName"),
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.Active.Value(), u.Emails.Value()[0].Value.Value(), u.Name.Value().GivenName.Value(), u.DisplayName.IsZero())
	// Output: false ada@corp.example Ada true
}

func ExampleGroups_AddMembers() {
	c, stop := service()
	defer stop()
	ctx := context.Background()

	var ids []string
	for _, name := range []string{"ada", "bob", "eve"} {
		u, err := c.Users().Create(ctx, &client.User{UserName: name}, nil)
		if err != nil {
			log.Fatal(err)
		}
		ids = append(ids, u.ID)
	}
	g, err := c.Groups().Create(ctx, &client.Group{DisplayName: "engineers"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	added, err := c.Groups().AddMembers(ctx, g.ID, ids, nil)
	if err != nil {
		log.Fatalf("after %d members: %v", added, err)
	}
	if _, err := c.Groups().RemoveMembers(ctx, g.ID, ids[:1], nil); err != nil {
		log.Fatal(err)
	}
	if g, err = c.Groups().Get(ctx, g.ID, nil); err != nil {
		log.Fatal(err)
	}
	for _, m := range g.Members.Value() {
		fmt.Println(m.Display.Value())
	}
	// Unordered output:
	// bob
	// eve
}

func ExampleEndpoint_List() {
	c, stop := service()
	defer stop()
	ctx := context.Background()

	for _, name := range []string{"ada", "bob", "eve"} {
		if _, err := c.Users().Create(ctx, &client.User{UserName: name, Title: client.Set("CTO of " + name)}, nil); err != nil {
			log.Fatal(err)
		}
	}
	filter := "title sw " + client.Quote("CTO") + " and not (userName eq " + client.Quote("bob") + ")"
	for u, err := range c.Users().List(ctx, &client.ListOptions{Filter: filter, Count: 1}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(u.UserName)
	}
	// Unordered output:
	// ada
	// eve
}

func ExampleClient_Bulk() {
	c, stop := service()
	defer stop()

	results, err := c.Bulk(context.Background(), []client.BulkOperation{
		{Method: http.MethodPost, Path: "/Users", BulkID: "ada", Data: &client.User{UserName: "ada"}},
		{Method: http.MethodPost, Path: "/Users", BulkID: "again", Data: &client.User{UserName: "ADA"}},
		{Method: http.MethodPost, Path: "/Groups", BulkID: "all", Data: &client.Group{
			DisplayName: "all", Members: client.Set(client.Members("bulkId:ada")),
		}},
		{Method: http.MethodPatch, Path: "/Users/bulkId:ada", Data: client.Patch{client.Replace("title", "CTO")}},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		var refused *scim.Error
		if errors.As(r.Err, &refused) {
			fmt.Println(r.Status, refused.Type)
			continue
		}
		fmt.Println(r.Status)
	}
	// Output:
	// 201
	// 409 uniqueness
	// 201
	// 200
}

func ExampleClient_retries() {
	attempts := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if attempts++; attempts < 3 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, `{"id":"u1","userName":"ada"}`)
	}))
	defer s.Close()

	c := &client.Client{
		BaseURL: s.URL,
		Retries: 8, RetryWait: 200 * time.Millisecond, MaxRetryWait: time.Minute, // of each request
		Timeout: 10 * time.Second, // of each attempt
		Rate:    25, Burst: 5,     // requests a second
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // of all attempts
	defer cancel()
	u, err := c.Users().Get(ctx, "u1", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.UserName, "after", u.Answer.Attempts, "attempts")
	// Output: ada after 3 attempts
}
