package action

import (
	"bytes"
	"fmt"
	"strings"
)

// AppendPage appends the manifest as a page of documentation in Markdown.
func (m *Manifest) AppendPage(dst []byte) []byte {
	b := bytes.NewBuffer(dst)
	fmt.Fprint(b, generated)
	fmt.Fprintf(b, "# %s\n\n%s\n\n%s\n", m.Title, m.Summary, m.Description)
	for _, g := range []struct {
		title      string
		parameters []Parameter
	}{{"Basic Parameters", m.Basic}, {"Advanced Parameters", m.Advanced}} {
		fmt.Fprintf(b, "\n## %s\n\n", g.title)
		if len(g.parameters) == 0 {
			fmt.Fprintf(b, "There are none.\n")
			continue
		}
		fmt.Fprintf(b, "| Parameter | Flag | Name and type | Description |\n| --- | --- | --- | --- |\n")
		for _, p := range g.parameters {
			fmt.Fprintf(b, "| %s | `--%s` | `%s`, %s | %s |\n", p.Title, p.Flag, p.Name, p.Type, cell(p.Text()))
		}
	}
	fmt.Fprintf(b, "\n## Example Output\n\n")
	if len(m.ExampleOutput) == 0 {
		fmt.Fprintf(b, "There is no output.\n")
	} else {
		fmt.Fprintf(b, "```json\n%s\n```\n", m.ExampleOutput)
	}
	fmt.Fprintf(b, "\n## Command\n\n```sh\n%s\n```\n", strings.Join(m.Examples(), "\n"))
	fmt.Fprintf(b, "\n## HTTP\n\n`%s %s`\n\nThe API's own page: <%s>\n", m.Method, m.Target(), m.Documentation)
	return b.Bytes()
}

const generated = "<!-- Made from the manifests in package action by go test ./action -update. Do not edit. -->\n\n"

// AppendIndex appends the page that lists all actions, in Markdown.
func AppendIndex(dst []byte) []byte {
	b := bytes.NewBuffer(dst)
	fmt.Fprint(b, generated)
	fmt.Fprint(b, indexHead)
	for _, a := range All() {
		fmt.Fprintf(b, "| [%s](%s.md) | `%s` | `%s %s` | %s |\n", a.Title, a.Name, a.Name, a.Method, a.Path, cell(a.Summary))
	}
	fmt.Fprint(b, indexForms)
	return b.Bytes()
}

const (
	indexHead = `# Actions

Each is a command and a function of package action, both from one manifest: "roster action show NAME" prints it,
with "-o json" for programs, and "roster action run NAME" runs it. Those on users and groups have a friendlier
command, too, which takes the id as an argument and lists all pages.

| Action | Name | Request | What it does |
| --- | --- | --- | --- |
`
	indexForms = `
## How parameters are given

| Type | Forms |
| --- | --- |
| string | the text as it is; an empty one is sent as an empty one |
| boolean, integer | "--active false", "--count 50" |
| names, list | with commas between them, the flag repeated, or a JSON array |
| object | JSON, or a flag for each part: "--given-name Ada" |
| array | JSON, or the short flag, once or often: "--email ada@corp.example" |

What is no string can also be "@FILE", or "-" for standard input. "--clear NAME" sends null. What is not given is
not sent. "--input FILE" takes a JSON object of parameters by their names; flags take the place of what it has.
All that is wrong is told at once, before any request, with exit code 64.
`
)

// Target returns the path of the request with where it begins.
func (m *Manifest) Target() string {
	if m.Organization {
		return "{service}" + m.Path
	}
	return "{directory}" + m.Path
}

// Text returns all that is to be said of a parameter, in Markdown.
func (p *Parameter) Text() string {
	text := p.Description
	if p.Required {
		text = "Required. " + text
	}
	if len(p.Values) > 0 {
		text += " One of `" + strings.Join(p.Values, "`, `") + "`."
	}
	if p.Short != nil {
		text += fmt.Sprintf(" `--%s %s` gives one of them, and may be repeated.", p.Short.Flag, strings.ToUpper(p.Short.Word))
	}
	var flags []string
	for _, part := range p.Parts {
		if part.Flag != "" {
			flags = append(flags, "`--"+part.Flag+"`")
		}
	}
	if len(flags) > 0 {
		text += " Each part has a flag: " + strings.Join(flags, ", ") + "."
	}
	if p.Default != "" {
		text += " Default: " + p.Default + "."
	}
	return text + " Example: `" + p.Example + "`."
}

// Examples returns commands that run the action: the friendlier one first, if
// there is one.
func (m *Manifest) Examples() []string {
	long, short := "roster action run "+m.Name, "roster "+m.Command
	argument := false
	for _, p := range m.Parameters() {
		if !p.Required && p.Name != "emails" && p.Name != "filter" {
			continue
		}
		flag, value := p.Flag, p.Example
		if p.Name == "emails" {
			flag, value = p.Short.Flag, "ada@corp.example"
		}
		value = quoted(value)
		long += " --" + flag + " " + value
		if p.In == InPath && !argument {
			short, argument = short+" "+value, true
		} else {
			short += " --" + flag + " " + value
		}
	}
	if m.Command == "" {
		return []string{long}
	}
	return []string{short, long}
}

// quoted returns a text for a shell.
func quoted(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:@/") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// cell returns text for a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
