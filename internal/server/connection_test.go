package server_test

import (
	"bytes"
	"testing"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/scim"
)

// Each directory has its own connections, and nobody reaches those of another.
func TestConnections_OfOneDirectory(t *testing.T) {
	w := onSQLite(t)
	a, b := w.directory(t, scim.Standard), w.directory(t, scim.Standard)
	op := &dir{t: t, w: w, key: operatorKey}
	mine, other := a.at(""), b.at("")
	const path = "/api/v1/connections"
	body := func(url string) object {
		return object{"name": "cloud", "url": url, "ruleSet": "standard", "key": "rk_canary_of_a_connection"}
	}
	r := mine.do("POST", path, body("https://a.example")).want(201)
	if got, want := r.header.Get("Location"), publicURL+path+"/cloud?directory="+a.id; got != want {
		t.Errorf("got Location %q, want %q", got, want)
	}
	if got, want := r.header.Get("Etag"), `W/"1"`; got != want {
		t.Errorf("got ETag %q, want %q", got, want)
	}
	other.do("GET", path+"/cloud", nil).want(404)
	other.do("GET", path+"/cloud?directory="+a.id, nil).want(404)
	other.do("POST", path+"?directory="+a.id, body("https://b.example")).want(404)
	other.do("POST", path, body("https://b.example")).want(201)
	for _, d := range []*dir{a, b} {
		list := op.do("GET", path+"?directory="+d.id, nil).want(200)
		all := list.obj()["connections"].([]any)
		if len(all) != 1 || all[0].(object)["owner"] != d.id {
			t.Errorf("got %s", list.body)
		}
	}
	reader := mine.as(a.newKey(roster.ScopeUsersRead))
	reader.do("GET", path, nil).want(403)
	reader.do("DELETE", path+"/cloud", nil).want(403)
	op.do("GET", path, nil).want(200) // of the default directory
	mine.do("GET", path+"/..%2fcloud", nil).want(404)
	mine.do("GET", path+"/%00", nil).want(404)

	// No answer has the key, whatever is wrong with the request.
	for _, bad := range []any{
		body("http://a.example"), body("https://rk_canary@a.example"), body("https://a.example?rk_canary"), body("https://a.example/%zzrk_canary"),
		object{"name": "x", "url": "https://a.example", "key": "rk_canary with spaces"},
		object{"name": "x", "url": "https://a.example", "key": object{"rk_canary": "rk_canary"}},
		`{"name":"x","url":"https://a.example","key":"rk_canary","key":"rk_canary"}`,
		`{"name":"x","url":"https://a.example","key":"rk_canary`,
	} {
		if r := mine.do("POST", path, bad).want(400); bytes.Contains(r.body, []byte("canary")) {
			t.Errorf("the answer shows the key: %s", r.body)
		}
	}
	for _, r := range []*reply{
		r, mine.do("GET", path, nil), mine.do("GET", path+"/cloud", nil), mine.do("PUT", path+"/cloud", object{"url": "https://a.example"}),
		mine.do("PUT", path+"/cloud", object{"url": "https://c.example"}), mine.do("GET", "/api/v1/directories/"+a.id+"/requests", nil),
	} {
		if bytes.Contains(r.body, []byte("canary")) {
			t.Errorf("%s: the answer shows the key: %s", r.what, r.body)
		}
	}
	op.do("DELETE", "/api/v1/directories/"+a.id, nil).want(204)
	other.do("GET", path+"/cloud", nil).want(200)
}
