package process

// MaxLine is where a line without end is cut.
const MaxLine = maxLine
