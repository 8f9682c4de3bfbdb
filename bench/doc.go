// Package bench measures what a group costs: its start, its failure, its restart. It has benchmarks only; README.md tells how
// to run them and what was seen.
package bench
