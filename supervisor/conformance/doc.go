// Package conformance holds the behaviour of the whole, with real processes, against what torch.multiprocessing.spawn and
// OTP's supervisor are tested for, and against what these suites leave out. It has tests only.
//
// A test is named after its row in docs/conformance.md where it has one. The rows S01 to S16 run in every launch mode: a
// registered function of this binary, an external command, and a Python script whose exceptions travel.
//
// After each test nothing may be left: goroutines, descriptors, zombies, descendants; and the events of each group are held
// against the invariants G-1, G-2 and G-4 of docs/design.md.
package conformance
