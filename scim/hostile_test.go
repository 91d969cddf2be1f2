package scim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/roster-scim/roster/scim"
)

// What a server takes is 1 MiB at the most: these bodies
// are of that size.

func manyUnknown(n int) string {
	var b strings.Builder
	b.WriteString(`{"userName":"ada"`)
	for i := range n {
		fmt.Fprintf(&b, `,"a%05d":0`, i)
	}
	return b.String() + "}"
}

func nested(open, end string, levels int) string {
	return strings.Repeat(open, levels) + strings.Repeat(end, levels)
}

func list(n int, item func(i int) string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(item(i))
	}
	return b.String() + "]"
}

// Not parallel, as whatever counts allocations.
func TestParse_HostileBodies(t *testing.T) {
	const few = 150 // not one for each of anything; the race detector adds some
	email := func(i int) string { return fmt.Sprintf(`{"value":"%d"}`, i) }
	long := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		name, rules, body string
		want              string // in the refusal; empty: it is taken
		allocs            float64
	}{
		{"100,000 unknown attributes", scim.Standard, manyUnknown(100_000), "more than 1000 members", 4_000},
		{"100,000 unknown attributes, refused at the first", scim.Strict, manyUnknown(100_000), "no attribute a00000", few},
		{"one attribute 100,000 times", scim.Standard, `{` + strings.Repeat(`"title":"",`, 100_000) + `"x":1}`, "duplicate", few},
		{"10,000 levels in an unknown attribute", scim.Standard, `{"x":` + nested("[", "]", 10_000) + `}`, "more than 32 levels", few},
		{"10,000 objects in one another", scim.Standard, `{"x":` + strings.Repeat(`{"x":`, 10_000) + `1` + strings.Repeat("}", 10_000) + `}`, "more than 32 levels", few},
		{"10,000 levels in a readOnly attribute", scim.Standard, `{"meta":` + nested("[", "]", 10_000) + `}`, "more than 32 levels", few},
		{"10,000 levels in a text", scim.Standard, `{"title":` + nested("[", "]", 10_000) + `}`, "must be a string", few},
		{"10,000 levels in a list", scim.Standard, `{"emails":` + nested("[", "]", 10_000) + `}`, "must be an object", few},
		{"10,000 levels in an object of a list", scim.Standard, `{"emails":[{"x":` + nested("[", "]", 10_000) + `}]}`, "more than 32 levels", few},
		{"10,000 levels in a password", scim.Standard, `{"password":` + nested("[", "]", 10_000) + `}`, "must be a string", few},
		{"10,000 levels alone", scim.Standard, nested("[", "]", 10_000), "must be a JSON object", few},
		{"500,000 brackets that never close", scim.Standard, `{"x":` + strings.Repeat("[", 500_000), "more than 32 levels", few},
		{"80,000 values", scim.Standard, `{"emails":` + list(80_000, email) + `}`, "more than 1000 values", 3_200},
		{"1,001 values", scim.Standard, `{"emails":` + list(1_001, email) + `}`, "more than 1000 values", 3_200},
		{"80,000 times the same value", scim.Standard, `{"emails":` + strings.Replace(list(80_000, email), `"1"`, `"0"`, -1) + `}`, "more than 1000 values", 3_200},
		{"200,000 nulls", scim.Standard, `{"emails":[` + strings.Repeat("null,", 200_000) + `null]}`, "more than 1000 values", few},
		{"200,000 empty objects", scim.Standard, `{"emails":[` + strings.Repeat("{},", 200_000) + `{}]}`, "more than 1000 values", 1_200},
		{"200,000 values of no list", scim.Standard, `{"x":[` + strings.Repeat("0,", 200_000) + `0]}`, "", few},
		{"a long text", scim.Standard, `{"userName":"` + long + `"}`, "longer than 65536 bytes", few},
		{"a long text in escapes", scim.Standard, `{"userName":"` + strings.Repeat(`\u0061`, 1<<20/6) + `"}`, "longer than 65536 bytes", few},
		{"a long name", scim.Standard, `{"` + long + `":1}`, "", few},
		{"a long name, refused", scim.Strict, `{"` + long + `":1}`, "has no attribute xxx", few},
		{"a long name of escapes, twice", scim.Standard, `{"` + long + `":1,"` + long + `":1}`, "duplicate", few},
		{"a long word", scim.Standard, `{"active":"` + long + `"}`, "true or false", few},
		{"a long date", scim.Standard, `{"meta":{"created":"` + long + `"}}`, "", few},
		{"a long number", scim.Standard, `{"active":` + strings.Repeat("9", 1<<20) + `}`, "true or false", few},
		{"blanks", scim.Standard, strings.Repeat(" ", 1<<20), "the body is empty", few},
		{"blanks after the object", scim.Standard, `{}` + strings.Repeat("\n", 1<<20), "", few},
		{"1,000 qualified names for one attribute", scim.Standard, `{` + strings.Repeat(`"NAME.givenName":"",`, 1) + strings.Repeat(`"name.GIVENNAME":"",`, 1_000) + `"x":1}`, "given twice", few},
	} {
		t.Run(tt.name, func(t *testing.T) {
			typ, data := typeOf(t, tt.rules, "User"), []byte(tt.body)
			_, notes, err := typ.Parse(data)
			if tt.want == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
			} else {
				checkRefusal(t, err, 400)
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q in it", err, tt.want)
				}
			}
			for _, n := range append(notes.Ignored, notes.Coerced...) {
				if len(n) > 200 {
					t.Errorf("a note of %d bytes", len(n))
				}
			}
			if got := testing.AllocsPerRun(1, func() { _, _, _ = typ.Parse(data) }); got > tt.allocs {
				t.Errorf("%v allocations, want at most %v", got, tt.allocs)
			}
		})
	}
}

