package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/apply"
)

// runFlags are the flags of the commands that carry out a plan.
type runFlags struct {
	stateDir    string
	concurrency int
	rate        float64
	dryRun      bool
	yes         bool
	output      outputFormat
}

func (o *runFlags) addFlags(f *pflag.FlagSet) {
	addStateDirFlag(f, &o.stateDir)
	f.IntVar(&o.concurrency, "concurrency", 0, "`number` of requests under way at once, from 1 to 256 (default 64 at a Roster, else 16)")
	f.Float64Var(&o.rate, "rate", 0, "`number` of requests a second at the most (default: no bound)")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan, and change nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	perCall(f, "rate", "dry-run", "yes") // the setting rate is that of roster serve
	o.output.addFlag(f)
}

func addStateDirFlag(f *pflag.FlagSet, dir *string) {
	f.StringVar(dir, "state-dir", "", "`folder` of the runs (default $XDG_STATE_HOME/roster)")
}

// stateDir returns the folder of what commands keep while they run: the one that
// was named, or the person's.
func stateDir(g *globals, dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	base := g.getenv("XDG_STATE_HOME")
	if base == "" {
		home := g.getenv("HOME")
		if home == "" {
			return "", usagef("no place for runs: set XDG_STATE_HOME or HOME, or give --state-dir")
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "roster"), nil
}

// runStore returns the folder of runs.
func runStore(g *globals, dir string) (*apply.Store, error) {
	dir, err := stateDir(g, dir)
	if err != nil {
		return nil, err
	}
	return &apply.Store{Dir: filepath.Join(dir, "runs")}, nil
}

// directory opens where a run acts, with a client for many requests.
func (o *runFlags) directory(ctx context.Context, g *globals, c *connection) (*apply.Directory, error) {
	if o.concurrency < 0 || o.concurrency > 256 {
		return nil, usagef("--concurrency must be from 1 to 256")
	}
	if !(o.rate >= 0) {
		return nil, usagef("--rate must not be negative")
	}
	rules, err := c.rules(g)
	if err != nil {
		return nil, err
	}
	one, err := c.openDirectory(ctx, g)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	most := cmp.Or(o.concurrency, rosterConcurrency)
	transport.MaxIdleConnsPerHost = most
	seldomCollect(g)
	d, err := apply.OpenDirectory(ctx, &client.Client{
		BaseURL: one.BaseURL, Directory: one.Directory, Key: one.Key, UserAgent: one.UserAgent, Timeout: one.Timeout,
		HTTP:    &http.Client{Transport: transport},
		Retries: 8, RetryWait: one.RetryWait,
		Rate: o.rate, Burst: most,
	}, rules)
	if err == nil && o.concurrency == 0 {
		// A Roster takes what comes together in one sync of its disk; others may count
		// requests.
		if o.concurrency = otherConcurrency; d.Roster {
			o.concurrency = rosterConcurrency
		}
	}
	return d, err
}

// How many requests are under way at once where nobody says.
const (
	rosterConcurrency = 64
	otherConcurrency  = 16
)

type applyOptions struct {
	connection
	runFlags
	file          string
	resume        string
	format        string
	columns       []string
	mapFile       string
	empty         string
	replace       bool
	noCreate      bool
	missing       bool
	maxDeactivate string
	maxClear      string
	out           string
	errorsFile    string
}

func newApplyCmd(g *globals) *cobra.Command {
	o := new(applyOptions)
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Create and update the people that a CSV, JSON or NDJSON file names",
		Long: `Create and update the people that a CSV, JSON or NDJSON file names; - is standard
input. The plan is shown first, attribute by attribute.

A row is about the person who has its id, externalId, userName or e-mail address, in
this order. A column that is not in the file is never touched, an empty cell changes
nothing, and <clear> clears. A person whom nobody matches is created. Two rows for
one person, or a row that matches two, stop the plan.

When it is killed or interrupted, the same command again goes on, and repeats
nothing. roster undo takes a run back.`,
		Example: `  roster apply people.csv --dry-run
  roster apply people.csv --map 'Job Title=title' --map 'Cost Centre=-'
  roster apply people.csv --deactivate-missing --max-deactivate 5%
  roster apply people.csv --out plan.json
  roster apply plan.json --yes
  roster apply --resume 20260131-120000-abcdef`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 || (len(args) == 1) == (o.resume != "") {
				return usagef("give one FILE (- for standard input), or --resume RUN")
			}
			if o.resume != "" {
				return runResume(cmd.Context(), g, o)
			}
			o.file = args[0]
			return runApply(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addRuleSetFlag(f)
	o.runFlags.addFlags(f)
	f.StringVar(&o.format, "format", "", "`name` of the form: csv, json or ndjson (default: as the file's name and its beginning tell)")
	f.StringArrayVar(&o.columns, "map", nil, "`COLUMN=ATTRIBUTE`: what a column is about; COLUMN=- passes it over; may be repeated")
	f.StringVar(&o.mapFile, "map-file", "", "YAML `file` of lines COLUMN: ATTRIBUTE")
	f.StringVar(&o.empty, "empty", "keep", "`name` of what an empty cell does: keep or clear")
	f.BoolVar(&o.replace, "replace", false, "make people what their rows say: what a row does not name is cleared")
	f.BoolVar(&o.noCreate, "no-create", false, "a row that nobody matches stops the plan")
	f.BoolVar(&o.missing, "deactivate-missing", false, "deactivate the active people whom no row names")
	f.StringVar(&o.maxDeactivate, "max-deactivate", "", "deactivate at most `N` people, or N% of the directory (default: 5% with --deactivate-missing)")
	f.StringVar(&o.maxClear, "max-clear", "", "clear at most `N` attributes (default: no bound)")
	f.StringVar(&o.out, "out", "", "write the plan to a `file` for roster apply, and change nothing")
	f.StringVar(&o.errorsFile, "errors-file", "", "`file` for the rows that failed (default: in the folder of the run)")
	f.StringVar(&o.resume, "resume", "", "go on with the `run` of that id")
	perCall(f, "format", "map", "map-file", "empty", "replace", "no-create", "deactivate-missing", "max-deactivate", "max-clear", "out", "errors-file", "resume")
	completeFlag(cmd, "resume", completeRuns(g, &o.stateDir))
	return cmd
}

// columnMap returns what the flags --map and --map-file say about columns.
func columnMap(columns []string, file string) (map[string]string, error) {
	m := make(map[string]string)
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, &usageError{err}
		}
		if err := yaml.Unmarshal(data, &m); err != nil {
			return nil, usagef("--map-file: expected lines of the form COLUMN: ATTRIBUTE")
		}
	}
	for _, text := range columns {
		i := strings.LastIndexByte(text, '=')
		if i < 1 || i == len(text)-1 {
			return nil, usagef("--map %q: expected COLUMN=ATTRIBUTE", text)
		}
		m[text[:i]] = text[i+1:]
	}
	return m, nil
}

