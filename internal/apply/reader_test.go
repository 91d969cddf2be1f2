package apply_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/internal/apply"
	"github.com/roster-scim/roster/scim"
)

func userType(t testing.TB, ruleSet string) *scim.Type {
	t.Helper()
	rules, err := scim.Rules(ruleSet)
	if err != nil {
		t.Fatal(err)
	}
	typ, err := action.UserType(rules)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

// rows reads a file as lines of "line: path=value …", a fault as "! fault".
func rows(typ *scim.Type, text string, o apply.ReadOptions) string {
	r, err := apply.NewReader(strings.NewReader(text), typ, o)
	if err != nil {
		return "! " + err.Error() + "\n"
	}
	var out strings.Builder
	for {
		row, err := r.Next()
		var fault *apply.Fault
		switch {
		case errors.Is(err, io.EOF):
			return out.String()
		case errors.As(err, &fault):
			fmt.Fprintf(&out, "! %s\n", err)
			continue
		case err != nil:
			fmt.Fprintf(&out, "! %s\n", err)
			return out.String()
		}
		fmt.Fprintf(&out, "%d:", row.Line)
		for _, s := range row.Sets {
			name := s.Path
			if s.Type != "" || s.Primary {
				name += "[" + s.Type
				if s.Primary {
					name += "primary"
				}
				name += "]"
			}
			if s.Sub != "" {
				name += "." + s.Sub
			}
			fmt.Fprintf(&out, " %s=%s", name, s.Value)
		}
		out.WriteString("\n")
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	const ext = scim.EnterpriseUserURN
	standard := userType(t, scim.Standard)
	for _, tt := range []struct {
		name, text string
		o          apply.ReadOptions
		want       string
	}{
		{name: "comma", text: "userName,title\na,b\n", want: `2: userName="a" title="b"` + "\n"},
		{name: "semicolon, BOM, CRLF", text: "\ufeffUSERNAME;Title\r\na;b,c\r\n", want: `2: userName="a" title="b,c"` + "\n"},
		{name: "tab", text: "username\ttitle\na\tb\n", want: `2: userName="a" title="b"` + "\n"},
		{name: "quotes, and a line in a cell", text: "userName,title\na,\"b \"\"c\"\"\nd\"\ne,f\n", want: `2: userName="a" title="b \"c\"\nd"` + "\n" + `4: userName="e" title="f"` + "\n"},
		{name: "an empty cell changes nothing", text: "userName,title\na,\n\nb, \n", want: "2: userName=\"a\"\n4: userName=\"b\"\n"},
		{name: "an empty cell clears", text: "id,userName,title\n,a,\n", o: apply.ReadOptions{EmptyClears: true}, want: "2: userName=\"a\" title=null\n"},
		{name: "clear, and a literal", text: "userName,title,nickName\na,<clear>,\"<json>\"\"<clear>\"\"\"\n", want: `2: userName="a" title=null nickName="<clear>"` + "\n"},
		{name: "parts and short names", text: "user name,first_name,familyName,department,active\na,b,c,d,Yes\n",
			want: `2: userName="a" name.givenName="b" name.familyName="c" ` + ext + `:department="d" active=true` + "\n"},
		{name: "URN names", text: ext + ":costCenter,urn:ietf:params:scim:schemas:core:2.0:User:userName,manager\n1,a,7\n",
			want: `2: ` + ext + `:costCenter="1" userName="a" ` + ext + `:manager.value="7"` + "\n"},
		{name: "values of lists", text: "email,emails[home],phoneNumbers[Mobile],emails[work].display\na@b,c@d,1,x\n",
			want: `2: emails[primary]="a@b" emails[home]="c@d" phoneNumbers[Mobile]="1" emails[work].display="x"` + "\n"},
		{name: "a list", text: "userName,emails\na,\"[{\"\"value\"\":\"\"b\"\"}]\"\nc,d@e\n",
			want: `2: userName="a" emails=[{"value":"b"}]` + "\n" + `3: userName="c" emails[primary]="d@e"` + "\n"},
		{name: "mapping", text: "Login,Job,Cost\na,b,c\n", o: apply.ReadOptions{Map: map[string]string{"login": "userName", "JOB": "title", "Cost": "-"}},
			want: `2: userName="a" title="b"` + "\n"},
		{name: "passed over", text: "userName,meta.created,groups,roster.reason\na,b,c,d\n", want: "2: userName=\"a\"\n"},
		{name: "unknown column", text: "userName,titel\n", want: "! line 1: column \"titel\": the directory has no such attribute: did you mean title? Then give --map 'titel=title', or pass the column over with --map 'titel=-'\n"},
		{name: "a column of a short name", text: "userName,emial\n", want: "! line 1: column \"emial\": the directory has no such attribute: did you mean email? Then give --map 'emial=email', or pass the column over with --map 'emial=-'\n"},
		{name: "no header", text: "ada,Boss\n", want: "! line 1: column \"ada\": the directory has no such attribute: name one with --map 'ada=ATTRIBUTE', or pass the column over with --map 'ada=-'\n" +
			"line 1: column \"Boss\": the directory has no such attribute: name one with --map 'Boss=ATTRIBUTE', or pass the column over with --map 'Boss=-'\n" +
			"line 1: no column names an attribute: the first line must hold their names\n"},
		{name: "a spreadsheet", text: "PK\x03\x04\x14", want: "! the file is a spreadsheet, or another archive: save it as CSV in UTF-8\n"},
		{name: "one attribute twice", text: "userName,title,Title\n", want: "! line 1: the columns \"title\" and \"Title\" are one attribute: pass one over with --map 'Title=-'\n"},
		{name: "a short row", text: "userName,title\na\nb,c\n", want: "! line 2: expected 2 cells as in the header, got 1\n3: userName=\"b\" title=\"c\"\n"},
		{name: "a long row", text: "userName;title\na;b;c\n", want: "! line 2: expected 2 cells as in the header, got 3: put a cell that has ';' in it in quotes\n"},
		{name: "no boolean", text: "userName,active\na,maybe\n", want: "! line 2: active: \"maybe\" is not one of 0, 1, false, no, true, yes\n"},
		{name: "empty", text: " \n", want: "! the file is empty: nothing tells what is to be done\n"},
		{name: "UTF-16", text: "\xff\xfeu\x00", want: "! line 1: the file is UTF-16: save it as UTF-8\n"},
		{name: "not UTF-8", text: "userName,title\na,caf\xe9\n", want: "! line 2: title: \"caf?\" is not UTF-8: save the file as UTF-8\n"},
		{name: "JSON", text: "[\n {\"userName\": \"a\",\n  \"title\": null},\n {\"USERNAME\": \"b\", \"name\": {\"givenName\": \"c\"}}]", want: `2: title=null userName="a"` + "\n" + `4: userName="b" name.givenName="c"` + "\n"},
		{name: "NDJSON", text: "{\"userName\":\"a\",\"" + ext + "\":{\"department\":\"d\"}}\n{\"email\":\"x@y\",\"active\":false}\n",
			want: `1: ` + ext + `:department="d" userName="a"` + "\n" + `2: active=false emails[primary]="x@y"` + "\n"},
		{name: "JSON that ends", text: `[{"userName":"a"},`, want: "1: userName=\"a\"\n! line 1: it is no JSON: jsontext: unexpected EOF after offset 18\n"},
		{name: "JSON of no objects", text: "[1]", want: "! line 1: expected a JSON object, not 1\n"},
		{name: "JSON, unknown", text: `{"userName":"a","shoeSize":1}`, want: "! line 1: column \"shoeSize\": the directory has no such attribute: name one with --map 'shoeSize=ATTRIBUTE', or pass the column over with --map 'shoeSize=-'\n"},
		{name: "a row without an end", text: "userName\n\"" + strings.Repeat("x", 2<<20), want: "! read the file: a row is longer than 1024 KiB: is a quote or a brace not closed?\n"},
		{name: "empty rows that a spreadsheet left behind", text: "userName,title\na,b\n" + strings.Repeat(",\n", 1<<20) + "c,d\n",
			want: "2: userName=\"a\" title=\"b\"\n1048579: userName=\"c\" title=\"d\"\n"},
		{name: "empty columns that a spreadsheet left behind", text: "userName" + strings.Repeat(",", 16_383) + "\na" + strings.Repeat(",", 16_383), want: "2: userName=\"a\"\n"},
		{name: "too many columns", text: "userName" + strings.Repeat(",a", 300_000), want: "! line 1: it has more than 1000 columns\n"},
		{name: "too many columns of types", text: "userName" + typed(",emails[%d]", 2000), want: "! line 1: it has more than 1000 columns\n"},
		{name: "too many members", text: "{\"userName\":\"a\"" + typed(",\"emails[%d]\":\"b\"", 2000) + "}\n{\"userName\":\"c\"}", want: "! line 1: it names more than 1000 attributes\n2: userName=\"c\"\n"},
		{name: "NUL", text: "userName,title\na,b\x00c\n", want: "2: userName=\"a\" title=\"b\\u0000c\"\n"},
		{name: "NUL in a name", text: "userName,ti\x00tle\n", want: "! line 1: column \"ti\\x00tle\": the directory has no such attribute: did you mean title? Then give --map 'ti\x00tle=title', or pass the column over with --map 'ti\x00tle=-'\n"},
		{name: "a quote that is not closed", text: "userName,title\na,\"b\nc,d\n", want: "! line 2: extraneous or missing \" in quoted-field\n"},
		{name: "a bare quote", text: "userName,title\na,b\"c\n", want: "! line 2: bare \" in non-quoted-field\n"},
		{name: "line ends of all sorts", text: "userName,title\r\na,b\nc,d\r\n\r\ne,\"f\r\ng\"\n", want: `2: userName="a" title="b"` + "\n" + `3: userName="c" title="d"` + "\n" + `5: userName="e" title="f\ng"` + "\n"},
		{name: "no end of blanks", text: "[" + strings.Repeat("\n", 3<<20), want: "! read the file: a row is longer than 1024 KiB: is a quote or a brace not closed?\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := rows(standard, tt.text, tt.o); got != tt.want {
				t.Error(cmp.Diff(tt.want, got))
			}
		})
	}
}

