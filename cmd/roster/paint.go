package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
)

// A colorMode says whether the lines of plans and differences have colours.
type colorMode string

var colorModes = []string{"auto", "always", "never"}

func (m *colorMode) String() string { return string(*m) }
func (m *colorMode) Type() string   { return "when" }

func (m *colorMode) Set(s string) error {
	if !slices.Contains(colorModes, s) {
		return fmt.Errorf("there are auto, always and never")
	}
	*m = colorMode(s)
	return nil
}

// isTerminal reports whether w is a terminal that knows codes.
func (g *globals) isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && g.getenv("TERM") != "dumb"
}

// signColors are the colours of lines by the sign that they begin with.
var signColors = map[byte]string{'+': "\x1b[32m", '~': "\x1b[33m", '-': "\x1b[31m", '!': "\x1b[35m"}

// paints reports whether lines on w have colours: on a terminal, unless NO_COLOR is
// set, or as --color says.
func (g *globals) paints(w io.Writer) bool {
	if g.color != "auto" {
		return g.color == "always"
	}
	return g.isTerminal(w) && g.getenv("NO_COLOR") == ""
}

// paint gives a line, for w, the colour of its sign.
func (g *globals) paint(w io.Writer, line string) string {
	text := strings.TrimLeft(line, " ")
	if text == "" || !g.paints(w) {
		return line
	}
	if code, ok := signColors[text[0]]; ok && strings.HasPrefix(text[1:], " ") {
		return code + line + "\x1b[0m"
	}
	return line
}