func TestParse_BoundsAreExact(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Standard, "User")
	for _, tt := range []struct {
		name, body string
		refused    bool
	}{
		{"32 levels", `{"x":` + nested("[", "]", 31) + `}`, false},
		{"33 levels", `{"x":` + nested("[", "]", 32) + `}`, true},
		{"32 levels below a list", `{"emails":[{"x":` + nested("[", "]", 29) + `}]}`, false},
		{"33 levels below a list", `{"emails":[{"x":` + nested("[", "]", 30) + `}]}`, true},
		{"a value on level 32", `{"x":` + strings.Repeat("[", 31) + `"deep"` + strings.Repeat("]", 31) + `}`, false},
		{"65,536 bytes", `{"title":"` + strings.Repeat("x", scim.MaxText) + `"}`, false},
		{"65,537 bytes", `{"title":"` + strings.Repeat("x", scim.MaxText+1) + `"}`, true},
		{"1,000 members", manyUnknown(999), false},
		{"1,001 members", manyUnknown(1_000), true},
		{"1,000 values", `{"emails":` + list(1_000, func(i int) string { return fmt.Sprintf(`{"value":"%d"}`, i) }) + `}`, false},
		{"1,001 values", `{"emails":` + list(1_001, func(i int) string { return fmt.Sprintf(`{"value":"%d"}`, i) }) + `}`, true},
	} {
		r, _, err := typ.Parse([]byte(tt.body))
		if (err != nil) != tt.refused {
			t.Errorf("%s: got %v, refused: want %v", tt.name, err, tt.refused)
		}
		if err == nil {
			checkCanonical(t, r)
		}
	}
}

func TestParse_NotesAreBounded(t *testing.T) {
	t.Parallel()
	_, notes, err := typeOf(t, scim.Standard, "User").Parse([]byte(manyUnknown(999)))
	if err != nil || len(notes.Ignored) != 20 || notes.Ignored[19] != "a00019" {
		t.Errorf("got %v, %v, want the first 20", notes.Ignored, err)
	}
}

func TestParseFilter_HostileFilters(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Standard, "User")
	for _, s := range []string{
		strings.Repeat("(", scim.MaxFilter), strings.Repeat("(", 1<<20), "userName eq " + strings.Repeat("[", scim.MaxFilter-20),
		strings.Repeat("x", 1<<20), strings.Repeat("not ", 2000), `userName eq "` + strings.Repeat("x", scim.MaxFilter) + `"`, strings.Repeat("a.", 4000) + ` eq "x"`,
	} {
		_, err := typ.ParseFilter(s)
		checkRefusal(t, err, 400)
	}
	if _, err := typ.ParseFilter(`userName eq "` + strings.Repeat("x", scim.MaxFilter-14) + `"`); err != nil {
		t.Errorf("a filter of MaxFilter bytes: %v", err)
	}
}

