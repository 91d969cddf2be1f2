package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/internal/apply"
)

type diffOptions struct {
	connection
	output      outputFormat
	columns     []string
	mapFile     string
	ignoreExtra bool
}

func newDiffCmd(g *globals) *cobra.Command {
	o := new(diffOptions)
	cmd := &cobra.Command{
		Use:   "diff A [B]",
		Short: "Compare a file with a directory, or two directories",
		Long: `Compare a file with a directory, or two directories: what would make B of A. A
directory is the name of a connection; without B it is the one that the flags say. In
a file, a column that is not there and a cell that is empty are no difference.

People are matched as by roster apply; between directories by externalId, userName or
e-mail address. The exit code is 0 when the two are the same and 2 when not.`,
		Example: `  roster diff people.csv
  roster diff cloud copy -o json
  roster diff people.csv cloud --ignore-extra`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 2 {
				return usagef("give a FILE or a CONNECTION to compare with the directory, or two to compare")
			}
			return runDiff(cmd.Context(), g, o, args)
		},
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addRuleSetFlag(f)
	o.output.addFlag(f)
	f.StringArrayVar(&o.columns, "map", nil, "`COLUMN=ATTRIBUTE`: what a column is about; COLUMN=- passes it over; may be repeated")
	f.StringVar(&o.mapFile, "map-file", "", "YAML `file` of lines COLUMN: ATTRIBUTE")
	f.BoolVar(&o.ignoreExtra, "ignore-extra", false, "of a file: do not tell who is in the directory alone")
	perCall(f, "map", "map-file", "ignore-extra")
	return cmd
}

// A side is one of the two things that are compared.
type side struct {
	name string
	file string           // empty: it is a directory
	dir  *apply.Directory // nil: it is a file
}

// side opens what an argument names: a file, else a connection; "" is where the
// flags say.
func (o *diffOptions) side(ctx context.Context, g *globals, name string) (side, error) {
	if info, err := os.Stat(name); err == nil && !info.IsDir() || apply.FormatOf(name) != "" {
		return side{name: filepath.Base(name), file: name}, nil
	}
	c := o.connection
	if name != "" {
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		c = connection{}
		c.addDirectoryFlags(f)
		c.addRuleSetFlag(f)
		c.timeout = o.timeout
		if err := f.Set("connection", name); err != nil {
			return side{}, err
		}
	}
	d, err := openForReading(ctx, g, &c)
	if name == "" {
		name = "the directory"
	}
	return side{name: name, dir: d}, err
}

