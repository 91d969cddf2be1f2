package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// A BulkOperation is one request of many that Bulk sends together.
type BulkOperation struct {
	Method string // "POST", "PUT", "PATCH" or "DELETE"
	Path   string // "/Users", "/Users/{id}", "/Groups/bulkId:{bulkId}"
	// BulkID names what a POST creates: "bulkId:" and it stand for its id in
	// later operations. Empty in a POST: one is made.
	BulkID  string
	Version string // the ETag that the resource must still have; empty: any
	// Data is a *User, a *Group, a *Resource, a Patch, or any value as its JSON;
	// nil for DELETE.
	Data any
}

// BulkOptions go with Bulk; nil is none of them.
type BulkOptions struct {
	FailOnErrors int // how many errors end it; 0: none does
}

// A BulkResult is what became of one operation.
type BulkResult struct {
	Status   int    // 0: it was not done, since the errors before it ended the job
	ID       string // of the resource; empty when the service did not say
	Location string // its URL
	Version  string // its ETag; empty: none
	Err      error  // a *scim.Error for a status of 400 and above, another error when the service gave none; else nil
}

// Bulk sends many operations in as few requests as the service takes (RFC 7644
// section 3.7), and returns a result for each, at the same index; the error of
// one is in its result. It asks ServiceProviderConfig how many a request may
// have, and how large it may be.
//
// A service without Bulk is an error before anything is sent; so is an operation
// that alone is too large, and one that refers to what a later request creates,
// since there are several: put it after that.
//
// When a request fails, what the ones before it did is in the results, and the
// error says why; of those in it nothing is known, and their Status is 0.
func (c *Client) Bulk(ctx context.Context, ops []BulkOperation, o *BulkOptions) ([]BulkResult, error) {
	if o == nil {
		o = new(BulkOptions)
	}
	sent, err := bulkOperations(ops)
	if err != nil || len(ops) == 0 {
		return nil, err
	}
	cfg := c.config.Load()
	if cfg == nil || cfg.Answer == nil {
		if cfg, err = c.ServiceProviderConfig(ctx); err != nil {
			return nil, fmt.Errorf("how much the service takes in bulk: %w", err)
		}
	}
	if !cfg.Bulk.Supported {
		return nil, errors.New("the service does not offer Bulk, says its ServiceProviderConfig: send each operation by itself")
	}
	parts, err := split(sent, &cfg.Bulk)
	if err != nil {
		return nil, err
	}
	j := bulkJob{c: c, results: make([]BulkResult, len(ops)), ids: make(map[string]string)}
	for _, p := range parts {
		if o.FailOnErrors > 0 && j.errors >= o.FailOnErrors {
			break
		}
		left := 0
		if o.FailOnErrors > 0 {
			left = o.FailOnErrors - j.errors
		}
		if err := j.send(ctx, sent[p.from:p.to], p.from, left); err != nil {
			return j.results, err
		}
	}
	return j.results, nil
}

// bulkOperations returns ops with their data as JSON. Each POST has a bulkId.
func bulkOperations(ops []BulkOperation) ([]scim.BulkOperation, error) {
	sent := make([]scim.BulkOperation, len(ops))
	for i, o := range ops {
		s := scim.BulkOperation{Method: strings.ToUpper(o.Method), BulkID: o.BulkID, Version: o.Version, Path: o.Path}
		if s.Method == http.MethodPost && s.BulkID == "" {
			s.BulkID = "roster-" + strconv.Itoa(i)
		}
		var err error
		switch data := o.Data.(type) {
		case nil:
		case document:
			s.Data, err = data.body()
		case Patch:
			s.Data, err = data.JSON()
		default:
			s.Data, err = json.Marshal(data)
		}
		if err == nil {
			err = s.Check()
		}
		if err != nil {
			return nil, fmt.Errorf("operation %d, %s %s: %w", i, o.Method, o.Path, err)
		}
		sent[i] = s
	}
	return sent, nil
}

// appendBulk appends o as it is in a request to dst.
func appendBulk(dst []byte, o *scim.BulkOperation) ([]byte, error) {
	b, err := json.Marshal(struct {
		Method  string         `json:"method"`
		BulkID  string         `json:"bulkId,omitzero"`
		Version string         `json:"version,omitzero"`
		Path    string         `json:"path"`
		Data    jsontext.Value `json:"data,omitzero"`
	}(*o))
	return append(dst, b...), err
}

// bulkFrame is room for what is around the operations of a request, in bytes.
const bulkFrame = 200

// part is the operations of one request.
type part struct{ from, to int }

// split cuts ops into requests that the service takes.
func split(ops []scim.BulkOperation, b *BulkSupport) ([]part, error) {
	most := b.MaxOperations
	if most < 1 {
		most = scim.MaxBulkOperations
	}
	room := b.MaxPayloadSize
	if room < 1 {
		room = 1 << 20
	}
	var parts []part
	created := make(map[string]int) // the part that creates what a bulkId names
	at, size := part{}, int64(bulkFrame)
	for i := range ops {
		one, err := appendBulk(nil, &ops[i])
		if err != nil {
			return nil, fmt.Errorf("operation %d: %w", i, err)
		}
		// An id in the place of a reference may be longer.
		n := int64(len(one)) + 1 + 40*int64(len(ops[i].References()))
		if n+bulkFrame > room {
			return nil, fmt.Errorf("operation %d, %s %s, has %d bytes: the service takes %d in one request", i, ops[i].Method, ops[i].Path, len(one), room)
		}
		if int64(i-at.from) >= most || size+n > room {
			parts = append(parts, at)
			at, size = part{from: i}, bulkFrame
		}
		at.to, size = i+1, size+n
		if id := ops[i].BulkID; ops[i].Method == http.MethodPost {
			if _, twice := created[id]; twice {
				return nil, fmt.Errorf("operation %d: the bulkId %s is given twice", i, id)
			}
			created[id] = len(parts)
		}
	}
	parts = append(parts, at)
	for k, p := range parts {
		for i := p.from; i < p.to; i++ {
			for _, ref := range ops[i].References() {
				if in, ok := created[ref]; !ok {
					return nil, fmt.Errorf("operation %d refers to bulkId:%s, which no POST creates", i, ref)
				} else if in > k {
					return nil, fmt.Errorf("operation %d refers to bulkId:%s, which a later request would create: put it after that", i, ref)
				}
			}
		}
	}
	return parts, nil
}

