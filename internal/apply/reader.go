package apply

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// A Format is the form of a file of changes.
type Format string

// The formats. JSON is an array of objects, NDJSON one object after the other.
const (
	CSV    Format = "csv"
	JSON   Format = "json"
	NDJSON Format = "ndjson"
)

// FormatOf returns the format that the name of a file tells, "" when it does not.
func FormatOf(name string) Format {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv", ".tsv", ".txt":
		return CSV
	case ".json":
		return JSON
	case ".ndjson", ".jsonl":
		return NDJSON
	}
	return ""
}

// MaxRow bounds one row in bytes.
const MaxRow = 1 << 20

// MaxColumns bounds the attributes that one row can name.
const MaxColumns = 1000

// ReadOptions say how a file is read.
type ReadOptions struct {
	Format Format // empty: told by how the file begins
	// Map gives columns other names: attributes, or "-" to pass one over.
	Map map[string]string
	// EmptyClears makes an empty cell clear; otherwise it leaves the attribute as
	// it is. An empty id is never anything.
	EmptyClears bool
}

// A Row is one row of a file: what it sets, in the file's order.
type Row struct {
	Line int            `json:"line"`
	Raw  jsontext.Value `json:"raw"` // as it was: an array of cells, or an object
	Sets []Set          `json:"sets"`
}

// A Reader reads the rows of a file one by one.
type Reader struct {
	Format  Format
	Header  []string // of a CSV file
	Comma   rune     // of a CSV file
	Skipped []string // the columns that are passed over because nobody can write them

	typ     *scim.Type
	o       ReadOptions
	in      *bounded
	csv     *csv.Reader
	dec     *jsontext.Decoder
	lines   *lines
	columns []column
	seen    map[string]column // of JSON members
}

// NewReader returns a Reader of in, whose attributes are those of t. It reads
// what stands before the rows; an error is a *Faults or one of in.
func NewReader(in io.Reader, t *scim.Type, o ReadOptions) (*Reader, error) {
	r := &Reader{Format: o.Format, typ: t, o: o, in: &bounded{r: in, left: MaxRow}, seen: make(map[string]column)}
	buf := bufio.NewReaderSize(r.in, 64<<10)
	start, err := buf.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte("\xEF\xBB\xBF")):
		if _, err := buf.Discard(3); err != nil {
			return nil, err
		}
	case bytes.HasPrefix(start, []byte("\xFF\xFE")), bytes.HasPrefix(start, []byte("\xFE\xFF")):
		return nil, oneFault(1, "the file is UTF-16: save it as UTF-8")
	case bytes.HasPrefix(start, []byte("PK\x03")):
		return nil, oneFault(0, "the file is a spreadsheet, or another archive: save it as CSV in UTF-8")
	}
	head, _ := buf.Peek(32 << 10) // shorter at the end of the file
	trimmed := bytes.TrimSpace(head)
	if len(trimmed) == 0 {
		return nil, oneFault(0, "the file is empty: nothing tells what is to be done")
	}
	if r.Format == "" {
		switch trimmed[0] {
		case '[':
			r.Format = JSON
		case '{':
			r.Format = NDJSON
		default:
			r.Format = CSV
		}
	}
	switch r.Format {
	case CSV:
		return r, r.openCSV(buf, head)
	case JSON:
		r.lines = &lines{r: buf}
		r.dec = jsontext.NewDecoder(r.lines)
		if tok, err := r.dec.ReadToken(); err != nil || tok.Kind() != '[' {
			return nil, oneFault(1, "expected a JSON array of objects; one object a line is --format ndjson")
		}
	case NDJSON:
		r.lines = &lines{r: buf}
		r.dec = jsontext.NewDecoder(r.lines)
	default:
		return nil, oneFault(0, fmt.Sprintf("no format %q: there are csv, json and ndjson", r.Format))
	}
	return r, nil
}

func oneFault(line int, text string) error { return &Faults{List: []*Fault{{line, text}}} }

// bounded ends a file whose rows have no end. left is what may still be read
// before a row ends; what was buffered ahead is allowed for.
type bounded struct {
	r    io.Reader
	left int
}

const ahead = 128 << 10

var errLongRow = fmt.Errorf("a row is longer than %d KiB: is a quote or a brace not closed?", MaxRow>>10)

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= -ahead {
		return 0, errLongRow
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// commaOf returns the separator of a table: that of ",", ";" and tab which its
// first line has most of, outside of quotes.
func commaOf(head []byte) rune {
	counts := map[rune]int{}
	quoted := false
	for _, c := range string(head) {
		if c == '"' {
			quoted = !quoted
		}
		if c == '\n' && !quoted {
			break
		}
		if !quoted {
			counts[c]++
		}
	}
	comma := ','
	for _, c := range []rune{';', '\t'} {
		if counts[c] > counts[comma] {
			comma = c
		}
	}
	return comma
}

func (r *Reader) openCSV(buf *bufio.Reader, head []byte) error {
	r.Comma = commaOf(head)
	r.csv = csv.NewReader(buf)
	r.csv.Comma = r.Comma
	header, err := r.csv.Read()
	if err != nil {
		return r.fault(err)
	}
	r.Header = header
	var faults Faults
	given := make(map[string]string)
	named := 0
	for _, name := range header {
		if strings.TrimSpace(name) != "" {
			named++
		}
		if named > MaxColumns {
			return oneFault(1, fmt.Sprintf("it has more than %d columns", MaxColumns))
		}
		c, err := columnOf(r.typ, name, r.o.Map)
		if err != nil {
			faults.add(1, "%s", err)
		}
		if c.attr != nil {
			r.skipped(c)
			if at := c.target(); !c.skip {
				if other, twice := given[at]; twice {
					faults.add(1, "the columns %q and %q are one attribute: pass one over with --map '%s=-'", clip(other), clip(name), clip(name))
				}
				given[at] = name
			}
		}
		r.columns = append(r.columns, c)
	}
	if len(given) == 0 {
		faults.add(1, "no column names an attribute: the first line must hold their names")
	}
	return faults.err()
}

// target names what a column sets, so that two of them can be told apart.
func (c *column) target() string {
	s := c.attr.Path + "[" + strings.ToLower(c.typ)
	if c.primary || c.typ == "" && c.attr.MultiValued {
		s += "*"
	}
	if c.sub != nil && c.sub.Name != "value" {
		s += "]." + c.sub.Name
	}
	return s
}

func (r *Reader) skipped(c column) {
	if c.skip && c.attr != nil && len(r.Skipped) < maxFaults {
		r.Skipped = append(r.Skipped, c.name)
	}
}

// Next returns the next row, or io.EOF at the end. A *Fault is about one row, and
// the next one can be read; another error ends the file.
func (r *Reader) Next() (*Row, error) {
	r.in.left = MaxRow
	if r.csv != nil {
		return r.nextCSV()
	}
	return r.nextJSON()
}

// fault words an error of a file.
func (r *Reader) fault(err error) error {
	var pe *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &pe):
		return oneFault(pe.StartLine, pe.Err.Error())
	}
	return fmt.Errorf("read the file: %w", err)
}

func (r *Reader) nextCSV() (*Row, error) {
	for {
		cells, err := r.csv.Read()
		if errors.Is(err, csv.ErrFieldCount) {
			line, _ := r.csv.FieldPos(0)
			text := fmt.Sprintf("expected %d cells as in the header, got %d", len(r.Header), len(cells))
			if len(cells) > len(r.Header) {
				text += fmt.Sprintf(": put a cell that has %q in it in quotes", r.Comma)
			}
			return nil, &Fault{line, text}
		}
		if err != nil {
			return nil, r.fault(err)
		}
		line, _ := r.csv.FieldPos(0)
		if strings.TrimSpace(strings.Join(cells, "")) == "" {
			r.in.left = MaxRow // spreadsheets leave many empty rows behind
			continue
		}
		return r.row(line, cells)
	}
}

func (r *Reader) row(line int, cells []string) (*Row, error) {
	raw, err := json.Marshal(cells, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, &Fault{line, err.Error()}
	}
	row := &Row{Line: line, Raw: raw}
	for i := range r.columns {
		c, cell := &r.columns[i], cells[i]
		switch {
		case c.skip:
			continue
		case strings.TrimSpace(cell) != "":
			s, err := c.set(cell)
			if err != nil {
				return nil, &Fault{line, err.Error()}
			}
			row.Sets = append(row.Sets, s)
		case r.o.EmptyClears && c.attr.Path != "id":
			s, err := c.set(clearCell)
			if err != nil {
				return nil, &Fault{line, err.Error()}
			}
			row.Sets = append(row.Sets, s)
		}
	}
	return row, nil
}