func runDiff(ctx context.Context, g *globals, o *diffOptions, args []string) error {
	if len(args) == 1 {
		args = append(args, "")
	}
	a, err := o.side(ctx, g, args[0])
	if err != nil {
		return err
	}
	b, err := o.side(ctx, g, args[1])
	if err != nil {
		return err
	}
	// A plan is made for a directory, of rows: where A is a file, it is turned round.
	of, rows, turned := a, b, false
	if a.file != "" {
		of, rows, turned = b, a, true
	}
	if of.file != "" {
		return usagef("two files: one of the two must be a directory")
	}
	folder, err := os.MkdirTemp("", "roster-diff-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	in, read, options, err := o.rows(ctx, folder, rows)
	if err != nil {
		return err
	}
	defer in.Close()
	reader, err := apply.NewReader(in, of.dir.Type, read)
	if err != nil {
		return err
	}
	run, err := (&apply.Store{Dir: folder}).Create(apply.Meta{Source: rows.name})
	if err != nil {
		return err
	}
	defer run.Close()
	if err := apply.Plan(ctx, of.dir, reader, run, options); err != nil {
		return err
	}
	return printDiff(g, o.output, run, a.name, b.name, turned)
}

// rows returns the rows of a side: its file, or its people written as one.
func (o *diffOptions) rows(ctx context.Context, folder string, s side) (*os.File, apply.ReadOptions, apply.PlanOptions, error) {
	options := apply.PlanOptions{Compare: true, IgnoreExtra: o.ignoreExtra}
	if s.file != "" {
		mapping, err := columnMap(o.columns, o.mapFile)
		if err != nil {
			return nil, apply.ReadOptions{}, options, err
		}
		f, err := os.Open(s.file)
		if err != nil {
			err = &usageError{err}
		}
		return f, apply.ReadOptions{Format: apply.FormatOf(s.file), Map: mapping}, options, err
	}
	options.Replace, options.IgnoreExtra = true, false
	f, err := os.OpenFile(filepath.Join(folder, "people.ndjson"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, apply.ReadOptions{}, options, err
	}
	n, err := apply.Export(ctx, s.dir, f, apply.ExportOptions{Format: apply.NDJSON, WithoutID: true})
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil && n == 0 {
		err = fmt.Errorf("%s is empty: nothing can be compared with it", s.name)
	}
	if err != nil {
		return nil, apply.ReadOptions{}, options, errors.Join(err, f.Close())
	}
	return f, apply.ReadOptions{Format: apply.NDJSON}, options, nil
}

// A difference is a person who is not the same in A and in B.
type difference struct {
	UserName string          `json:"userName"`
	ID       string          `json:"id,omitzero"` // in the directory, of two in A; empty: not there
	In       string          `json:"in"`          // "a", "b" or "both"
	Changes  []action.Change `json:"changes,omitempty"`
}

// differenceOf words a step of a comparison as what makes B of A.
func differenceOf(s *apply.Step, turned bool) difference {
	d := difference{UserName: s.UserName, ID: s.ID, In: "both"}
	switch {
	case s.Op == apply.Create && !turned, s.Op == apply.Extra && turned:
		d.In = "b"
		return d
	case s.Op == apply.Create, s.Op == apply.Extra:
		d.In = "a"
		return d
	}
	for _, c := range s.Changes {
		if turned {
			c.Before, c.After = c.After, c.Before
			switch c.Op {
			case action.Add:
				c.Op = action.Clear
			case action.Clear:
				c.Op = action.Add
			}
		}
		c.Warning, c.Defaulted = false, false
		d.Changes = append(d.Changes, c)
	}
	return d
}

// errDifferent is the end of a comparison that found something.
var errDifferent = errors.New("they are different")

func printDiff(g *globals, o outputFormat, run *apply.Run, a, b string, turned bool) error {
	buf := bufio.NewWriter(g.stdout)
	l := newListing(buf, o, "USER NAME", "ID", "IN", "OPERATION", "ATTRIBUTE", "A", "B")
	n := map[string]int{}
	for s, err := range run.Steps() {
		if err != nil {
			return err
		}
		d := differenceOf(s, turned)
		n[d.In]++
		switch {
		case o == outputCSV && len(d.Changes) == 0:
			err = l.add(nil, d.UserName, d.ID, d.In, "", "", "", "")
		case o == outputCSV:
			for _, c := range d.Changes {
				err = errors.Join(err, l.add(nil, d.UserName, d.ID, d.In, string(c.Op), c.Attribute, string(c.Before), string(c.After)))
			}
		case o != outputTable:
			err = l.add(d)
		default:
			sign := map[string]string{"a": "-", "b": "+", "both": "~"}[d.In]
			only := map[string]string{"a": "  (only in " + a + ")", "b": "  (only in " + b + ")"}[d.In]
			fmt.Fprintln(buf, g.paint(g.stdout, fmt.Sprintf("%s %s%s", sign, printable(d.UserName), printable(only))))
			for _, c := range d.Changes {
				fmt.Fprintln(buf, g.paint(g.stdout, "    "+strings.ReplaceAll(printable(c.String()), "(cleared)", "(none)")))
			}
		}
		if err != nil {
			return err
		}
	}
	if o != outputTable {
		if err := l.end(); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(buf, "%d only in %s, %d only in %s, %d different, %d the same.\n", n["a"], printable(a), n["b"], printable(b), n["both"], run.Meta.Counts.Unchanged)
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	if len(n) > 0 {
		return errDifferent
	}
	return nil
}
