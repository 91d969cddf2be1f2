package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMaskKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"rk_abcdefghijklmnopqrstuvwxyz0123456789": "rk_abcd…",
		"ATATT3xFfGF0abcdefgh":                    "ATAT…",
		"rk_short":                                "…",
		"short":                                   "…",
		"":                                        "…",
	} {
		if got := maskKey(key); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
}

// TestConnectionFiles_RoundTrip holds for any texts: what is kept is what is read.
func TestConnectionFiles_RoundTrip(t *testing.T) {
	t.Parallel()
	files := connectionFiles{filepath.Join(t.TempDir(), "roster", "connections")}
	text := rapid.StringMatching(`[ -~]{1,20}`)
	rapid.Check(t, func(rt *rapid.T) {
		want := &savedConnection{Name: "a", URL: text.Draw(rt, "url"), Directory: text.Draw(rt, "directory"), RuleSet: "strict", Key: text.Draw(rt, "key")}
		if err := files.save(want); err != nil {
			rt.Fatal(err)
		}
		got, err := files.load("a")
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			rt.Fatal(diff)
		}
	})
	entries, err := os.ReadDir(files.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v, want the one file", entries, err)
	}
	for _, name := range []string{"", ".", "..", "../a", "a/b", ".a", strings.Repeat("a", 65)} {
		if _, err := files.load(name); exitCode(err) != exitUsage {
			t.Errorf("%q: got %v, want a usage error", name, err)
		}
	}
}