// A bulkJob is Bulk while it goes on.
type bulkJob struct {
	c       *Client
	results []BulkResult
	errors  int
	ids     map[string]string // of what earlier requests created, by bulkId
}

// send sends ops, the first of which is number from, in one request.
func (j *bulkJob) send(ctx context.Context, ops []scim.BulkOperation, from, failOnErrors int) error {
	body := []byte(`{"schemas":["` + scim.BulkRequestURN + `"],`)
	if failOnErrors > 0 {
		body = append(strconv.AppendInt(append(body, `"failOnErrors":`...), int64(failOnErrors), 10), ',')
	}
	body = append(body, `"Operations":[`...)
	var here []int // the operations in the request
	inPart := make(map[string]bool)
	for i := range ops {
		if ops[i].Method == http.MethodPost {
			inPart[ops[i].BulkID] = true
		}
	}
	for i, o := range ops {
		o = o.Resolve(j.ids)
		if ref := lost(o.References(), inPart); ref != "" {
			j.fail(from+i, scim.Errorf(http.StatusConflict, "", "the operation with the bulkId %s has failed", ref))
			delete(inPart, o.BulkID)
			continue
		}
		if len(here) > 0 {
			body = append(body, ',')
		}
		var err error
		if body, err = appendBulk(body, &o); err != nil {
			return fmt.Errorf("operation %d: %w", from+i, err)
		}
		here = append(here, from+i)
	}
	if len(here) == 0 {
		return nil
	}
	a, err := j.c.Do(ctx, &Request{Method: http.MethodPost, Path: "/Bulk", Body: append(body, "]}"...)})
	if err != nil {
		return err
	}
	var response struct {
		Operations []bulkAnswer `json:"Operations,case:ignore"`
	}
	if err := json.Unmarshal(a.Body, &response, looseJSON); err != nil {
		return unreadable(http.MethodPost, "/Bulk", a, err)
	}
	for _, r := range response.Operations {
		k := -1
		for n, i := range here {
			if r.answers(&ops[i-from]) {
				k = n
				break
			}
		}
		if k < 0 {
			return unreadable(http.MethodPost, "/Bulk", a, fmt.Errorf("it has a result of no operation: %s %s", r.Method, r.Location))
		}
		i := here[k]
		here = append(here[:k], here[k+1:]...)
		j.take(i, &ops[i-from], &r, a)
	}
	return nil
}

// lost returns the first of refs that is not created in this request, "" when all
// are.
func lost(refs []string, inPart map[string]bool) string {
	for _, ref := range refs {
		if !inPart[ref] {
			return ref
		}
	}
	return ""
}

// bulkAnswer is one result as a service sends it. The status of an older draft is
// an object with a code.
type bulkAnswer struct {
	Method   string         `json:"method"`
	BulkID   string         `json:"bulkId"`
	Version  string         `json:"version"`
	Location string         `json:"location"`
	Status   jsontext.Value `json:"status"`
	Response jsontext.Value `json:"response"`
}

// answers reports whether r is the result of o: results come in the order of the
// operations, but those that were not done are left out.
func (r *bulkAnswer) answers(o *scim.BulkOperation) bool {
	if r.Method != "" && !strings.EqualFold(r.Method, o.Method) {
		return false
	}
	if r.BulkID != "" || o.Method == http.MethodPost {
		return r.BulkID == o.BulkID
	}
	return r.Location == "" || strings.Contains(o.Path, "bulkId:") || strings.HasSuffix(r.Location, o.Path)
}

// take keeps what became of operation i.
func (j *bulkJob) take(i int, o *scim.BulkOperation, r *bulkAnswer, a *Answer) {
	res := &j.results[i]
	status := text(r.Status)
	if r.Status.Kind() == '{' {
		var old struct {
			Code jsontext.Value `json:"code"`
		}
		_ = json.Unmarshal(r.Status, &old, looseJSON)
		status = text(old.Code)
	}
	var err error
	if res.Status, err = strconv.Atoi(status); err != nil {
		res.Err = errors.New("the service does not say what became of it")
	}
	res.Location, res.Version = r.Location, r.Version
	res.ID = createdID(&Answer{Header: http.Header{"Location": {r.Location}}})
	if res.ID == "" {
		res.ID = idOf(r.Response)
	}
	if res.Status >= 400 {
		j.fail(i, answerError(&Answer{Status: res.Status, Header: a.Header, Body: r.Response}, o.Path))
		return
	}
	if o.Method == http.MethodPost && res.ID != "" {
		j.ids[o.BulkID] = res.ID
	}
}

// fail keeps the error of operation i.
func (j *bulkJob) fail(i int, err error) {
	j.errors++
	res := &j.results[i]
	res.Err = err
	var se *scim.Error
	if errors.As(err, &se) {
		res.Status = se.Status
	}
}
