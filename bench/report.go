package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A report is the outcome of a run.
type report struct {
	*options
	sync     time.Duration // of the disk probe
	rows     []*row
	restarts []restart
	drains   []drain
}

// flatness is how much dearer an operation may be with the most users than with
// the fewest.
const flatness = 1.30

// rate returns the median of the operations a second.
func (r *row) rate() float64 { return median(r.turns, turn.rate) }

// ratio returns the median of the rates, each divided by that of the bare
// server just before.
func (r *row) ratio() float64 {
	ratios := make([]float64, len(r.turns))
	for i := range ratios {
		ratios[i] = r.turns[i].rate() / r.bare[i].rate()
	}
	return median(ratios, func(f float64) float64 { return f })
}

// cpu returns the processor time of the server for one operation, over all
// turns: a single one is too short for the clock of the kernel.
func cpu(turns []turn) time.Duration {
	var sum time.Duration
	n := 0
	for _, t := range turns {
		sum += t.cpu
		n += t.operations
	}
	return sum / time.Duration(max(n, 1))
}

func median[T any, N cmp.Ordered](list []T, of func(T) N) N {
	values := make([]N, len(list))
	for i, v := range list {
		values[i] = of(v)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// String says what the budget is.
func (b budget) String() string {
	var parts []string
	if b.cpu > 0 {
		parts = append(parts, "<= "+micros(b.cpu)+" µs")
	}
	if b.ratio > 0 {
		parts = append(parts, fmt.Sprintf(">= %.2f", b.ratio))
	}
	if b.rate > 0 {
		parts = append(parts, fmt.Sprintf(">= %.0f/s", b.rate))
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}

// verdict says whether r is within its budget, and else where it is not.
func (r *row) verdict() string {
	if r.budget == (budget{}) {
		return "–"
	}
	var over []string
	if r.budget.cpu > 0 && cpu(r.turns) > r.budget.cpu {
		over = append(over, "CPU")
	}
	if r.budget.ratio > 0 && r.ratio() < r.budget.ratio {
		over = append(over, "ratio")
	}
	if r.budget.rate > 0 && r.rate() < r.budget.rate {
		over = append(over, "rate")
	}
	if len(over) == 0 {
		return "met"
	}
	return "**not met: " + strings.Join(over, ", ") + "**"
}

// write writes the report as Markdown.
func (r *report) write(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d processors, %s/%s, %s. %d connections, %d turns of %v each.\n",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), r.connections, r.rounds, r.duration)
	fmt.Fprintf(&b, "A 4 KB append with fsync takes %s µs (median) on this disk. A user is %d bytes of JSON.\n", micros(r.sync), len(userTemplate))
	if r.postgres == "" {
		b.WriteString("PostgreSQL is left out: ROSTER_TEST_POSTGRES names no database server.\n")
	}
	b.WriteString("\n| users | database | operation | ops/s | p50 ms | p99 ms | CPU µs/op | RSS MB (peak) | bare ops/s | bare CPU µs/op | ratio | budget | |\n")
	b.WriteString("| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |\n")
	for _, row := range r.rows {
		fmt.Fprintf(&b, "| %d | %s | %s | %.0f | %s | %s | %s | %d (%d) | %.0f | %s | %.2f | %s | %s |\n",
			row.users, row.database, row.op.name, row.rate(),
			millis(median(row.turns, func(t turn) time.Duration { return t.p50 })),
			millis(median(row.turns, func(t turn) time.Duration { return t.p99 })),
			micros(cpu(row.turns)), row.rss>>20, row.peak>>20,
			median(row.bare, turn.rate), micros(cpu(row.bare)), row.ratio(), row.budget, row.verdict())
	}
	r.writeFlatness(&b)
	r.writeGroups(&b)
	if len(r.restarts) > 0 {
		b.WriteString("\nFrom the start of a server to its first answer, and its memory then:\n\n")
	}
	for _, s := range r.restarts {
		fmt.Fprintf(&b, "- %d users, %s: %s ms, %d MB\n", s.users, s.database, millis(s.took), s.rss>>20)
	}
	r.writeDrains(&b)
	_, err := w.Write(b.Bytes())
	return err
}

// writeFlatness compares the operations with the fewest and with the most users.
func (r *report) writeFlatness(b *bytes.Buffer) {
	few, many := slices.Min(r.users), slices.Max(r.users)
	if few == many {
		return
	}
	fmt.Fprintf(b, "\nCPU of an operation with %d users, and with %d (at most %+.0f %% is flat):\n\n", few, many, 100*(flatness-1))
	for _, first := range r.rows {
		i := slices.IndexFunc(r.rows, func(last *row) bool {
			return last.users == many && last.op == first.op && last.database == first.database
		})
		if first.users != few || i < 0 || first.op == post {
			continue
		}
		before, after := cpu(first.turns), cpu(r.rows[i].turns)
		growth := float64(after) / float64(max(before, 1))
		mark := ""
		if growth > flatness {
			mark = " **not flat**"
		}
		fmt.Fprintf(b, "- %s, %s: %s µs, %s µs: %+.0f %%%s\n", first.database, first.op.name, micros(before), micros(after), 100*(growth-1), mark)
	}
}

// writeGroups compares a change of the smallest group with one of the largest.
func (r *report) writeGroups(b *bytes.Buffer) {
	for i, small := range r.rows {
		if small.op.users != groupSizes[0] {
			continue
		}
		large := small
		for _, row := range r.rows[i:] {
			if row.users == small.users && row.database == small.database && row.op.users > large.op.users {
				large = row
			}
		}
		if large == small {
			continue
		}
		before, after := cpu(small.turns), cpu(large.turns)
		growth := float64(after) / float64(max(before, 1))
		mark := ""
		if growth > flatness {
			mark = " **not flat**"
		}
		fmt.Fprintf(b, "\n%d users, %s: %s: %s µs, of %d: %s µs: %+.0f %%%s\n",
			small.users, small.database, small.op.name, micros(before), large.op.users, micros(after), 100*(growth-1), mark)
	}
}

func micros(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/float64(time.Microsecond)) }

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
