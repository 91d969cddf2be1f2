package roster_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
)

func TestCause_IsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	want := &roster.Cause{Run: "r-1.a_b", Step: "update", Workflow: "update-user-and-email", Depth: 3}
	got := roster.ParseCause(want.String())
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("ParseCause(%q):\n%s", want, d)
	}
	if got := (*roster.Cause)(nil).String(); got != "" {
		t.Errorf("no cause is %q", got)
	}
}

func TestParseCause_IgnoresWhatItCannotBe(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", ";", "run=a", "run=a;step=b;workflow=c", "run=a;step=b;workflow=c;depth=0", "run=a;step=b;workflow=c;depth=1001",
		"run=a;step=b;workflow=c;depth=-1", "run=a;step=b;workflow=c;depth=+1", "run=a;step=b;workflow=c;depth=01",
		"run=a;step=b;workflow=c;depth=1;", "run=a;step=b;workflow=c;depth=1;more=1", "step=b;run=a;workflow=c;depth=1",
		"run=;step=b;workflow=c;depth=1", "run=a b;step=b;workflow=c;depth=1", "run=a\n;step=b;workflow=c;depth=1",
		"run=é;step=b;workflow=c;depth=1", "run=" + strings.Repeat("a", 201) + ";step=b;workflow=c;depth=1",
	} {
		if got := roster.ParseCause(s); got != nil {
			t.Errorf("ParseCause(%q) = %+v, want none", s, got)
		}
	}
}
