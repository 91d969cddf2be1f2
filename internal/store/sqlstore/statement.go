package sqlstore

import (
	"database/sql/driver"
	"encoding/binary"
	"strconv"
	"strings"
	"time"
)

// A statement is the text of a query. Both databases number parameters $1, $2;
// text that only one understands is given to either apart.
type statement struct {
	index    int // in the prepared statements of a SQLite connection
	sqlite   string
	postgres string
}

var statements []*statement

// same returns a statement that both databases understand.
func same(text string) *statement { return differ(text, text) }

// differ returns a statement that the databases spell differently; one that
// never gets it has an empty text.
func differ(sqlite, postgres string) *statement {
	s := &statement{index: len(statements), sqlite: anonymous(sqlite), postgres: postgres}
	statements = append(statements, s)
	return s
}

// anonymous replaces $1, $2, … by ? where each stands once and in order: SQLite
// binds by position several times faster than by name.
func anonymous(text string) string {
	out := text
	for n := 1; ; n++ {
		p := "$" + strconv.Itoa(n)
		if !strings.Contains(text, p) {
			break
		}
		i := strings.Index(out, "$")
		if !strings.HasPrefix(out[i:], p) {
			return text
		}
		out = out[:i] + "?" + out[i+len(p):]
	}
	if strings.Contains(out, "$") {
		return text
	}
	return out
}

// A command is a statement with its arguments: string, int64 or []byte.
type command struct {
	*statement
	args []any
}

// A conn runs statements, inside or outside a transaction.
type conn interface {
	// query calls fn for each row, until fn returns an error.
	query(s *statement, fn func(row) error, args ...any) error
	// exec returns the number of rows that s changed.
	exec(s *statement, args ...any) (int64, error)
	// execAll runs several and returns what each changed. It may stop at the
	// first that changes nothing, and then returns fewer numbers.
	execAll(commands []command) ([]int64, error)
	// later runs s at the latest when the transaction commits, and before any
	// read. With must set, s is sure to change a row: that it does not is an
	// error, which on PostgreSQL may come after the commit.
	later(s *statement, must bool, args ...any) error
	// guard is later of a statement that may change no row: then the transaction
	// fails with ErrStale, now or before it commits.
	guard(s *statement, args ...any) error
	// expect is a guard that the directory has the version; it shares the
	// directory's lock.
	expect(directory string, version int64) error
	// lockDirectory waits for the directory's lock and has it alone.
	lockDirectory(id string) error
	// shard returns the shard of a counter that this transaction adds to.
	shard() int64
	// addEvent inserts an event and returns its seq, or 0 on PostgreSQL, where
	// currval('event_seq') is it; args are those of insertEvent without the seq.
	addEvent(args ...any) (int64, error)
}

// A row is one row of a result; it is valid until the next.
type row struct {
	sqlite   []driver.Value
	postgres [][]byte
}

func (r row) int(i int) int64 {
	if r.sqlite != nil {
		n, _ := r.sqlite[i].(int64)
		return n
	}
	return int64(binary.BigEndian.Uint64(r.postgres[i]))
}

func (r row) text(i int) string {
	if r.sqlite != nil {
		s, _ := r.sqlite[i].(string)
		return s
	}
	return string(r.postgres[i])
}

// bytes returns a copy, never nil.
func (r row) bytes(i int) []byte {
	if r.sqlite != nil {
		if b, _ := r.sqlite[i].([]byte); b != nil {
			return b // the driver has copied it
		}
		return []byte{}
	}
	return append(make([]byte, 0, len(r.postgres[i])), r.postgres[i]...)
}

func (r row) time(i int) time.Time {
	n := r.int(i)
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// micros is t as it is stored: microseconds since 1970, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// blob is b as it is stored: never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// truth is b as it is stored.
func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
