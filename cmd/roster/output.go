package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/pflag"
)

// An outputFormat is how a command prints what it read.
type outputFormat string

const (
	outputTable  outputFormat = "table"
	outputJSON   outputFormat = "json"
	outputCSV    outputFormat = "csv"
	outputNDJSON outputFormat = "ndjson"
)

var outputFormats = []string{"table", "json", "csv", "ndjson"}

func (o *outputFormat) String() string { return string(*o) }
func (o *outputFormat) Type() string   { return "format" }

func (o *outputFormat) Set(s string) error {
	if !slices.Contains(outputFormats, s) {
		return fmt.Errorf("there are table, json, csv and ndjson")
	}
	*o = outputFormat(s)
	return nil
}

func (o *outputFormat) addFlag(f *pflag.FlagSet) {
	*o = outputTable
	f.VarP(o, "output", "o", "table, for people; json, csv or ndjson (a JSON document for each line), for programs")
}

// A listing prints things one after the other in some format, so that a list of
// a million needs no memory for them all: a table or CSV of their cells, or JSON
// of the things themselves.
type listing struct {
	w      io.Writer
	format outputFormat
	heads  []string
	table  *table
	csv    *csv.Writer
	n      int
}

// rowsPerFlush bounds how many rows wait to be printed.
const rowsPerFlush = 1000

func newListing(w io.Writer, format outputFormat, heads ...string) *listing {
	l := &listing{w: w, format: format, heads: heads}
	switch format {
	case outputTable:
		l.table = newTable(w, heads...)
	case outputCSV:
		l.csv = csv.NewWriter(w)
	}
	return l
}

// add prints one thing: v, or a JSON value as it is, or its cells.
func (l *listing) add(v any, cells ...string) error {
	l.n++
	switch l.format {
	case outputTable:
		l.table.row(cells...)
		if l.n%rowsPerFlush == 0 {
			return l.table.flush()
		}
		return nil
	case outputCSV:
		if l.n == 1 {
			if err := l.csvHead(); err != nil {
				return err
			}
		}
		return l.csv.Write(cells)
	}
	doc, ok := v.(jsontext.Value)
	if !ok {
		var err error
		if doc, err = json.Marshal(v); err != nil {
			return err
		}
	}
	before, after := "", "\n"
	if l.format == outputJSON {
		if before, after = ",\n", ""; l.n == 1 {
			before = "[\n"
		}
	}
	_, err := fmt.Fprint(l.w, before, compact(doc), after)
	return err
}

// csvHead prints the heads as names: userName for USER NAME.
func (l *listing) csvHead() error {
	names := make([]string, len(l.heads))
	for i, h := range l.heads {
		for j, word := range strings.Fields(strings.ToLower(strings.ReplaceAll(h, "-", ""))) {
			if j > 0 {
				word = strings.ToUpper(word[:1]) + word[1:]
			}
			names[i] += word
		}
	}
	return l.csv.Write(names)
}

// end prints what is left.
func (l *listing) end() error {
	switch l.format {
	case outputTable:
		return l.table.flush()
	case outputCSV:
		if l.n == 0 {
			if err := l.csvHead(); err != nil {
				return err
			}
		}
		l.csv.Flush()
		return l.csv.Error()
	case outputJSON:
		end := "\n]\n"
		if l.n == 0 {
			end = "[]\n"
		}
		_, err := fmt.Fprint(l.w, end)
		return err
	}
	return nil
}

// one prints a single thing: as lines of name and value, as JSON, or as CSV with
// the names as heads. What has no value is no line.
func (l *listing) one(v any, fields [][2]string) error {
	switch l.format {
	case outputJSON:
		return printJSON(l.w, v)
	case outputNDJSON:
		return l.add(v)
	case outputTable:
		for _, f := range fields {
			if f[1] != "" {
				l.table.row(f[0], f[1])
			}
		}
		return l.table.flush()
	}
	names, cells := make([]string, len(fields)), make([]string, len(fields))
	for i, f := range fields {
		names[i], cells[i] = f[0], f[1]
	}
	if err := l.csv.WriteAll([][]string{names, cells}); err != nil {
		return err
	}
	return nil
}

