package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/roster-scim/roster/scim"
)

// DefaultMaxBulk is the largest body of a bulk request, in bytes.
const DefaultMaxBulk = 10 << 20

// bulk serves /Bulk (RFC 7644 section 3.7). Its operations are done one after
// the other, each as the request that it stands for, with the rights of the key.
// One that refers to what a later one creates waits for that.
func (s *Server) bulk(r *request) error {
	r.route = "scim /Bulk"
	if r.Method != http.MethodPost {
		return notAllowed(r, "POST")
	}
	if err := jsonBody(r.Request); err != nil {
		return err
	}
	data := getBuffer()
	defer putBuffer(data)
	var err error
	if *data, err = s.read(r, *data, s.MaxBulk); err != nil {
		return err
	}
	req, err := scim.ParseBulk(*data, r.dir.Model.Rules)
	if err != nil {
		return err
	}
	j := newBulkJob(s, r, req)
	if err := j.run(); err != nil {
		return err
	}
	var results []scim.BulkResult
	for _, res := range j.results {
		if res != nil {
			results = append(results, *res)
		}
	}
	r.answer(&answer{
		Status: http.StatusOK, Body: scim.AppendBulk(nil, results),
		Ignored: first(j.ignored), Coerced: first(j.coerced),
	})
	return nil
}

// first returns some of the notes of all operations, as many as a header has
// room for.
func first(notes map[string]bool) []string {
	const room = 20
	list := slices.Sorted(maps.Keys(notes))
	return list[:min(room, len(list))]
}

// A bulkJob is a bulk request while it is done.
type bulkJob struct {
	server       *Server
	request      *request
	operations   []scim.BulkOperation
	failOnErrors int

	creates map[string]int // which operation creates what a bulkId names
	// Of each operation, those that it waits for, how many of them are still to be
	// done, and those that wait for it.
	needs [][]int
	left  []int
	heirs [][]int

	results []*scim.BulkResult // of each operation; nil while it waits
	errors  int
	ids     map[string]string // what was created, by bulkId
	partial []int             // created without what refers to operations that wait

	ignored, coerced map[string]bool
}

func newBulkJob(s *Server, r *request, req *scim.BulkRequest) *bulkJob {
	n := len(req.Operations)
	j := &bulkJob{
		server: s, request: r, operations: req.Operations, failOnErrors: req.FailOnErrors,
		creates: make(map[string]int), needs: make([][]int, n), left: make([]int, n), heirs: make([][]int, n),
		results: make([]*scim.BulkResult, n), ids: make(map[string]string),
		ignored: make(map[string]bool), coerced: make(map[string]bool),
	}
	for i, o := range j.operations {
		if o.Method == "POST" && o.BulkID != "" {
			j.creates[o.BulkID] = i
		}
	}
	for i, o := range j.operations {
		for _, ref := range o.References() {
			if k, ok := j.creates[ref]; ok {
				j.needs[i] = append(j.needs[i], k)
				j.heirs[k] = append(j.heirs[k], i)
			}
		}
		j.left[i] = len(j.needs[i])
	}
	return j
}

// run does the operations in their order, but those that wait only when they can
// be done.
func (j *bulkJob) run() error {
	for waiting := true; waiting; {
		waiting = false
		first, done := -1, false
		for i, o := range j.operations {
			if err := j.request.Context().Err(); err != nil {
				return err
			}
			switch {
			case j.results[i] != nil:
			case j.stopped():
				j.complete()
				return nil
			case j.left[i] == 0:
				j.do(i, o.Resolve(j.ids))
				j.settle(i)
				done = true
			case first < 0:
				first, waiting = i, true
			}
		}
		if waiting && !done {
			i := j.circular(first)
			j.begin(i)
			j.settle(i)
		}
	}
	j.complete()
	return nil
}

// stopped reports whether there were as many errors as end the job.
func (j *bulkJob) stopped() bool { return j.failOnErrors > 0 && j.errors >= j.failOnErrors }

// settle lets those go on that have waited for an operation.
func (j *bulkJob) settle(i int) {
	for _, k := range j.heirs[i] {
		j.left[k]--
	}
}

// circular returns an operation that waits for itself in the end, found from one
// that waits when none can be done.
func (j *bulkJob) circular(i int) int {
	seen := make(map[int]bool)
	for !seen[i] {
		seen[i] = true
		for j.results[j.needs[i][0]] != nil { // done: look at it no more
			j.needs[i] = j.needs[i][1:]
		}
		i = j.needs[i][0]
	}
	return i
}

// begin does the first of several operations that wait for each other: it
// creates the resource without what refers to those; complete adds that.
func (j *bulkJob) begin(i int) {
	o, err := j.operations[i].Resolve(j.ids).Without(j.ids)
	if err != nil {
		j.fail(i, err)
		return
	}
	if j.do(i, o); j.results[i].Response == nil {
		j.partial = append(j.partial, i)
	}
}

