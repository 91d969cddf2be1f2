package server

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// requestsKept is how many requests of each directory are remembered, and
// directoriesKept of how many directories: beyond it the one is forgotten that
// was asked for least lately.
const (
	requestsKept    = 1000
	directoriesKept = 200
)

// A loggedRequest is what is remembered of a request: nothing of its query or
// its body, and of its path only the route and an id that was made here.
type loggedRequest struct {
	At       time.Time `json:"at"`
	Request  string    `json:"request"`
	Method   string    `json:"method"`
	Route    string    `json:"route"`
	Resource string    `json:"resource,omitempty"`
	Status   int       `json:"status"`
	ScimType string    `json:"scimType,omitempty"` // why it was refused
	Repeated int       `json:"repeated,omitzero"`  // how many more like it came right before
	Micros   int64     `json:"micros"`
	Key      string    `json:"key,omitempty"`
	Ignored  []string  `json:"ignored,omitempty"`
	Coerced  []string  `json:"coerced,omitempty"`
}

// A requestLog remembers the last requests of each directory on this node.
type requestLog struct {
	mu   sync.Mutex
	dirs map[string]*ring
}

type ring struct {
	list []loggedRequest
	next int // where the oldest is, once the ring is full
	used time.Time
}

// newest returns the newest entry; there must be one.
func (d *ring) newest() *loggedRequest {
	return &d.list[(d.next+len(d.list)-1)%len(d.list)]
}

func newRequestLog() *requestLog { return &requestLog{dirs: make(map[string]*ring)} }

func (l *requestLog) add(r *request, took time.Duration) {
	e := loggedRequest{
		At: r.start.UTC(), Request: r.id, Method: r.Method, Route: r.route, Resource: r.resource,
		Status: r.status, ScimType: r.scimType, Micros: took.Microseconds(), Ignored: r.ignored, Coerced: r.coerced,
	}
	if r.key != nil {
		e.Key = r.key.ID
	}
	if e.Resource != "" && uuid.Validate(e.Resource) != nil {
		e.Resource = ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.dirs[r.dir.ID]
	if d == nil {
		l.makeRoom()
		d = new(ring)
		l.dirs[r.dir.ID] = d
	}
	d.used = r.start
	// Whoever has no key must not push out what others did: one after the other
	// their requests are one entry.
	if e.Key == "" && len(d.list) > 0 && d.newest().Key == "" {
		e.Repeated = d.newest().Repeated + 1
		*d.newest() = e
		return
	}
	if len(d.list) < requestsKept {
		d.list = append(d.list, e)
		return
	}
	d.list[d.next] = e
	d.next = (d.next + 1) % requestsKept
}

func (l *requestLog) makeRoom() {
	if len(l.dirs) < directoriesKept {
		return
	}
	oldest := ""
	for id, d := range l.dirs {
		if oldest == "" || d.used.Before(l.dirs[oldest].used) {
			oldest = id
		}
	}
	delete(l.dirs, oldest)
}

// get returns the requests of a directory, the newest first.
func (l *requestLog) get(directory string) []loggedRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []loggedRequest{}
	if d := l.dirs[directory]; d != nil {
		for i := range d.list {
			out = append(out, d.list[(d.next+len(d.list)-1-i)%len(d.list)])
		}
	}
	return out
}

// drop forgets a directory.
func (l *requestLog) drop(directory string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.dirs, directory)
}