// printJSON prints v, or a JSON value as it is, indented and with a line end.
func printJSON(w io.Writer, v any) error {
	doc, ok := v.(jsontext.Value)
	if ok {
		doc = doc.Clone()
	} else {
		var err error
		if doc, err = json.Marshal(v); err != nil {
			return err
		}
	}
	if err := doc.Indent(jsontext.WithIndent("  ")); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\n", doc)
	return err
}

// A table prints rows of cells in columns.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, heads ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(heads) > 0 {
		t.row(heads...)
	}
	return t
}

// row prints one row; what a terminal could take for a command is replaced.
func (t *table) row(cells ...string) {
	for i, c := range cells {
		if cells[i] = printable(c); c == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t *table) flush() error { return t.w.Flush() }

// printable returns s with what is not printable, such as the codes that steer a
// terminal, replaced: a directory holds what strangers have written.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// when returns a time for a table, "" for none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// printDocument prints a JSON object as lines of path and value, in its order, but
// for schemas: what people look for comes before them.
func printDocument(w io.Writer, doc jsontext.Value) error {
	t := newTable(w)
	var schemas jsontext.Value
	err := eachMember(doc, func(name string, v jsontext.Value) error {
		if name == "schemas" {
			schemas = v
			return nil
		}
		return documentRows(t, name, v)
	})
	if err == nil && schemas != nil {
		err = documentRows(t, "schemas", schemas)
	}
	if err != nil {
		return err
	}
	return t.flush()
}

func documentRows(t *table, path string, v jsontext.Value) error {
	switch v.Kind() {
	case '{':
		return eachMember(v, func(name string, v jsontext.Value) error {
			switch {
			case strings.HasPrefix(path, "urn:"):
				name = path + ":" + name
			default:
				name = path + "." + name
			}
			return documentRows(t, name, v)
		})
	case '[':
		var items []jsontext.Value
		if err := json.Unmarshal(v, &items); err != nil {
			return err
		}
		for i, it := range items {
			if it.Kind() == '{' {
				name, text := item(i, it)
				t.row(path+"["+name+"]", text)
			} else {
				t.row(path, plain(it))
			}
		}
		return nil
	}
	t.row(path, plain(v))
	return nil
}

// item words the i-th value of a multi-valued attribute: its type, or i where it
// has none, and its value, or all of it where it has none or has more to say.
func item(i int, v jsontext.Value) (name, text string) {
	name = strconv.Itoa(i)
	more := false
	err := eachMember(v, func(member string, v jsontext.Value) error {
		switch member {
		case "value":
			text = plain(v) + text
		case "type":
			name = plain(v)
		case "primary":
			if v.Kind() == 't' {
				text += " (primary)"
			}
		default:
			more = true
		}
		return nil
	})
	if err != nil || more || text == "" {
		return name, compact(v)
	}
	return name, text
}

// eachMember calls fn for each member of a JSON object, in order.
func eachMember(v jsontext.Value, fn func(name string, v jsontext.Value) error) error {
	dec := jsontext.NewDecoder(strings.NewReader(string(v)))
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		key := name.String()
		member, err := dec.ReadValue()
		if err != nil {
			return err
		}
		if err := fn(key, member.Clone()); err != nil {
			return err
		}
	}
	return nil
}

// plain returns the text of a JSON string, and other JSON as it is.
func plain(v jsontext.Value) string {
	var s string
	if v.Kind() == '"' && json.Unmarshal(v, &s) == nil {
		return s
	}
	return compact(v)
}

func compact(v jsontext.Value) string {
	v = v.Clone()
	if v.Compact() != nil {
		return ""
	}
	return v.String()
}
