package server_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIfMatch(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada"))
		d.put(id, user("ada", "title", "1")).want(200).headerIs("Etag", `W/"2"`)
		// Each that holds changes nothing else, so the version stays 2.
		same := user("ada", "title", "1")
		for _, match := range []string{`W/"2"`, `"2"`, `2`, `*`, `W/"1", W/"2"`, `"x","2"`, ` W/"2" `, `W/"9" , *`} {
			d.put(id, same, "If-Match", match).want(200).headerIs("Etag", `W/"2"`)
		}
		d.put(id, same, "If-Match", `"8"`, "If-Match", `W/"2"`).want(200) // one list on two lines
		before := d.state()
		for _, match := range []string{
			`W/"1"`, `"1"`, `W/"3"`, `"x"`, `garbage`, `"*"`, `,`, `W/"2`[:3], `"+2"`, `"02"`, `"2.0"`, `"0"`, `"-2"`, `"99999999999999999999"`, `"2-gzip"`,
		} {
			d.put(id, user("ada", "title", "2"), "If-Match", match).refused(412, "", `W/"2"`)
			d.do("DELETE", "/Users/"+id, nil, "If-Match", match).refused(412, "")
		}
		if diff := cmp.Diff(d.state(), before); diff != "" {
			t.Errorf("a refused request changed something:\n%s", diff)
		}
		d.put("nope", same, "If-Match", `*`).refused(404, "")
		d.post(user("bob"), "If-Match", `"7"`).want(201) // there is nothing to match yet
		d.do("DELETE", "/Users/"+id, nil, "If-Match", `W/"2"`).want(204)
	})
}

func TestIfNoneMatch(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada"))
		for _, none := range []string{`W/"1"`, `"1"`, `*`, `"x", W/"1"`} {
			for _, method := range []string{"GET", "HEAD"} {
				r := d.do(method, "/Users/"+id, nil, "If-None-Match", none).want(304).headerIs("Etag", `W/"1"`)
				if len(r.body) > 0 {
					t.Errorf("a 304 with a body: %s", r.body)
				}
			}
		}
		for _, none := range []string{`W/"2"`, `"x"`, `garbage`, ``} {
			d.get("/Users/"+id, "If-None-Match", none).want(200).has("userName", "ada").headerIs("Etag", `W/"1"`)
		}
		d.get("/Users/nope", "If-None-Match", "*").refused(404, "")
	})
}

func TestETag_IsTheVersion(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		r := d.post(user("ada")).want(201).headerIs("Etag", `W/"1"`)
		id := r.str("id")
		r.headerIs("Location", publicURL+d.path+"/Users/"+id)
		meta := r.obj()["meta"].(object)
		if meta["created"] != meta["lastModified"] {
			t.Errorf("created %v, lastModified %v", meta["created"], meta["lastModified"])
		}
		last := meta["lastModified"].(string)
		for i, title := range []string{"a", "b", "c"} {
			want := `W/"` + string(rune('2'+i)) + `"`
			r := d.put(id, user("ada", "title", title)).want(200).headerIs("Etag", want)
			d.get("/Users/"+id).headerIs("Etag", want)
			d.get("/Users/"+id+"?attributes=userName").headerIs("Etag", want)
			m := r.obj()["meta"].(object)
			if m["created"] != meta["created"] || m["lastModified"] == last {
				t.Errorf("meta is %v after %v", m, last)
			}
			if v, ok := m["version"]; ok && v != want {
				t.Errorf("meta.version %v, want %v", v, want)
			}
			last = m["lastModified"].(string)
		}
	})
}