// complete gives the resources that begin has created all that they were to have.
func (j *bulkJob) complete() {
	for _, i := range j.partial {
		o, created := j.operations[i], j.results[i]
		o = o.Resolve(j.ids)
		if refs := o.References(); len(refs) > 0 {
			j.fail(i, scim.Errorf(409, "", "created as %s, but without what refers to bulkId:%s, which was not created", created.Location, refs[0]))
			continue
		}
		o.Method, o.Path = "PUT", o.Path+"/"+j.ids[o.BulkID]
		if j.do(i, o); j.results[i].Response == nil {
			created.Version = j.results[i].Version
			j.results[i] = created
		}
	}
}

// do does an operation whose references are resolved, but for those that never
// will be.
func (j *bulkJob) do(i int, o scim.BulkOperation) {
	if refs := o.References(); len(refs) > 0 {
		if _, ok := j.creates[refs[0]]; !ok {
			j.fail(i, scim.Errorf(400, scim.InvalidValue, "no POST of this request has the bulkId %s", refs[0]))
		} else {
			j.fail(i, scim.Errorf(409, "", "the operation with the bulkId %s has failed", refs[0]))
		}
		return
	}
	if err := o.Check(); err != nil {
		j.fail(i, err)
		return
	}
	w := &recorder{header: make(http.Header)}
	sub := j.sub(i, o, w)
	if err := j.serve(sub, o); err != nil {
		j.server.fail(sub, err)
	}
	for _, n := range sub.ignored {
		j.ignored[n] = true
	}
	for _, n := range sub.coerced {
		j.coerced[n] = true
	}
	res := &scim.BulkResult{
		Method: j.operations[i].Method, BulkID: o.BulkID, Status: w.status,
		Version: w.header.Get("Etag"), Location: w.header.Get("Location"),
	}
	if res.Location == "" && o.Method != "POST" {
		res.Location = j.request.directoryURL() + o.Path
	}
	if w.status >= 400 {
		res.Response = w.body.Bytes()
		j.errors++
	} else if o.Method == "POST" {
		j.ids[o.BulkID] = res.Location[strings.LastIndexByte(res.Location, '/')+1:]
	}
	j.results[i] = res
}

// fail gives an operation that was not begun, or not ended, its error.
func (j *bulkJob) fail(i int, err error) {
	o := j.operations[i]
	w := &recorder{header: make(http.Header)}
	sub := *j.request
	sub.w = w
	j.server.fail(&sub, err)
	j.results[i] = &scim.BulkResult{Method: o.Method, BulkID: o.BulkID, Status: w.status, Response: w.body.Bytes()}
	j.errors++
}

// sub returns the request that an operation stands for.
func (j *bulkJob) sub(i int, o scim.BulkOperation, w http.ResponseWriter) *request {
	r := j.request
	sub := &request{w: w, id: r.id, start: r.start, route: r.route, base: r.base, scim: true, dir: r.dir, key: r.key, cause: r.cause}
	sub.Request = (&http.Request{
		Method: o.Method, Header: make(http.Header), ContentLength: int64(len(o.Data)),
		// No resource is in the response (RFC 7644 section 3.7.3): what is not
		// asked for is not read.
		URL:  &url.URL{Path: o.Path, RawQuery: "attributes=id"},
		Body: io.NopCloser(bytes.NewReader(o.Data)),
	}).WithContext(r.Context())
	if o.Version != "" {
		sub.Header.Set("If-Match", o.Version)
	}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		// Each operation is repeated, or not, by itself: a job that was cut short
		// goes on where it ended.
		sum := sha256.Sum256([]byte(key))
		sub.Header.Set("Idempotency-Key", fmt.Sprintf("%s %d %s", hex.EncodeToString(sum[:]), i, o.Method))
	}
	return sub
}

// serve does what an operation asks for. It has an endpoint of resources only.
func (j *bulkJob) serve(sub *request, o scim.BulkOperation) error {
	seg := strings.Split(strings.TrimPrefix(o.Path, "/"), "/")
	for i := range seg {
		var err error
		if seg[i], err = url.PathUnescape(seg[i]); err != nil {
			return scim.Errorf(404, "", "the path is not well escaped")
		}
	}
	for _, t := range sub.dir.Model.Types {
		if seg[0] != t.Endpoint[1:] {
			continue
		}
		switch {
		case o.Method == "POST" && len(seg) == 1:
			return j.server.create(sub, t)
		case o.Method != "POST" && len(seg) == 2:
			return j.server.one(sub, t, seg[1])
		}
		return scim.Errorf(400, scim.InvalidSyntax, "path is %q: a POST is to %s, anything else to %s/{id}", o.Path, t.Endpoint, t.Endpoint)
	}
	return scim.Errorf(404, "", "no such endpoint: %s", o.Path)
}

// A recorder keeps the answer to an operation.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }
