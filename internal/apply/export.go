package apply

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// ExportOptions say what is exported.
type ExportOptions struct {
	Format Format
	// Attributes are those to show, as columns are named; empty: all that a row
	// may set. The id is always shown.
	Attributes []string
	Filter     string // a SCIM filter; empty: everybody
	// WithoutID leaves the id out, for a comparison with another directory.
	WithoutID bool
	// Dir is where a table waits until its columns are known. Empty: the folder
	// for temporary files.
	Dir string
}

// Export writes the people of a directory in a form that a Reader reads: to apply
// what was exported changes nothing. It returns how many there are.
func Export(ctx context.Context, d *Directory, w io.Writer, o ExportOptions) (int, error) {
	var only []column
	for _, name := range o.Attributes {
		c, err := columnOf(d.Type, name, nil)
		var unknown *unknownError
		if errors.As(err, &unknown) {
			text := fmt.Sprintf("--attributes: the directory has no attribute %q", clip(name))
			if unknown.near != "" {
				text += fmt.Sprintf(": did you mean %s?", unknown.near)
			}
			return 0, oneFault(0, text)
		}
		if err != nil {
			return 0, oneFault(0, err.Error())
		}
		if c.skip {
			return 0, oneFault(0, fmt.Sprintf("%s is written by the directory alone: no file can bring it back", c.name))
		}
		only = append(only, c)
	}
	buf := bufio.NewWriterSize(w, 64<<10)
	var out exporter = &jsonExport{w: buf, array: o.Format == JSON}
	if o.Format == CSV {
		table, err := newTableExport(d.Type, buf, only, o.Dir)
		if err != nil {
			return 0, err
		}
		defer table.remove()
		out = table
	}
	n := 0
	for u, err := range d.users().List(ctx, listOptions(o.Filter)) {
		if err != nil {
			return n, fmt.Errorf("read the people of the directory: %w", err)
		}
		doc, err := own(u.Body)
		if err == nil {
			err = onePlace(d.Type, doc)
		}
		if err == nil && len(only) > 0 && o.Format != CSV {
			doc, err = project(doc, only)
		}
		if err != nil {
			return n, err
		}
		id := u.ID
		if o.WithoutID {
			id = ""
		}
		if err := out.add(id, doc); err != nil {
			return n, err
		}
		n++
	}
	return n, errors.Join(out.end(), buf.Flush())
}

// An exporter writes people.
type exporter interface {
	add(id string, doc object) error
	end() error
}

