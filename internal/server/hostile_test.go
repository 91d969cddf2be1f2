package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/scim"
)

// attributes is a document of n attributes that no schema knows.
func attributes(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	var b strings.Builder
	b.WriteString(`{"userName":"ada"`)
	for i := range n {
		fmt.Fprintf(&b, `,"_%c%c%c":1`, letters[i/3844], letters[i/62%62], letters[i%62])
	}
	return b.String() + "}"
}

// hostile are bodies that are to be refused, cheaply.
var hostile = []struct {
	name, body string
	status     int
	typ        string
}{
	{"2 MiB", `{"userName":"` + strings.Repeat("x", 2<<20) + `"}`, 413, ""},
	{"2 MiB of spaces", strings.Repeat(" ", 2<<20), 413, ""},
	{"arrays 10,000 deep", `{"userName":"ada","x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, 400, scim.InvalidSyntax},
	{"objects 10,000 deep", `{"userName":"ada","name":` + strings.Repeat(`{"x":`, 10_000) + "1" + strings.Repeat("}", 10_000) + `}`, 400, scim.InvalidSyntax},
	{"brackets, no end", strings.Repeat("[", 1<<20), 400, scim.InvalidSyntax},
	{"100,000 e-mails", `{"userName":"ada","emails":[{"value":"x"}` + strings.Repeat(`,{}`, 100_000) + `]}`, 400, scim.InvalidValue},
	{"one attribute 100,000 times", `{"userName":"ada"` + strings.Repeat(`,"x":1`, 100_000) + `}`, 400, scim.InvalidSyntax},
	{"a name of 1 MB", `{"userName":"` + strings.Repeat("x", 1_000_000) + `"}`, 400, scim.InvalidValue},
	{"an attribute's name of 1 MB", `{"` + strings.Repeat("x", 1_000_000) + `":1}`, 400, scim.InvalidValue},
	{"a number of 1 MB", `{"userName":` + strings.Repeat("1", 1_000_000) + `}`, 400, scim.InvalidValue},
	{"not UTF-8", "{\"userName\":\"\xff\xfe\"}", 400, scim.InvalidSyntax},
	{"half a surrogate", `{"userName":"\ud800"}`, 400, scim.InvalidSyntax},
	{"U+0000", `{"userName":"a\u0000"}`, 400, scim.InvalidValue},
	{"trailing data", `{"userName":"ada"}{}`, 400, scim.InvalidSyntax},
	{"a byte order mark", "\ufeff" + `{"userName":"ada"}`, 400, scim.InvalidSyntax},
	{"nothing", "", 400, scim.InvalidSyntax},
}

// What is wrong with a body of the management API is told in the words of JSON, with
// its place, and without what is written there.
func TestHostile_ManagementBodies(t *testing.T) {
	w := onSQLite(t)
	api := &dir{t: t, w: w, key: operatorKey, path: "/api/v1/directories"}
	for _, tt := range []struct{ body, want string }{
		{`{"name":"x","rueSet":"strict"}`, "what is at /rueSet is no member that there is"},
		{`{"name":{"canary":1}}`, "what is at /name has another type or form"},
		{`["canary"]`, "what is at / has another type or form"},
		{`{"name":"canary}`, "is not valid JSON"},
	} {
		r := api.do("POST", "", tt.body).want(400)
		if got := string(r.body); !strings.Contains(got, tt.want) || strings.Contains(got, "Go ") || strings.Contains(got, "canary") {
			t.Errorf("%s: got %s, want %q", tt.body, got, tt.want)
		}
	}
}

func TestHostile_Bodies(t *testing.T) {
	w := onSQLite(t)
	for _, rs := range ruleSets {
		d := w.directory(t, rs)
		id := d.create(user("ada"))
		before := d.state()
		for _, tt := range hostile {
			for _, method := range []string{"POST", "PUT"} {
				path := map[string]string{"POST": "/Users", "PUT": "/Users/" + id}[method]
				d.do(method, path, tt.body).refused(tt.status, tt.typ)
				// Without a Content-Length, too.
				d.do(method, path, io.MultiReader(strings.NewReader(tt.body))).refused(tt.status, tt.typ)
			}
		}
		if d.state() != before {
			t.Error("something changed")
		}
	}
}

// Attributes that no schema knows are ignored, and a few of them told; 100,000
// of them are no document for a person.
func TestHostile_ManyAttributes(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	if got := d.post(attributes(999)).want(201).header.Get("Roster-Ignored"); strings.Count(got, ",") != 19 {
		t.Errorf("Roster-Ignored: %s", got)
	}
	d.post(attributes(100_000)).refused(400, scim.InvalidSyntax)
	w.directory(t, scim.Strict).post(attributes(100_000)).refused(400, scim.InvalidSyntax)
}

// What a request may cost is bounded, and nothing of it stays. Not parallel: it
// measures the process.
func TestHostile_Memory(t *testing.T) {
	w := newWorld(t, nil, server.Options{})
	d := w.directory(t, scim.Standard)
	h := server.New(server.Options{Directories: w.dirs, Log: slog.New(slog.DiscardHandler)}).Handler()
	send := func(body string, length int64) int {
		req := httptest.NewRequest("POST", d.path+"/Users", io.MultiReader(strings.NewReader(body)))
		req.ContentLength = length
		req.Header.Set("Authorization", "Bearer "+d.key)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		return rec.Code
	}
	var m runtime.MemStats
	heap := func() uint64 {
		for range 3 { // pools are emptied by the second
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	send(hostile[0].body, -1)
	before := heap()
	many := attributes(100_000)
	for _, tt := range append(hostile, hostile[0], struct {
		name, body string
		status     int
		typ        string
	}{"100,000 attributes", strings.TrimSuffix(many, "}"), 400, ""}) {
		for _, length := range []int64{int64(len(tt.body)), -1} {
			runtime.ReadMemStats(&m)
			total := m.TotalAlloc
			if got := send(tt.body, length); got != tt.status {
				t.Errorf("%s: status %d, want %d", tt.name, got, tt.status)
			}
			runtime.ReadMemStats(&m)
			// A body of up to 1 MiB, the buffers it grows through, and a set of
			// its names.
			if cost := m.TotalAlloc - total; cost > 24<<20 {
				t.Errorf("%s (Content-Length %d): %d KiB were allocated", tt.name, length, cost>>10)
			}
		}
	}
	if after := heap(); after > before+4<<20 {
		t.Errorf("%d KiB of heap stayed", (after-before)>>10)
	}
	runtime.KeepAlive(many)
}

// listen serves w as cmd/roster/serve.go does, but for the times that the header of
// a request has and the whole of it.
func listen(t *testing.T, w *world, header, whole time.Duration) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		Handler:           server.New(server.Options{Directories: w.dirs, Log: slog.New(slog.DiscardHandler)}).Handler(),
		ReadHeaderTimeout: header, ReadTimeout: whole,
		WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	t.Cleanup(func() {
		if err := errors.Join(srv.Close(), <-ended); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// exchange writes to a connection what send writes and returns all that comes
// back before the server closes it.
func exchange(t *testing.T, address string, send func(io.Writer)) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	go send(conn)
	answer, err := io.ReadAll(conn)
	if err != nil && len(answer) == 0 && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	return answer
}

func TestHostile_Connections(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	const long = 2 * time.Minute // no machine is as slow
	patient, noHeader, noBody := listen(t, w, long, long), listen(t, w, time.Second, long), listen(t, w, long, time.Second)
	head := "POST " + d.path + "/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + d.key + "\r\nContent-Type: application/scim+json\r\n"
	for name, tt := range map[string]struct {
		send func(io.Writer)
		want string // how the answer begins; "": none
		at   string // the server
	}{
		"a slow body":         {func(w io.Writer) { fmt.Fprint(w, head, "Content-Length: 100\r\n\r\n{") }, "HTTP/1.1 408 ", noBody},
		"a slow chunked body": {func(w io.Writer) { fmt.Fprint(w, head, "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"use") }, "HTTP/1.1 408 ", noBody},
		"a body that ends": {func(w io.Writer) {
			fmt.Fprint(w, head, "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\n{\r\n0\r\n\r\n")
		}, "HTTP/1.1 400 ", patient},
		"a broken chunk": {func(w io.Writer) {
			fmt.Fprint(w, head, "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n")
		}, "HTTP/1.1 4", patient},
		"slow headers":        {func(w io.Writer) { fmt.Fprint(w, "GET / HTTP/1.1\r\nHost: x\r\nX-A: ") }, "", noHeader},
		"no request at all":   {func(io.Writer) {}, "", noHeader},
		"a header of 1 MiB":   {func(w io.Writer) { fmt.Fprint(w, head, "X-A: ", strings.Repeat("x", 1<<20), "\r\n\r\n") }, "HTTP/1.1 431 ", patient},
		"headers without end": {func(w io.Writer) { flood(w, "X-A: "+strings.Repeat("x", 1000)+"\r\n", head) }, "HTTP/1.1 431 ", patient},
		"a path of 1 MiB":     {func(w io.Writer) { fmt.Fprint(w, "GET /", strings.Repeat("x", 1<<20), " HTTP/1.1\r\nHost: x\r\n\r\n") }, "HTTP/1.1 431 ", patient},
		"two Content-Lengths": {func(w io.Writer) { fmt.Fprint(w, head, "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}") }, "HTTP/1.1 400 ", patient},
		"length and chunked": {func(w io.Writer) {
			fmt.Fprint(w, head, "Connection: close\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		}, "HTTP/1.1 400 ", patient},
		"2 MiB in chunks": {func(w io.Writer) {
			fmt.Fprint(w, head, "Transfer-Encoding: chunked\r\n\r\n")
			flood(w, "400\r\n"+strings.Repeat(" ", 1024)+"\r\n", "")
		}, "HTTP/1.1 413 ", patient},
		"100 GiB are promised": {func(w io.Writer) { fmt.Fprint(w, head, "Content-Length: 107374182400\r\n\r\n{") }, "HTTP/1.1 413 ", patient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := exchange(t, tt.at, tt.send)
			if tt.want == "" && len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) || !bytes.HasPrefix(answer, []byte(tt.want)) {
				t.Errorf("answer %.200q, want %q", answer, tt.want)
			}
			if bytes.Contains(answer, []byte("HTTP/1.1 5")) {
				t.Errorf("a failure of the server: %s", answer)
			}
		})
	}
}

// flood writes first and then text, up to 2 MiB of it or until nobody reads.
func flood(w io.Writer, text, first string) {
	if _, err := io.WriteString(w, first); err != nil {
		return
	}
	for range 2 << 20 / len(text) {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
	}
}

func TestHostile_Queries(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	d.create(user("ada"))
	for _, q := range []string{
		"?attributes=" + strings.Repeat("userName,", 6000), "?excludedAttributes=" + strings.Repeat("x.", 20000),
		"?%zz=1&count=1", "?count=1;startIndex=2", "?" + strings.Repeat("a&", 20000), "?attributes=%00%ff",
	} {
		if r := d.get("/Users" + q); r.status != 200 {
			t.Errorf("%.40s: status %d", q, r.status)
		}
	}
	for _, f := range []string{
		strings.Repeat("%28", 8000), strings.Repeat("not%20", 2000), "userName%20eq%20%22" + strings.Repeat("x", 9000) + "%22", "%00", "userName", "%20",
		"userName%20eq", "userName%20eq%20ada", "userName%20eq%20%22%ff%22", "nope%20eq%20%22x%22", "userName%20is%20%22x%22", "userName%20eq%201", "name%20eq%20%22x%22", strings.Repeat("title%20pr%20or%20", 300) + "title%20pr",
	} {
		if r := d.get("/Users?filter=" + f); f != "%20" && (r.status < 400 || r.status == 500) {
			t.Errorf("%.40s: status %d", f, r.status)
		}
	}
	d.get("/Users?filter="+"userName%20eq%20%22a%5Cu0000%22").has("totalResults", 0.0) // no value has U+0000
	d.get("/Users?filter="+"userName%20eq%20%22"+strings.Repeat("x", 2000)+"%22").has("totalResults", 0.0)
}