// planOptions reads the flags that say what rows mean.
func (o *applyOptions) planOptions() (p apply.PlanOptions, r apply.ReadOptions, err error) {
	p = apply.PlanOptions{Replace: o.replace, NoCreate: o.noCreate, DeactivateMissing: o.missing}
	if o.maxDeactivate == "" && o.missing {
		o.maxDeactivate = "5%"
	}
	for flag, one := range map[string]struct {
		text string
		to   *apply.Limit
	}{"max-deactivate": {o.maxDeactivate, &p.MaxDeactivate}, "max-clear": {o.maxClear, &p.MaxClear}} {
		if one.text == "" {
			continue
		}
		if *one.to, err = apply.ParseLimit(one.text); err != nil {
			return p, r, usagef("--%s: %w", flag, err)
		}
	}
	if o.empty != "keep" && o.empty != "clear" {
		return p, r, usagef("--empty must be keep or clear")
	}
	if !slices.Contains([]string{"", "csv", "json", "ndjson"}, o.format) {
		return p, r, usagef("--format: there are csv, json and ndjson")
	}
	r = apply.ReadOptions{Format: apply.Format(o.format), EmptyClears: o.empty == "clear"}
	if r.Format == "" {
		r.Format = apply.FormatOf(o.file)
	}
	r.Map, err = columnMap(o.columns, o.mapFile)
	return p, r, err
}

// openFile opens the file of changes, and returns what closes it; standard input,
// or a pipe such as <(…), is copied to a file first, since it is read twice.
func openFile(g *globals, store *apply.Store, name string) (f *os.File, closeFile func() error, err error) {
	var in io.Reader
	if name == "-" {
		in = g.input()
	} else {
		if f, err = os.Open(name); err != nil {
			return nil, nil, &usageError{err}
		}
		info, err := f.Stat()
		if err != nil || info.Mode().IsRegular() {
			return f, f.Close, err
		}
		if info.IsDir() {
			return nil, nil, errors.Join(usagef("%s is a folder", name), f.Close())
		}
		defer func(pipe *os.File) { err = errors.Join(err, pipe.Close()) }(f)
		in = f
	}
	if f, err = store.CreateTemp(); err != nil {
		return nil, nil, err
	}
	closeFile = func() error { return errors.Join(f.Close(), os.Remove(f.Name())) }
	if _, err := io.Copy(f, in); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read the changes: %w", err), closeFile())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, nil, errors.Join(err, closeFile())
	}
	return f, closeFile, nil
}

// key returns a digest of the file and of what is to be done with it.
func (o *applyOptions) key(f *os.File, d *apply.Directory, mapping map[string]string) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	fmt.Fprintf(h, "\x00%q %q %q %v %v %v %v %q %q", d.Client.BaseURL, d.Client.Directory, o.format, o.replace, o.noCreate, o.missing, o.empty, o.maxDeactivate, o.maxClear)
	for _, name := range slices.Sorted(maps.Keys(mapping)) {
		fmt.Fprintf(h, " %q=%q", name, mapping[name])
	}
	_, err := f.Seek(0, io.SeekStart)
	return hex.EncodeToString(h.Sum(nil)), err
}

