package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/internal/apply"
)

type exportOptions struct {
	connection
	format     string
	attributes []string
	filter     string
	out        string
}

func newExportCmd(g *globals) *cobra.Command {
	o := new(exportOptions)
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the people of a directory as a file for roster apply",
		Long: `Write the people of a directory as a file for roster apply: to export, to edit and to
apply changes what you have edited, and nothing else.

A table has a column for each attribute that somebody has a value of. A list whose
values each have a type of their own is a column for each type, such as emails[work];
any other list is one column of JSON.`,
		Example: `  roster export --out people.csv
  roster export --format ndjson --filter 'active eq false'
  roster export --attributes userName,title,emails[work]`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runExport(cmd.Context(), g, o) },
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addRuleSetFlag(f)
	f.StringVar(&o.format, "format", "", "`name` of the form: csv, json or ndjson (default: as the name of --out tells, else csv)")
	f.StringSliceVar(&o.attributes, "attributes", nil, "`names` of the columns (default: all that have values)")
	f.StringVar(&o.filter, "filter", "", "SCIM `filter`, sent as it is")
	f.StringVar(&o.out, "out", "", "`file` to write (default: standard output)")
	perCall(f, "format", "attributes", "filter", "out")
	return cmd
}

func runExport(ctx context.Context, g *globals, o *exportOptions) error {
	format := apply.Format(o.format)
	if format == "" {
		if format = apply.FormatOf(o.out); format == "" {
			format = apply.CSV
		}
	}
	if format != apply.CSV && format != apply.JSON && format != apply.NDJSON {
		return usagef("--format: there are csv, json and ndjson")
	}
	d, err := openForReading(ctx, g, &o.connection)
	if err != nil {
		return err
	}
	n := 0
	write := func(w io.Writer) (err error) {
		n, err = apply.Export(ctx, d, w, apply.ExportOptions{Format: format, Attributes: o.attributes, Filter: o.filter})
		return err
	}
	if o.out == "" {
		return write(g.stdout)
	}
	if err := writeFile(o.out, write); err != nil {
		return err
	}
	fmt.Fprintf(g.stderr, "Wrote %s to %s.\n", people(n), printable(o.out))
	return nil
}

// openForReading opens a directory that nothing is to be changed in.
func openForReading(ctx context.Context, g *globals, c *connection) (*apply.Directory, error) {
	return (&runFlags{concurrency: 1}).directory(ctx, g, c)
}
