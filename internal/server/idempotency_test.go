package server_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

func TestIdempotency_Replay(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		again := func(method, path string, body any, header ...string) {
			t.Helper()
			header = append(header, "Idempotency-Key", method+"-1")
			first := d.do(method, path, body, header...).headerIs("Idempotency-Replayed", "")
			if first.status >= 300 {
				t.Fatalf("%s: %d %s", first.what, first.status, first.body)
			}
			before := d.state()
			for range 2 {
				r := d.do(method, path, body, header...).want(first.status).headerIs("Idempotency-Replayed", "true")
				if diff := cmp.Diff(string(r.body), string(first.body)); diff != "" {
					t.Errorf("%s (-again +first):\n%s", r.what, diff)
				}
				for _, h := range []string{"Etag", "Location", "Content-Type", "Content-Length", "Roster-Ignored", "Roster-Coerced"} {
					r.headerIs(h, first.header.Get(h))
				}
			}
			if diff := cmp.Diff(d.state(), before); diff != "" {
				t.Errorf("%s: the second changed something:\n%s", method, diff)
			}
		}
		again("POST", "/Users?attributes=userName", user("ada", "shoeSize", 1, "active", "True"))
		id := d.get("/Users").list()[0]["id"].(string)
		again("PUT", "/Users/"+id, user("ada", "title", "CTO"), "If-Match", `W/"1"`)
		again("DELETE", "/Users/"+id, nil)
	})
}

func TestIdempotency_AnotherRequest(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada"))
		d.put(id, user("ada", "title", "CTO"), "Idempotency-Key", "k").want(200)
		before := d.state()
		for _, r := range []*reply{
			d.put(id, user("ada", "title", "CEO"), "Idempotency-Key", "k"),
			d.put(id, user("ada"), "Idempotency-Key", "k"),
			d.put(id, user("ada", "title", null), "Idempotency-Key", "k"),
			d.do("PUT", "/Users/"+id+"?attributes=title", user("ada", "title", "CTO"), "Idempotency-Key", "k"),
			d.put(id, user("ada", "title", "CTO"), "Idempotency-Key", "k", "If-Match", "*"),
			d.put("other", user("ada", "title", "CTO"), "Idempotency-Key", "k"),
			d.post(user("ada", "title", "CTO"), "Idempotency-Key", "k"),
			d.do("DELETE", "/Users/"+id, nil, "Idempotency-Key", "k"),
		} {
			r.refused(422, "", "Idempotency-Key")
		}
		if diff := cmp.Diff(d.state(), before); diff != "" {
			t.Errorf("a refused request changed something:\n%s", diff)
		}
		// Another API key, and another directory, have names of their own.
		d.as(d.newKey("users:write")).put(id, user("ada", "title", "CEO"), "Idempotency-Key", "k").want(200).has("title", "CEO")
		d.w.directory(t, scim.Standard).post(user("ada"), "Idempotency-Key", "k").want(201)
		for _, name := range []string{strings.Repeat("x", 256), "ä", "a\tb"} {
			d.put(id, user("ada"), "Idempotency-Key", name).refused(400, scim.InvalidValue, "Idempotency-Key")
		}
		d.put(id, user("ada"), "Idempotency-Key", strings.Repeat("x", 255)).want(200)
	})
}

// A request that was refused leaves no answer: corrected, it may use the key.
func TestIdempotency_RefusedLeavesNothing(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		ada, bob := d.create(user("ada")), d.create(user("bob"))
		const k = "Idempotency-Key"
		d.put(bob, user("ADA", "emails", []any{object{"value": "b@corp.example", "primary": true}}), k, "1").refused(409, scim.Uniqueness, ada)
		d.put(bob, user("bob", "active", 7), k, "1").refused(400, scim.InvalidValue)
		d.put(bob, user("bob", "title", "x"), k, "1", "If-Match", `"9"`).refused(412, "")
		d.put("nope", user("bob"), k, "1").refused(404, "")
		d.put(bob, user("bob", "title", "CTO"), k, "1").want(200).headerIs("Idempotency-Replayed", "").has("title", "CTO")
		d.put(bob, user("bob", "title", "CTO"), k, "1").want(200).headerIs("Idempotency-Replayed", "true")
	})
}

func TestIdempotency_Concurrent(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		id := d.create(user("ada"))
		events := len(d.events())
		for name, send := range map[string]func() (*reply, error){
			"PUT": func() (*reply, error) {
				return d.try(t.Context(), "PUT", "/Users/"+id, user("ada", "title", "CTO"), "Idempotency-Key", "put")
			},
			"POST": func() (*reply, error) {
				return d.try(t.Context(), "POST", "/Users", user("bob"), "Idempotency-Key", "post")
			},
		} {
			replies := at64(t, func(int) (*reply, error) { return send() })
			fresh := 0
			for _, r := range replies {
				if r.status != replies[0].status || r.status >= 300 || string(r.body) != string(replies[0].body) || r.header.Get("Etag") != replies[0].header.Get("Etag") {
					t.Fatalf("%s: %d %s\nis not %d %s", name, r.status, r.body, replies[0].status, replies[0].body)
				}
				if r.header.Get("Idempotency-Replayed") == "" {
					fresh++
				}
			}
			if fresh != 1 {
				t.Errorf("%s: %d answers are the first one", name, fresh)
			}
		}
		if n := len(d.events()) - events; n != 2 {
			t.Errorf("%d changes, want one PUT and one POST", n)
		}
	})
}

// at64 sends 64 requests at once.
func at64(t *testing.T, send func(i int) (*reply, error)) []*reply {
	t.Helper()
	var wg sync.WaitGroup
	replies := make([]*reply, 64)
	errs := make([]error, 64)
	start := make(chan struct{})
	for i := range replies {
		wg.Go(func() {
			<-start
			replies[i], errs[i] = send(i)
		})
	}
	close(start)
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
		replies[i].t = t
	}
	return replies
}