// onePlace takes from doc what is at the top too, so that one place is to be
// edited.
func onePlace(t *scim.Type, doc object) error {
	for _, a := range t.Attributes() {
		if up := a.Above(); up != nil && up.Extension && twin(t, a) != nil {
			if err := doc.setAt(namesOf(a), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// project returns what the columns show of doc.
func project(doc object, only []column) (object, error) {
	out := object{}
	for i := range only {
		path := namesOf(only[i].attr)
		v := valueAt(doc, path)
		if len(v) == 0 || only[i].attr.Path == "id" {
			continue
		}
		if err := out.setAt(path, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// valueAt returns the value that the names lead to, empty when there is none.
func valueAt(doc object, path []string) jsontext.Value {
	v := doc.get(path[0])
	for _, name := range path[1:] {
		below, err := parseObject(v)
		if err != nil {
			return nil
		}
		v = below.get(name)
	}
	return v
}

// A jsonExport writes one object a line, in an array or not.
type jsonExport struct {
	w     *bufio.Writer
	array bool
	n     int
}

func (e *jsonExport) add(id string, doc object) error {
	if id != "" {
		doc.set("id", quote(id))
	}
	line, err := doc.json()
	if err != nil {
		return err
	}
	before, after := "", "\n"
	if e.array {
		if before, after = ",\n", ""; e.n == 0 {
			before = "[\n"
		}
	}
	e.n++
	_, err = e.w.WriteString(before + string(line) + after)
	return err
}

func (e *jsonExport) end() error {
	if !e.array {
		return nil
	}
	end := "\n]\n"
	if e.n == 0 {
		end = "[]\n"
	}
	_, err := e.w.WriteString(end)
	return err
}

// A tableExport writes CSV. Its columns are those that somebody has a value of,
// so people wait in a file until all have been seen.
type tableExport struct {
	typ    *scim.Type
	w      io.Writer
	only   []column
	people *spill
	leaves []leaf
}

// A leaf is an attribute with cells of its own.
type leaf struct {
	attr  *scim.Attr
	path  []string
	used  bool
	whole bool            // a list that no columns of types can show
	types map[string]bool // of a list: the types that its values have
}

// A person is what waits.
type person struct {
	ID  string `json:"id"`
	Doc object `json:"doc"`
}

// maxTypes bounds the columns of one list.
const maxTypes = 20

func newTableExport(t *scim.Type, w io.Writer, only []column, dir string) (*tableExport, error) {
	f, err := os.CreateTemp(dir, "roster-export-")
	if err != nil {
		return nil, err
	}
	e := &tableExport{typ: t, w: w, only: only, people: &spill{f: f, w: bufio.NewWriterSize(f, 64<<10)}}
	for _, a := range t.Attributes() {
		up := a.Above()
		parent := a.Extension || a.Type == scim.TypeComplex && !a.MultiValued
		if parent || a.Path == "id" || a.Mutability == scim.ReadOnly || a.Mutability == scim.WriteOnly || a.Returned == scim.ReturnedNever ||
			up != nil && (up.MultiValued || up.Mutability == scim.ReadOnly) || slices.Contains(serviceOwn, a.Top().Path) {
			continue
		}
		if other := twin(t, a); other != nil && up != nil {
			continue // the same value is shown at the top
		}
		e.leaves = append(e.leaves, leaf{attr: a, path: namesOf(a), types: make(map[string]bool)})
	}
	return e, nil
}

func (e *tableExport) remove() {
	_ = e.people.close()
	_ = os.Remove(e.people.f.Name()) // it is in the folder for temporary files
}

func (e *tableExport) add(id string, doc object) error {
	for i := range e.leaves {
		l := &e.leaves[i]
		v := valueAt(doc, l.path)
		if len(v) == 0 || v.Kind() == 'n' {
			continue
		}
		l.used = true
		if l.attr.MultiValued && !l.whole && !l.look(doc) {
			l.whole = true
		}
	}
	_, err := e.people.append(person{id, doc})
	return err
}

// look notes the types of a list, and reports whether columns of types can show
// it: each value has a type of its own.
func (l *leaf) look(doc object) bool {
	if l.attr.Sub("value") == nil || l.attr.Sub("type") == nil {
		return false
	}
	list, err := listAt(doc, l.path)
	if err != nil {
		return false
	}
	seen := make(map[string]bool)
	for _, o := range list {
		typ := o.text("type")
		plain := strings.ToLower(typ)
		if plain == "" || plain == "primary" || seen[plain] || strings.TrimSpace(typ) != typ || strings.ContainsAny(typ, "[]") || o.text("value") == "" {
			return false
		}
		for name := range o {
			if !slices.Contains([]string{"value", "type", "primary"}, strings.ToLower(name)) {
				return false
			}
		}
		seen[plain] = true
		l.types[plain] = true
	}
	return len(l.types) <= maxTypes
}

// columns returns the names of the columns after the id.
func (e *tableExport) columns() (columns []column) {
	if len(e.only) > 0 {
		return slices.DeleteFunc(slices.Clone(e.only), func(c column) bool { return c.attr.Path == "id" })
	}
	for i := range e.leaves {
		l := &e.leaves[i]
		switch {
		case !l.used:
		case l.attr.MultiValued && !l.whole:
			for _, typ := range slices.Sorted(maps.Keys(l.types)) {
				columns = append(columns, column{name: l.attr.Path + "[" + typ + "]", attr: l.attr, typ: typ})
			}
		default:
			columns = append(columns, column{name: l.attr.Path, attr: l.attr})
		}
	}
	return columns
}

func (e *tableExport) end() error {
	if err := e.people.flush(); err != nil {
		return err
	}
	columns := e.columns()
	out := csv.NewWriter(e.w)
	cells := []string{"id"}
	for i := range columns {
		cells = append(cells, columns[i].name)
	}
	if err := out.Write(cells); err != nil {
		return err
	}
	for p, err := range each[person](e.people.f.Name()) {
		if err != nil {
			return err
		}
		cells = append(cells[:0], p.ID)
		for i := range columns {
			cell, err := columns[i].cell(p.Doc)
			if err != nil {
				return err
			}
			cells = append(cells, cell)
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// cell returns what set reads as the value that doc has.
func (c *column) cell(doc object) (string, error) {
	path := namesOf(c.attr)
	v := valueAt(doc, path)
	if c.typ != "" || c.primary {
		list, err := listAt(doc, path)
		if err != nil {
			return "", err
		}
		sub := "value"
		if c.sub != nil {
			sub = c.sub.Name
		}
		v = nil
		if c.primary && len(list) > 0 {
			v = list[0].get(sub) // where none is marked, the first one is meant
		}
		for _, o := range list {
			if c.primary && isTrue(o.get("primary")) || c.typ != "" && strings.EqualFold(o.text("type"), c.typ) {
				v = o.get(sub)
			}
		}
	}
	switch {
	case len(v) == 0 || v.Kind() == 'n':
		return "", nil
	case v.Kind() != '"':
		return string(v), nil
	}
	text := textOf(v)
	plain := strings.TrimSpace(text)
	if plain == "" && text == "" {
		return "", nil
	}
	if plain == "" || plain == clearCell || strings.HasPrefix(text, jsonCell) || strings.ContainsRune(text, '\r') {
		quoted, err := json.Marshal(text)
		return jsonCell + string(quoted), err
	}
	return text, nil
}
