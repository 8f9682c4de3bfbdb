package main

import (
	"io"
	"os"

	"github.com/charmbracelet/colorprofile"
)

// A style is how a piece of the launcher's own text looks where there are colours.
type style string

const (
	bad   style = "1;31" // bold, red
	label style = "1"
)

// painter returns what writes text in a style: as it is where there are no colours, such as in a file, under NO_COLOR, and on
// TERM=dumb.
func painter(w io.Writer) func(style, string) string {
	return paintWith(colorprofile.Detect(w, os.Environ()))
}

func paintWith(p colorprofile.Profile) func(style, string) string {
	if p < colorprofile.ANSI {
		return func(_ style, text string) string { return text }
	}
	return func(s style, text string) string { return "\x1b[" + string(s) + "m" + text + "\x1b[m" }
}
