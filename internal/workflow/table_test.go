package workflow_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the outputs in testdata again")

// runTable runs the cases in the files of a pattern: an input, a line "----", the
// output that run gives for it, a line "====".
func runTable(t *testing.T, pattern string, run func(t *testing.T, input string) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out, line := "", 1
			for one := range strings.SplitSeq(strings.TrimSuffix(string(data), "====\n"), "====\n") {
				input, want, found := strings.Cut(one, "----\n")
				if !found {
					t.Fatalf("%s:%d: a case without ----", file, line)
				}
				got := strings.TrimSuffix(run(t, input), "\n") + "\n"
				if diff := cmp.Diff(want, got); diff != "" && !*update {
					t.Errorf("%s:%d:\n%s(-want +got):\n%s", file, line, input, diff)
				}
				out += input + "----\n" + got + "====\n"
				line += strings.Count(one, "\n") + 1
			}
			if *update {
				if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
