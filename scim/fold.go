package scim

import (
	"unicode"
	"unicode/utf8"
)

// FoldVersion names the folding of Fold. What was folded by another one must be
// folded again before it is compared.
const FoldVersion = "simple-fold-smallest/unicode-" + unicode.Version

// Fold returns s with every letter replaced by the smallest rune of its simple
// case folding orbit, so that two strings that differ in case alone fold to one.
// It neither normalises nor trims.
func Fold(s string) string {
	i := 0
	for ; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf || 'a' <= c && c <= 'z' {
			break
		}
	}
	if i == len(s) {
		return s
	}
	b := make([]byte, 0, len(s)+8)
	b = append(b, s[:i]...)
	for _, r := range s[i:] {
		b = utf8.AppendRune(b, foldRune(r))
	}
	return string(b)
}

func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		// The orbits of k and s reach beyond ASCII (K, ſ), but their smallest
		// rune is the capital.
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

// foldName folds for the comparison of attribute names and URNs, which are ASCII (RFC 7643
// section 2.1) and ignore case.
func foldName(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; 'A' <= c && c <= 'Z' {
					b[i] = c + ('a' - 'A')
				}
			}
			return string(b)
		}
	}
	return s
}