// typed returns n texts of the same format, each with a number of its own.
func typed(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// FuzzReader reads anything: what comes out are attributes that there are, with
// JSON values, and a row that is written again is read again as it was.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"userName,title\na,b\n", "id;emails[work];active\n1;a@b;yes\n", "[{\"userName\":\"a\"}]", "{\"userName\":\"a\",\"name\":{\"givenName\":null}}\n{}",
		"userName,emails\na,\"[{\"\"value\"\":\"\"b\"\"}]\"\n", "\ufeffuserName\n<json>{}\n<clear>\n", "userName\n\"a\rb\"\n",
	} {
		f.Add([]byte(seed))
	}
	typ := userType(f, scim.Atlassian)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := apply.NewReader(bytes.NewReader(data), typ, apply.ReadOptions{})
		if err != nil {
			return
		}
		for {
			row, err := r.Next()
			var fault *apply.Fault
			if errors.As(err, &fault) {
				continue
			}
			if err != nil {
				return
			}
			for _, s := range row.Sets {
				if typ.Attr(s.Path) == nil || !s.Value.IsValid() && r.Format == apply.CSV {
					t.Fatalf("%s = %s", s.Path, s.Value)
				}
			}
			again := string(row.Raw)
			if r.Format == apply.CSV {
				var cells []string
				if err := json.Unmarshal(row.Raw, &cells); err != nil {
					t.Fatal(err)
				}
				var out bytes.Buffer
				w := csv.NewWriter(&out)
				w.Comma = r.Comma
				if err := w.WriteAll([][]string{r.Header, cells}); err != nil {
					t.Fatal(err)
				}
				again = out.String()
			}
			format := r.Format
			if format == apply.JSON {
				format = apply.NDJSON
			}
			second, err := apply.NewReader(strings.NewReader(again), typ, apply.ReadOptions{Format: format})
			if err != nil {
				t.Fatalf("%q: %v", again, err)
			}
			got, err := second.Next()
			if err != nil {
				t.Fatalf("%q: %v", again, err)
			}
			if diff := cmp.Diff(row.Sets, got.Sets); diff != "" {
				t.Fatalf("%q: %s", again, diff)
			}
		}
	})
}
