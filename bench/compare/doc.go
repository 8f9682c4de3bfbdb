// Compare measures Muster beside what one would use in its place, in one run on one machine:
//
//	go run ./bench/compare --quick
//
// A row is a question, such as how long n processes take to start and end. It is asked of several contenders, in turns: A B C,
// A B C. Each trial proves that the work was done: every process has said so, every line has come whole, every rank is dead.
// Ratios are those of trials of the same round, so that a machine which is slow for a while is slow for all of them; a round in
// which it did something else is discarded, for all of them, by a rule that looks at no contender (see package stats).
//
// Contenders that a program calls are measured in a program that runs already, and commands with their start: this is what one
// waits for. docs/performance.md has the tables, and how to read them.
package main
