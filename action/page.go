package action

import (
	"bytes"
	"fmt"
	"strings"
)

// AppendPage appends the manifest as a page of documentation in Markdown.
func (m *Manifest) AppendPage(dst []byte) []byte {
	b := bytes.NewBuffer(dst)
	fmt.Fprintf(b, "<!-- Made from the manifest in package action by go test ./action -update. Do not edit. -->\n\n")
	fmt.Fprintf(b, "# %s\n\n%s\n\n%s\n\n", m.Title, m.Summary, m.Description)
	fmt.Fprintf(b, "The request is `%s {directory}%s`. The API's own page: <%s>\n", m.Method, m.Path, m.Documentation)
	for _, g := range []struct {
		title      string
		parameters []Parameter
	}{{"Basic Parameters", m.Basic}, {"Advanced Parameters", m.Advanced}} {
		fmt.Fprintf(b, "\n## %s\n\n| Parameter | Flag | Name and type | Description |\n| --- | --- | --- | --- |\n", g.title)
		for _, p := range g.parameters {
			flag := "the argument"
			if p.Flag != "" {
				flag = "`--" + p.Flag + "`"
			}
			text := p.Description
			if p.Required {
				text = "Required. " + text
			}
			fmt.Fprintf(b, "| %s | %s | `%s`, %s | %s Example: `%s`. |\n", p.Title, flag, p.Name, p.Type, cell(text), cell(p.Example))
		}
	}
	fmt.Fprintf(b, "\n## Example Output\n\n```json\n%s\n```\n", m.ExampleOutput)
	return b.Bytes()
}

// cell returns text for a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