// A group's members are many: showing them takes each once.
func TestRender_ManyLinksAreReadOnce(t *testing.T) {
	typ := typeOf(t, scim.Standard, "Group")
	meta, doc, p := tableMeta, []byte(`{"displayName":"team"}`), mustProject(t, typ, "members.value")
	const n = 20_000
	for i := range n {
		meta.Links = append(meta.Links, scim.Link{ID: fmt.Sprintf("u%d", i), Display: "x"})
	}
	got, err := typ.Render(nil, doc, &meta, p)
	if err != nil || strings.Count(string(got), `"value"`) != n || strings.Contains(string(got), "display\"") {
		t.Fatalf("%v: %.200s", err, got)
	}
	if allocs := testing.AllocsPerRun(1, func() { _, _ = typ.Render(got[:0], doc, &meta, p) }); allocs > 3*n {
		t.Errorf("%v allocations for %d members", allocs, n)
	}
	// What is not shown is not read.
	without := mustProject(t, typ, "displayName")
	if allocs := testing.AllocsPerRun(5, func() { _, _ = typ.Render(got[:0], doc, &meta, without) }); allocs > 20 {
		t.Errorf("%v allocations for members that are not shown", allocs)
	}
}

// The hot paths do not allocate more than they did: a handful of pieces each.
func TestAllocations(t *testing.T) {
	typ := typeOf(t, scim.Atlassian, "User")
	data, doc := []byte(rfcUser), stored(t, typ, rfcUser)
	current, body := decoded(t, typ, doc), parsed(t, typ, rfcUserPut)
	deactivate := patchBody(`[{"op":"replace","path":"active","value":false}]`)
	buf := make([]byte, 0, 4096)
	for _, tt := range []struct {
		name string
		most float64
		f    func()
	}{
		{"Parse", 16, func() { _, _, _ = typ.Parse(data) }},
		{"Decode", 16, func() { _, _ = typ.Decode(doc) }},
		{"Replace", 8, func() { _, _, _ = scim.Replace(current, body) }},
		{"Append", 0, func() { buf = current.Append(buf[:0]) }},
		{"Render", 0, func() { buf, _ = typ.Render(buf[:0], doc, &tableMeta, nil) }},
		{"ParsePatch and Apply", 10, func() {
			p, _, _ := typ.ParsePatch(deactivate)
			_, _, _ = p.Apply(current)
		}},
		{"ParseFilter", 3, func() { _, _ = typ.ParseFilter(`userName eq "ada"`) }},
		{"Fold what is folded", 0, func() { _ = scim.Fold("ADA@CORP.EXAMPLE") }},
	} {
		// The race detector empties pools at random: the best of many counts.
		got := testing.AllocsPerRun(1, tt.f)
		for range 50 {
			got = min(got, testing.AllocsPerRun(1, tt.f))
		}
		if got > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, got, tt.most)
		}
	}
}

// BenchmarkHostile shows that time goes with size: compare ns/op with MB/s.
func BenchmarkHostile(b *testing.B) {
	for _, bb := range []struct{ name, body string }{
		{"100,000 unknown attributes", manyUnknown(100_000)},
		{"1,000 values", `{"emails":` + list(1_000, func(i int) string { return fmt.Sprintf(`{"value":"%d"}`, i) }) + `}`},
		{"80,000 values", `{"emails":` + list(80_000, func(i int) string { return fmt.Sprintf(`{"value":"%d"}`, i) }) + `}`},
		{"10,000 levels", `{"x":` + nested("[", "]", 10_000) + `}`},
		{"a long text", `{"userName":"` + strings.Repeat("x", 1<<20) + `"}`},
		{"a long text in escapes", `{"userName":"` + strings.Repeat(`\u0061`, 1<<20/6) + `"}`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			t, data := typeOf(b, scim.Standard, "User"), []byte(bb.body)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				_, _, _ = t.Parse(data)
			}
		})
	}
}
