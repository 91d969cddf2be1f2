package workflow

import (
	"embed"
	"fmt"
	"path"
	"strings"
	"sync"
)

//go:embed library/*.yaml
var libraryFiles embed.FS

// A LibraryFile is a workflow that comes with Roster, to be run as it is or to
// begin one's own with.
type LibraryFile struct {
	*File
	Source string // YAML
}

// Library returns the workflows that come with Roster, by their names in order.
// They are not to be changed.
var Library = sync.OnceValue(func() []*LibraryFile {
	entries, err := libraryFiles.ReadDir("library")
	if err != nil {
		panic(err) // it is in this binary
	}
	var all []*LibraryFile
	for _, e := range entries {
		source, err := libraryFiles.ReadFile(path.Join("library", e.Name()))
		if err != nil {
			panic(err)
		}
		f, err := Parse(source)
		if err != nil || f.Name+".yaml" != e.Name() {
			panic(fmt.Sprintf("library/%s: %v", e.Name(), err)) // a test parses them all
		}
		all = append(all, &LibraryFile{f, string(source)})
	}
	return all
})

// FromLibrary returns the workflow of that name. The error says which ones there
// are.
func FromLibrary(name string) (*LibraryFile, error) {
	var names []string
	for _, f := range Library() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return nil, fmt.Errorf("no workflow %q in the library%s", name, suggest(name, names))
}

// Rename returns the source under another name.
func (f *LibraryFile) Rename(name string) (string, error) {
	if !fileName.MatchString(name) {
		return "", fmt.Errorf("%q is no name of a workflow: it has 1 to 63 of a-z, 0-9 and -, and does not begin with -", name)
	}
	return strings.Replace(f.Source, "name: "+f.Name+"\n", "name: "+name+"\n", 1), nil
}
