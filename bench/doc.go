// Package bench measures what a group costs: its start, its failure, its restart. It has benchmarks only. Those of the layers
// stand in their own packages; bench/compare measures the same beside other systems, and docs/performance.md has the results.
package bench