func runApply(ctx context.Context, g *globals, o *applyOptions) (err error) {
	planOptions, readOptions, err := o.planOptions()
	if err != nil {
		return err
	}
	store, err := runStore(g, o.stateDir)
	if err != nil {
		return err
	}
	f, closeFile, err := openFile(g, store, o.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFile()) }()
	d, err := o.runFlags.directory(ctx, g, &o.connection)
	if err != nil {
		return err
	}
	if err := store.Prune(time.Now()); err != nil {
		return err
	}
	key, err := o.key(f, d, readOptions.Map)
	if err != nil {
		return err
	}
	if !o.dryRun && o.out == "" {
		run, err := store.Unfinished(key)
		if err != nil {
			return err
		}
		if run != nil {
			defer run.Close()
			fmt.Fprintf(g.stderr, "Going on with run %s, which was begun on %s.\n", run.Meta.ID, when(run.Meta.Created))
			return o.carryOut(ctx, g, d, run)
		}
	}
	run, err := store.Create(apply.Meta{Source: filepath.Base(o.file), Key: key, URL: d.Client.BaseURL, Directory: d.Client.Directory})
	if err != nil {
		return err
	}
	kept := false
	defer func() {
		if !kept {
			err = errors.Join(err, run.Remove())
		}
	}()
	if err := o.plan(ctx, g, d, f, run, readOptions, planOptions); err != nil {
		return err
	}
	if o.out != "" {
		return o.writePlan(g, run)
	}
	kept, err = o.showAndAsk(g, d, run)
	if err != nil || !kept {
		return err
	}
	defer run.Close()
	return o.carryOut(ctx, g, d, run)
}

// showAndAsk prints a plan, and reports whether it is to be carried out.
func (o *applyOptions) showAndAsk(g *globals, d *apply.Directory, run *apply.Run) (bool, error) {
	c := run.Meta.Counts
	// In a form for programs, what a dry run prints is the plan, and else what was
	// done.
	if o.dryRun || o.output == outputTable || c.Steps() == 0 {
		if err := printRunPlan(g, o.output, run); err != nil {
			return false, err
		}
	}
	if o.dryRun || c.Steps() == 0 {
		return false, nil
	}
	question := fmt.Sprintf("Apply this to %s (%s)?", people(c.Steps()), o.where(d.Client))
	err := confirm(g, o.yes, "this changes "+people(c.Steps()), question)
	return err == nil, err
}

// plan makes the plan of a file, or reads a saved one.
func (o *applyOptions) plan(ctx context.Context, g *globals, d *apply.Directory, f *os.File, run *apply.Run, r apply.ReadOptions, p apply.PlanOptions) error {
	head := make([]byte, 256)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if o.format == "" && apply.IsPlan(head[:n]) {
		return apply.LoadPlan(ctx, d, f, run, o.concurrency)
	}
	if g.terminal() {
		p.Everybody = func(n int) {
			if n%1000 == 0 {
				fmt.Fprintf(g.stderr, "\rreading the directory: %s", people(n))
			}
		}
		defer fmt.Fprint(g.stderr, "\r\x1b[K")
	}
	in, err := apply.NewReader(f, d.Type, r)
	if err != nil {
		return err
	}
	if err := apply.Plan(ctx, d, in, run, p); err != nil {
		return err
	}
	if len(in.Skipped) > 0 {
		fmt.Fprintf(g.stderr, "note: passed over, since only the directory writes it: %s\n", printable(strings.Join(in.Skipped, ", ")))
	}
	return nil
}

func (o *applyOptions) writePlan(g *globals, run *apply.Run) error {
	if err := writeFile(o.out, run.WritePlan); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(g.stdout, runSummary(&run.Meta.Counts)); err != nil {
		return err
	}
	fmt.Fprintf(g.stderr, "Wrote the plan to %s: roster apply %s does exactly that, or says what has changed.\n", printable(o.out), printable(o.out))
	return nil
}

func runResume(ctx context.Context, g *globals, o *applyOptions) error {
	store, err := runStore(g, o.stateDir)
	if err != nil {
		return err
	}
	run, err := openRun(store, o.resume, "roster undo --list")
	if err != nil {
		return err
	}
	defer run.Close()
	if run.Meta.State == apply.Planning {
		return usagef("run %s has no whole plan, and has changed nothing: apply the file again", run.Meta.ID)
	}
	d, err := o.runFlags.directory(ctx, g, &o.connection)
	if err != nil {
		return err
	}
	if err := sameDirectory(d, &run.Meta); err != nil {
		return err
	}
	return o.carryOut(ctx, g, d, run)
}

func openRun(store *apply.Store, id, try string) (*apply.Run, error) {
	run, err := store.Open(id)
	if errors.Is(err, apply.ErrNoRun) {
		return nil, &usageError{&hintedError{err, try}}
	}
	return run, err
}

// sameDirectory refuses to act in another directory than the run did.
func sameDirectory(d *apply.Directory, m *apply.Meta) error {
	if d.Client.BaseURL != m.URL || d.Client.Directory != m.Directory {
		return usagef("run %s was on the directory %s at %s, and this is %s at %s: name its --connection, or --url and --directory",
			m.ID, m.Directory, m.URL, d.Client.Directory, d.Client.BaseURL)
	}
	return nil
}
